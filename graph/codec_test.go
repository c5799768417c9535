package graph_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-net/weft/graph"
)

// fullBatch has every operation and every field.
func fullBatch() *graph.Batch {
	m := graph.NewMetadata(name("eth0"), graph.F("L", graph.Strings("a", "b")), graph.F("O", graph.Object(graph.NewMetadata(
		graph.F("Gone", graph.Removed()), graph.F("F", graph.Float(1.5))))))
	return &graph.Batch{Origin: "probe.h1", Epoch: math.MaxUint64, Seq: 300, Snapshot: true, Events: []graph.Event{
		{Op: graph.PutNode, ID: "a", Host: "h1", Origin: "shown", Metadata: m, CreatedAt: -1, UpdatedAt: 2, Revision: 3},
		{Op: graph.PutNode, ID: "b", Metadata: graph.NewMetadata(name("eth1"))},
		{Op: graph.PutEdge, ID: "e", Parent: "a", Child: "b", Metadata: m},
		{Op: graph.DeleteNode, ID: "c", DeletedAt: math.MaxInt64, Rank: graph.RankUser},
		{Op: graph.DeleteEdge, ID: "d"},
		{Op: graph.PatchNode, ID: "a", Patch: []graph.PathOp{{Path: "A.B", Value: graph.Int(math.MinInt64)}, {Path: "C", Value: graph.Removed()}}},
		{Op: graph.PatchEdge, ID: "e", Patch: []graph.PathOp{{Path: "", Value: graph.Null()}}},
		{Op: graph.PutLayer, ID: "a", Edge: true, Rank: graph.RankCapture, Metadata: m},
		{Op: graph.DropLayer, ID: "a"},
		{Op: graph.PutSample, ID: "a", Counters: &graph.Counters{Prefix: "Metric", Names: linkCounters[:2], Values: []int64{-5, math.MaxInt64}, Start: 1, Last: 2}},
		{Op: graph.PutSample, ID: "b", Counters: &graph.Counters{Prefix: "Metric", Names: linkCounters[:2], Values: []int64{1}, Start: 1, Last: 2}},
		{Op: graph.PutSample, ID: "z", Counters: &graph.Counters{Names: []string{}, Values: []int64{}}},
		{Op: graph.PutNode},
	}}
}

var compareBatches = cmp.Options{
	cmpopts.IgnoreUnexported(graph.Batch{}),
	cmp.Comparer(func(a, b graph.Metadata) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b graph.Value) bool { return a.Equal(b) }),
}

func TestBatchesRoundTrip(t *testing.T) {
	b := fullBatch()
	data := graph.AppendBatch([]byte("before"), b)[len("before"):]
	got, err := graph.DecodeBatch(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, got, compareBatches); diff != "" {
		t.Error(diff)
	}
	clear(data) // what was decoded does not change with the message
	if diff := cmp.Diff(b, got, compareBatches); diff != "" {
		t.Error(diff)
	}
	got, err = graph.DecodeBatch(graph.AppendBatch(nil, &graph.Batch{Origin: "empty"}))
	if err != nil || got.Origin != "empty" || len(got.Events) != 0 {
		t.Fatal(got, err)
	}
}

func TestBatchInParts(t *testing.T) {
	b := fullBatch()
	one := graph.SplitBatch(b, 1<<20)
	want(t, "fits", len(one), 1)
	want(t, "one message", bytes.Equal(one[0], graph.AppendBatch(nil, b)), true)
	parts := graph.SplitBatch(b, 120)
	for i, p := range parts {
		if len(p) > 120 {
			t.Errorf("part %d has %d bytes", i, len(p))
		}
		head, err := graph.ReadPart(p)
		want(t, "head", head, graph.Part{Origin: b.Origin, Epoch: b.Epoch, Seq: b.Seq, Index: i, Count: len(parts)})
		if _, err2 := graph.DecodeBatch(p); err != nil || !errors.Is(err2, graph.ErrMalformed) {
			t.Error(err, err2)
		}
	}
	parts[0], parts[1] = parts[1], parts[0]
	got, err := graph.JoinBatch(parts...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, got, compareBatches); diff != "" {
		t.Error(diff)
	}
	other := *b
	other.Seq++
	for what, bad := range map[string][][]byte{
		"missing":       parts[1:],
		"twice":         append([][]byte{parts[1]}, parts[1:]...),
		"other batch's": append([][]byte{graph.SplitBatch(&other, 120)[1]}, parts[1:]...),
		"nothing":       nil,
	} {
		if _, err := graph.JoinBatch(bad...); !errors.Is(err, graph.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	data := graph.AppendBatch(nil, fullBatch())
	for n := range data {
		if _, err := graph.DecodeBatch(data[:n]); !errors.Is(err, graph.ErrMalformed) {
			t.Fatalf("first %d of %d bytes: %v", n, len(data), err)
		}
	}
	if _, err := graph.DecodeBatch(append(data, 0)); !errors.Is(err, graph.ErrMalformed) {
		t.Fatal(err)
	}
}

func TestDecodeNamesTheOffset(t *testing.T) {
	_, err := graph.DecodeBatch([]byte{1, 0, 1, 0, 0, 0, 8})
	want(t, "error", err, "malformed batch at offset 7: unknown flags 0x8")
}

// There is one form of each value: another one of the same meaning would not be equal to it.
func TestOtherFormsAreRefused(t *testing.T) {
	m := graph.NewMetadata(graph.F("K", graph.Int(300)), graph.F("R", graph.Removed()))
	good := graph.AppendBatch(nil, &graph.Batch{Events: []graph.Event{{Op: graph.PutNode, ID: "a", Metadata: m}}})
	packed := []byte{0x80 | 1, 3, 4, 5, 0xd8, 0x04, 4} // width 1 and masked, ends, int 300, removed
	for what, form := range map[string][]byte{
		"not masked":        {1, 3, 4, 5, 0xd8, 0x04, 4},
		"wide ends":         {0x80 | 2, 3, 0, 4, 0, 5, 0xd8, 0x04, 4},
		"long number":       {0x80 | 1, 4, 5, 5, 0xd8, 0x84, 0, 4},
		"ends beyond":       {0x80 | 1, 3, 9, 5, 0xd8, 0x04, 4},
		"ends going back":   {0x80 | 1, 4, 3, 5, 0xd8, 0x04, 4},
		"unknown tag":       {0x80 | 1, 3, 4, 99, 0xd8, 0x04, 4},
		"unsorted object":   {0x80 | 1, 10, 11, 9, 2, 1, 'b', 1, 1, 1, 'a', 1, 1, 4},
		"integral float":    {0x80 | 1, 9, 10, 6, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 4},
		"removed in a list": {0x80 | 1, 4, 5, 8, 1, 1, 4, 4},
		"list beyond":       {0x80 | 1, 4, 5, 8, 200, 1, 1, 4},
	} {
		if !bytes.Contains(good, append([]byte{byte(len(packed))}, packed...)) {
			t.Fatalf("form changed: %x", good)
		}
		bad := bytes.Replace(good, append([]byte{byte(len(packed))}, packed...), append([]byte{byte(len(form))}, form...), 1)
		if _, err := graph.DecodeBatch(bad); !errors.Is(err, graph.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	v := graph.List()
	for range graph.MaxDepth + 2 {
		v = graph.List(v)
	}
	b := &graph.Batch{Events: []graph.Event{{Op: graph.PutNode, ID: "a", Metadata: graph.NewMetadata(graph.F("V", v))}}}
	if _, err := graph.DecodeBatch(graph.AppendBatch(nil, b)); !errors.Is(err, graph.ErrMalformed) {
		t.Fatal(err)
	}
}

// FuzzDecodeBatch gives the decoder anything: what it takes must survive being applied, shown, and encoded again.
func FuzzDecodeBatch(f *testing.F) {
	f.Add(graph.AppendBatch(nil, fullBatch()))
	f.Add(graph.AppendBatch(nil, &graph.Batch{Origin: "p", Events: []graph.Event{putNode("a", name("x")), putEdge("e", "a", "a")}}))
	for _, p := range graph.SplitBatch(fullBatch(), 100) {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = graph.ReadPart(data)
		b, err := graph.DecodeBatch(data)
		if err != nil {
			if !errors.Is(err, graph.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := graph.DecodeBatch(graph.AppendBatch(nil, b))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, again, compareBatches); diff != "" {
			t.Fatal(diff)
		}
		g := graph.New(graph.Options{})
		b.Epoch = 0
		for range 2 {
			if _, err := g.Apply(b); err != nil {
				t.Fatal(err)
			}
		}
		v := g.View()
		for n := range v.Nodes() {
			_ = fmt.Sprintf("%s %v", n.AppendJSON(nil), n.Metadata().Map())
			for key := range n.Metadata().All() {
				if _, ok := n.Field(key); !ok {
					t.Fatalf("key %q does not find itself", key)
				}
			}
		}
		for e := range v.Edges() {
			_ = e.AppendJSON(nil)
		}
		if _, err := g.Apply(&graph.Batch{Origin: b.Origin, Snapshot: true}); err != nil {
			t.Fatal(err)
		}
	})
}
