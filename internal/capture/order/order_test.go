package order

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/weft-net/weft/skydive"
)

// example is two captures, on two nodes and on one.
func example() Orders {
	return Orders{From: "hub", Captures: []Order{
		{Capture: skydive.Capture{UUID: "c1", GremlinQuery: "G.V().Has('Name','eth0')", BPFFilter: "tcp port 80"}, Nodes: []Node{{"n1", "t1"}, {"n2", "t2"}}},
		{Capture: skydive.Capture{UUID: "c2", ExtraTCPMetric: true, RawPacketLimit: 5}, Nodes: []Node{{"n1", "t1"}}},
	}, Keep: []string{"c3", "c4"}}
}

func TestHashIsOfTheContentAlone(t *testing.T) {
	var none Orders
	none.Seal()
	base := example()
	base.Seal()
	if none.Hash == 0 || base.Hash == 0 || none.Hash == base.Hash {
		t.Fatalf("hashes %x and %x", none.Hash, base.Hash)
	}
	for name, c := range map[string]struct {
		change func(*Orders)
		same   bool
	}{
		"nothing":           {func(*Orders) {}, true},
		"what is fresh":     {func(o *Orders) { o.Captures[0].Fresh = []string{"n1"} }, true},
		"who gives them":    {func(o *Orders) { o.From = "other" }, true},
		"the hash before":   {func(o *Orders) { o.Hash = 7 }, true},
		"order of captures": {func(o *Orders) { slices.Reverse(o.Captures) }, true},
		"order of nodes":    {func(o *Orders) { slices.Reverse(o.Captures[0].Nodes) }, true},
		"order of the kept": {func(o *Orders) { slices.Reverse(o.Keep) }, true},
		"one kept less":     {func(o *Orders) { o.Keep = o.Keep[:1] }, false},
		"another is kept":   {func(o *Orders) { o.Keep = []string{"c3", "c5"} }, false},
		"a capture less":    {func(o *Orders) { o.Captures = o.Captures[:1] }, false},
		"a node less":       {func(o *Orders) { o.Captures[0].Nodes = o.Captures[0].Nodes[:1] }, false},
		"another node":      {func(o *Orders) { o.Captures[1].Nodes[0].ID = "n2" }, false},
		"another TID":       {func(o *Orders) { o.Captures[1].Nodes[0].TID = "t9" }, false},
		"another filter":    {func(o *Orders) { o.Captures[0].Capture.BPFFilter = "tcp port 81" }, false},
		"another option":    {func(o *Orders) { o.Captures[1].Capture.ExtraTCPMetric = false }, false},
		"a node changes sides": {func(o *Orders) {
			o.Captures[1].Nodes = append(o.Captures[1].Nodes, o.Captures[0].Nodes[1])
			o.Captures[0].Nodes = o.Captures[0].Nodes[:1]
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := example()
			c.change(&o)
			o.Seal()
			if (o.Hash == base.Hash) != c.same {
				t.Errorf("hash %x, without the change %x", o.Hash, base.Hash)
			}
		})
	}
}

func TestOrdersComeBackAsTheyWere(t *testing.T) {
	for name, o := range map[string]Orders{"two": example(), "none": {From: "hub"}} {
		t.Run(name, func(t *testing.T) {
			o.Seal()
			data, err := o.Encode()
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(data)
			if err != nil || !reflect.DeepEqual(got, o) {
				t.Errorf("got %+v (%v), want %+v", got, err, o)
			}
		})
	}
}

func TestDamagedOrdersAreRefused(t *testing.T) {
	o := example()
	o.Seal()
	data, err := o.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"half":            data[:len(data)/2],
		"changed keep":    bytes.Replace(data, []byte(`"c4"`), []byte(`"c5"`), 1),
		"changed content": bytes.Replace(data, []byte("port 80"), []byte("port 81"), 1),
		"never sealed":    []byte(`{"From":"hub"}`),
		"another kind":    []byte(`[1,2]`),
	} {
		if got, err := Decode(bad); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What is accepted has the hash of its content, and survives being written and read again.
func FuzzDecode(f *testing.F) {
	for _, o := range []Orders{example(), {}, {From: "hub", Captures: []Order{{}}}} {
		o.Seal()
		data, err := o.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"From":"hub","Hash":1}`))
	f.Add([]byte(`{"Hash":-1,"Captures":[{"Nodes":null}]}`))
	f.Add([]byte("\xff{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := Decode(data)
		if err != nil {
			return
		}
		again, err := o.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(again)
		if err != nil || back.Hash != o.Hash || back.From != o.From || !slices.Equal(back.Keep, o.Keep) || len(back.Captures) != len(o.Captures) {
			t.Errorf("%+v came back as %+v (%v)", o, back, err)
		}
	})
}
