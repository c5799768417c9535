package graphjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weft-net/weft/graph"
)

const node = `{"ID":"n1","Metadata":{"Name":"eth0","Type":"device","MAC":"00:11:22:33:44:55",` +
	`"MTU":1500,"State":"UP","IfIndex":12,"IPV4":["10.0.0.1/24"],"Speed":1000.0},"Host":"h1",` +
	`"Origin":"x.y","CreatedAt":1700000000000,"UpdatedAt":1700000000001,"DeletedAt":null,"Revision":3}`

func TestElement(t *testing.T) {
	var d Decoder
	e, err := d.Element([]byte(node))
	if err != nil {
		t.Fatal(err)
	}
	if e.ID != "n1" || e.Host != "h1" || e.Origin != "x.y" || e.CreatedAt != 1700000000000 ||
		e.UpdatedAt != 1700000000001 || e.DeletedAt != 0 || e.Revision != 3 || !e.HasMetadata {
		t.Errorf("got %+v", e)
	}
	want := graph.NewMetadata(
		graph.F("Name", graph.String("eth0")), graph.F("Type", graph.String("device")),
		graph.F("MAC", graph.String("00:11:22:33:44:55")), graph.F("MTU", graph.Int(1500)),
		graph.F("State", graph.String("UP")), graph.F("IfIndex", graph.Int(12)),
		graph.F("IPV4", graph.Strings("10.0.0.1/24")), graph.F("Speed", graph.Int(1000)))
	if !e.Metadata.Equal(want) {
		t.Errorf("metadata %s", e.Metadata.AppendJSON(nil))
	}
}

func TestEdgeBecomesAnEvent(t *testing.T) {
	var d Decoder
	e, err := d.Element([]byte(`{"ID":"e","Parent":"a","Child":"b","Metadata":null,"Unknown":{"x":[1]}}`))
	if err != nil {
		t.Fatal(err)
	}
	ev := e.Put(graph.PutEdge)
	if ev.Op != graph.PutEdge || !ev.Edge || ev.ID != "e" || ev.Parent != "a" || ev.Child != "b" || ev.Metadata.Len() != 0 {
		t.Errorf("got %+v", ev)
	}
	if e.HasMetadata {
		t.Error("null counts as metadata")
	}
}

func object(key string, v graph.Value) graph.Value {
	return graph.Object(graph.NewMetadata(graph.F(key, v)))
}

func TestValues(t *testing.T) {
	for text, want := range map[string]graph.Value{
		`null`:                  graph.Null(),
		`true`:                  graph.Bool(true),
		`false`:                 graph.Bool(false),
		`-12`:                   graph.Int(-12),
		`9223372036854775807`:   graph.Int(1<<63 - 1),
		`1e3`:                   graph.Int(1000),
		`1.5`:                   graph.Float(1.5),
		`18446744073709551615`:  graph.Float(18446744073709551615),
		`"a\u00e9\n\"b"`:        graph.String("aé\n\"b"),
		`"\ud83d\ude00"`:        graph.String("😀"),
		` [1, "a", [], {}] `:    graph.List(graph.Int(1), graph.String("a"), graph.List(), graph.Object(graph.Metadata{})),
		`{"a":{"b":[{"c":1}]}}`: object("a", object("b", graph.List(object("c", graph.Int(1))))),
	} {
		var d Decoder
		got, err := d.Value([]byte(text))
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
	}
}

func TestPartial(t *testing.T) {
	var d Decoder
	p, err := d.Partial([]byte(`{"ID":"n","UpdatedAt":5,"Revision":2,"Ops":[{"Type":1,"Key":"A.B","Value":{"x":1}},{"Type":2,"Key":"C"},{"Type":1,"Key":"D"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if p.ID != "n" || p.UpdatedAt != 5 || p.Revision != 2 || len(p.Ops) != 3 {
		t.Fatalf("got %+v", p)
	}
	if v, ok := p.Ops[0].Value.Object().Get("x"); !ok || v.Int() != 1 || p.Ops[0].Path != "A.B" {
		t.Errorf("first %+v", p.Ops[0])
	}
	if p.Ops[1].Value.Kind() != graph.KindRemoved || p.Ops[2].Value.Kind() != graph.KindNull {
		t.Errorf("others %+v", p.Ops[1:])
	}
}

func TestGraph(t *testing.T) {
	var d Decoder
	var nodes, edges []string
	err := d.Graph([]byte(`{"Nodes":[{"ID":"a"},{"ID":"b"}],"Edges":[{"ID":"e"}],"More":1}`),
		func(e *Element) { nodes = append(nodes, e.ID) },
		func(e *Element) { edges = append(edges, e.ID) })
	if err != nil || fmt.Sprint(nodes, edges) != "[a b] [e]" {
		t.Errorf("got %v %v, %v", nodes, edges, err)
	}
	none := func(*Element) { t.Error("an element of nothing") }
	if err := d.Graph([]byte(`{"Nodes":null,"Edges":null}`), none, none); err != nil {
		t.Error(err)
	}
}

func TestMessage(t *testing.T) {
	var d Decoder
	var m Message
	if err := d.Message([]byte(`{"Namespace":"Graph","Type":"NodeAdded","UUID":"u1","Status":200,"Obj":`+node+`}`), &m); err != nil {
		t.Fatal(err)
	}
	if m.Content != ContentElement || m.Element.ID != "n1" || m.UUID != "u1" || m.Status != 200 {
		t.Errorf("got %+v", m)
	}
	t.Run("object first", func(t *testing.T) {
		if err := d.Message([]byte(`{"Obj":`+node+`,"Namespace":"Graph","Type":"NodeAdded"}`), &m); err != nil {
			t.Fatal(err)
		}
		if m.Content != ContentElement || m.Element.ID != "n1" {
			t.Errorf("got %+v", m)
		}
	})
	t.Run("raw object", func(t *testing.T) {
		if err := d.Message([]byte(`{"Namespace":"Graph","Type":"SyncRequest","Obj": {"Time":1} }`), &m); err != nil {
			t.Fatal(err)
		}
		if m.Content != ContentRaw || string(m.Obj) != `{"Time":1}` {
			t.Errorf("got %+v", m)
		}
	})
	t.Run("partial", func(t *testing.T) {
		if err := d.Message([]byte(`{"Namespace":"Graph","Type":"EdgePartiallyUpdated","Obj":{"ID":"e","Ops":[]}}`), &m); err != nil {
			t.Fatal(err)
		}
		if m.Content != ContentPartial || m.Partial.ID != "e" {
			t.Errorf("got %+v", m)
		}
	})
	t.Run("bad object keeps the UUID", func(t *testing.T) {
		err := d.Message([]byte(`{"Namespace":"Graph","Type":"NodeAdded","UUID":"u2","Obj":{"ID":5}}`), &m)
		if err == nil || m.UUID != "u2" {
			t.Errorf("%v, %+v", err, m)
		}
	})
}

func TestErrorsSayWhereAndWhatToDo(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	for _, c := range []struct{ text, want string }{
		{``, "JSON ends too early: send the whole value, at byte 0"},
		{`{"ID":"n"`, "JSON ends too early: send the whole value, at byte 9"},
		{`{"ID":"n",}`, "malformed JSON"},
		{`[]`, "want an element (an object with ID and Metadata), got a list"},
		{`{"ID":5}`, "want a string, got a number, at byte 7 (/ID)"},
		{`{"ID":"n","Metadata":[1]}`, "want an object, got a list, at byte 22 (/Metadata)"},
		{`{"ID":"n","Metadata":"x"}`, "want an object, got a string, at byte 24 (/Metadata)"},
		{`{"Revision":"1"}`, "want a number, got a string"},
		{`{"Revision":1.5}`, "want a whole number, at byte 15 (/Revision)"},
		{`{"Metadata":{"A":1,"A":2}}`, `key "A" comes twice: send it once, at byte 19 (/Metadata/A)`},
		{"{\"ID\":\"\xff\"}", "text is not UTF-8: encode it so"},
		{`{"ID":"\ud800"}`, "malformed JSON"},
		{`{"ID":"n"} {"ID":"m"}`, "there is more after the JSON value: send one value a message, at byte 11"},
		{`{"Metadata":` + deep + `}`, "nested deeper than 64 levels: flatten it"},
		{`{"Metadata":{"x":1e999}}`, "number 1e999 is out of range: send it as a string"},
		{`nul`, "JSON ends too early"},
		{`{"Metadata":{"x":}}`, "malformed JSON"},
	} {
		var d Decoder
		_, err := d.Element([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: got %v, want %s", c.text, err, c.want)
		}
		var where *Error
		if !errors.As(err, &where) || len(err.Error()) > 600 {
			t.Errorf("%.40s: an error of %d bytes", c.text, len(err.Error()))
		}
	}
}

func TestPartialErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"ID":"n","Ops":[{"Type":3,"Key":"A"}]}`: "unknown operation type 3: use 1 to set, 2 to remove",
		`{"ID":"n","Ops":[{"Type":1}]}`:           "the operation has no Key",
		`{"ID":"n","Ops":{"Type":1}}`:             "want a list of operations, got an object",
	} {
		var d Decoder
		if _, err := d.Partial([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestADecoderIsFineAfterAnError(t *testing.T) {
	var d Decoder
	if _, err := d.Element([]byte(`{"Metadata":{"a":[1,2,{"b":`)); err == nil {
		t.Fatal("no error")
	}
	e, err := d.Element([]byte(node))
	if err != nil || e.Metadata.Len() != 8 {
		t.Fatalf("got %+v, %v", e, err)
	}
}

func TestMaxDepth(t *testing.T) {
	d := Decoder{MaxDepth: 3}
	if _, err := d.Value([]byte(`[[[1]]]`)); err != nil {
		t.Error(err)
	}
	if _, err := d.Value([]byte(`[[[[1]]]]`)); err == nil {
		t.Error("no error")
	}
	if err := d.Valid([]byte(`[[[1]]]`)); err != nil {
		t.Error(err)
	}
	if err := d.Valid([]byte(`[[[[1]]]]`)); err == nil {
		t.Error("no error")
	}
	if err := d.Valid([]byte(`1 2`)); err == nil {
		t.Error("no error")
	}
}

// FuzzValue holds the decoder against encoding/json: what both take means the same, and
// what comes out is JSON that comes in again.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{node, `[1,2.5,"x",null,true,{"a":{}}]`, `"\u00e9\\"`, `{"a":1,"a":2}`, `1e400`, "\"\xff\"", `[[[`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Decoder
		v, err := d.Value(data)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if !json.Valid(data) {
			t.Fatalf("took %q", data)
		}
		out := v.AppendJSON(nil)
		again, err := d.Value(out)
		if err != nil || !again.Equal(v) {
			t.Fatalf("%q came out as %q, then %s, %v", data, out, again, err)
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"Namespace":"Graph","Type":"NodeAdded","UUID":"u","Status":200,"Obj":` + node + `}`))
	f.Add([]byte(`{"Obj":{"ID":"x","Ops":[{"Type":1,"Key":"a","Value":[]}]},"Namespace":"Graph","Type":"NodePartiallyUpdated"}`))
	f.Add([]byte(`{"Namespace":"Graph","Type":"SyncRequest","Obj":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := Decoder{MaxDepth: 10}
		var m Message
		if err := d.Message(data, &m); err != nil {
			return
		}
		if m.Content == ContentElement {
			ev := m.Element.Put(graph.PutNode)
			ev.Metadata.AppendJSON(nil)
		}
		_ = d.Graph(m.Obj, func(*Element) {}, func(*Element) {})
	})
}

func BenchmarkElement(b *testing.B) {
	data := []byte(node)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var d Decoder
	for b.Loop() {
		if _, err := d.Element(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	data := []byte(`{"Namespace":"Graph","Type":"NodeAdded","UUID":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","Status":200,"Obj":` + node + `}`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var d Decoder
	var m Message
	for b.Loop() {
		if err := d.Message(data, &m); err != nil {
			b.Fatal(err)
		}
	}
}

// A dotted key makes as many levels as nested objects do.
func TestOperationsThatNestTooDeeply(t *testing.T) {
	path := func(levels int) string { return strings.Repeat("a.", levels-1) + "a" }
	text := func(key, value string) []byte {
		return []byte(`{"ID":"n","Ops":[{"Type":1,"Key":"` + key + `","Value":` + value + `}]}`)
	}
	lists := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tc := range []struct {
		max        int
		key, value string
		reason     string
	}{
		{0, path(64), "1", ""},
		{0, path(65), "1", "the operation's Key and Value make more than 64 levels: flatten them"},
		{0, path(44), lists(20), ""},
		{0, path(44), lists(21), "make more than 64 levels"},
		{3, "a.b", `{"c":1}`, "nested deeper than 3 levels"}, // with the operation around it
		{10_000, path(128), "1", ""},
		{10_000, path(129), "1", "make more than 128 levels"},
		{0, path(100_000), "1", "the operation's Key has 199999 bytes, more than 4096: use a shorter one"},
		{0, strings.Repeat("a", 4096), "1", ""},
	} {
		d := Decoder{MaxDepth: tc.max}
		_, err := d.Partial(text(tc.key, tc.value))
		var own *Error
		switch {
		case tc.reason == "" && err != nil, tc.reason != "" && !errors.As(err, &own):
			t.Errorf("%d bytes of %.10s…: %v", len(tc.key), tc.key, err)
		case tc.reason != "" && (!strings.Contains(own.Reason, tc.reason) || own.Offset == 0 || !strings.HasPrefix(own.Path, "/Ops/0")):
			t.Errorf("got %v, want %s", own, tc.reason)
		}
	}
}

// What a decoder of any setting takes can be encoded for the bus, and decoded there.
func TestDeepestGoesOverTheBus(t *testing.T) {
	d := Decoder{MaxDepth: 1 << 20}
	deepest := strings.Repeat(`{"a":`, graph.MaxDepth-1) + "1" + strings.Repeat("}", graph.MaxDepth-1)
	m, err := d.Metadata([]byte(deepest))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = d.Metadata([]byte(`{"a":{"a":` + deepest + "}}")); err == nil {
		t.Error("deeper than what the graph takes")
	}
	p, err := d.Partial([]byte(`{"ID":"n","Ops":[{"Type":1,"Key":"` + strings.Repeat("a.", graph.MaxDepth-1) + `a","Value":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	b := &graph.Batch{Origin: "p", Events: []graph.Event{
		{Op: graph.PutNode, ID: "n", Metadata: m},
		{Op: graph.PatchNode, ID: "n", Patch: p.Ops},
		{Op: graph.PutLayer, ID: "n", Rank: graph.RankUser, Metadata: m},
	}}
	if b, err = graph.DecodeBatch(graph.AppendBatch(nil, b)); err != nil {
		t.Fatal(err)
	}
	if res, err := graph.New(graph.Options{}).Apply(b); err != nil || len(res.Rejected) > 0 {
		t.Fatal(err, res.Rejected)
	}
}
