package graph_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-net/weft/graph"
)

func metadata(t testing.TB, text string) graph.Metadata {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	out, err := graph.MetadataOf(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestMetadataRoundTripsJSON(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"A":1,"B":-7,"C":1.5,"D":"text","E":true,"F":false,"G":null}`,
		`{"L":[],"M":[1,"two",[3,{"Four":4}],null],"O":{},"P":{"Q":{"R":"S"}}}`,
		`{"":1,"a.b":2,"é":"\u0001\t\"\\<>&  😀"}`,
		`{"Long":"` + strings.Repeat("x", 300) + `","Short":1}`,
		`{"Long":"` + strings.Repeat("x", 70000) + `","Short":1}`,
		`{"Max":9223372036854775807,"Min":-9223372036854775808}`,
	} {
		var m graph.Metadata
		var wanted any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&wanted); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "9223372036854775807") { // encoding/json rounds those
			m = metadata(t, text)
		} else {
			m = graph.NewMetadata(graph.F("Max", graph.Int(math.MaxInt64)), graph.F("Min", graph.Int(math.MinInt64)))
		}
		var got any
		d = json.NewDecoder(strings.NewReader(string(m.AppendJSON(nil))))
		d.UseNumber()
		if err := d.Decode(&got); err != nil {
			t.Fatalf("%s: %v", m.AppendJSON(nil), err)
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%.80s: %s", text, diff)
		}
		again, err := graph.MetadataOf(m.Map())
		if err != nil || !again.Equal(m) {
			t.Errorf("%.80s: not the same through a map: %v", text, err)
		}
	}
}

func TestMetadataIsSortedAndLaterFieldsWin(t *testing.T) {
	m := graph.NewMetadata(graph.F("b", graph.Int(1)), graph.F("a", graph.Int(2)), graph.F("b", graph.Int(3)), graph.F("c", graph.Value{}))
	want(t, "metadata", string(m.AppendJSON(nil)), `{"a":2,"b":3}`)
	want(t, "length", m.Len(), 2)
	same := graph.NewMetadata(graph.F("a", graph.Float(2)), graph.F("b", graph.Int(3)))
	want(t, "equal", m.Equal(same), true)
	want(t, "with", string(m.With(graph.F("a", graph.Value{}), graph.F("d", graph.Null())).AppendJSON(nil)), `{"b":3,"d":null}`)
	want(t, "without", string(m.Without("a", "x").AppendJSON(nil)), `{"b":3}`)
	want(t, "nothing left", m.Without("a", "b").Equal(graph.Metadata{}), true)
}

func TestPaths(t *testing.T) {
	m := metadata(t, `{"A":{"B":{"C":1},"x.y":2},"A.B":{"D":3},"N":[{"IP":"1"},{"IP":"2"},{"MAC":"3"},4],
		"T":[{"R":[{"P":"a"},{"P":"b"}]},{"R":[{"P":"c"}]},{"R":{"P":"d"}}],"S":"s"}`)
	for path, w := range map[string]string{
		"A.B": `{"D":3}`, "A.B.C": `1`, "A.B.D": `3`, "A.x.y": `2`, "N.IP": `["1","2"]`, "T.R.P": `["a","b","c","d"]`,
		"S.x": ``, "Z": ``, "N.Q": ``, "A.B.C.D": ``, "": ``, ".": ``, "A.": ``,
	} {
		got := ""
		if v, ok := m.Lookup(path); ok {
			got = string(v.AppendJSON(nil))
		}
		want(t, path, got, w)
	}
	s := graph.Metadata{}.Set("A.B.C", graph.Int(1)).Set("A.B.D", graph.Int(2)).Set("S", graph.String("s"))
	want(t, "set", string(s.AppendJSON(nil)), `{"A":{"B":{"C":1,"D":2}},"S":"s"}`)
	want(t, "over a string", string(s.Set("S.T", graph.Int(1)).AppendJSON(nil)), `{"A":{"B":{"C":1,"D":2}},"S":{"T":1}}`)
	want(t, "unset", string(s.Unset("A.B.C").Unset("S").Unset("No.Such").AppendJSON(nil)), `{"A":{"B":{"D":2}}}`)
	want(t, "whole key", string(m.Set("A.B", graph.Int(9)).Unset("A").AppendJSON(nil))[:12], `{"A.B":9,"N"`)
}

func TestMergeMasks(t *testing.T) {
	under := metadata(t, `{"A":1,"O":{"X":1,"Y":{"Z":1}},"S":"s"}`)
	over := graph.NewMetadata(
		graph.F("A", graph.Removed()),
		graph.F("O", graph.Object(graph.NewMetadata(graph.F("Y", graph.Object(graph.NewMetadata(graph.F("Z", graph.Removed())))), graph.F("W", graph.Int(2))))),
		graph.F("S", graph.Object(graph.NewMetadata(graph.F("N", graph.Removed()), graph.F("M", graph.Int(1))))),
		graph.F("New", graph.Removed()),
	)
	want(t, "merged", string(under.Merge(over).AppendJSON(nil)), `{"O":{"W":2,"X":1,"Y":{}},"S":{"M":1}}`)
	want(t, "over nothing", string(graph.Metadata{}.Merge(over).AppendJSON(nil)), `{"O":{"W":2,"Y":{}},"S":{"M":1}}`)
	want(t, "nothing over it", under.Merge(graph.Metadata{}).Equal(under), true)
	want(t, "removed never shows", strings.Contains(string(over.AppendJSON(nil)), "null"), false)
	list := graph.List(graph.Removed(), graph.Object(over))
	want(t, "in a list", string(list.AppendJSON(nil)), `[null,{"O":{"W":2,"Y":{}},"S":{"M":1}}]`)
}

func TestValuesHaveATotalOrder(t *testing.T) {
	sorted := []graph.Value{
		{},
		graph.Null(), graph.Bool(false), graph.Bool(true), graph.Float(math.NaN()), graph.Float(math.Inf(-1)),
		graph.Float(-1e300), graph.Int(math.MinInt64), graph.Float(-1.5), graph.Int(-1), graph.Int(0), graph.Float(0.5),
		graph.Int(1), graph.Int(math.MaxInt64 - 1), graph.Int(math.MaxInt64), graph.Float(1 << 63), graph.Float(math.Inf(1)),
		graph.String(""), graph.String("a"), graph.String("b"), graph.List(), graph.List(graph.Int(1)),
		graph.List(graph.Int(1), graph.Int(0)), graph.List(graph.Int(2)), graph.Object(graph.Metadata{}),
		graph.Object(graph.NewMetadata(graph.F("a", graph.Int(1)))), graph.Object(graph.NewMetadata(graph.F("a", graph.Int(2)))),
		graph.Object(graph.NewMetadata(graph.F("b", graph.Int(0)))), graph.Removed(),
	}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, w := a.Compare(b), slices.Compare([]int{i}, []int{j}); got != w {
				t.Errorf("%s %v with %s %v: %d", a.Kind(), a, b.Kind(), b, got)
			}
			want(t, "equal", a.Equal(b), i == j)
		}
	}
}

func TestValuesAsGo(t *testing.T) {
	for _, v := range []any{nil, true, int64(7), 1.5, "text", []any{int64(1), "x"}, map[string]any{"k": []any{}}} {
		got, err := graph.ValueOf(v)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v, got.Any()); diff != "" {
			t.Error(diff)
		}
	}
	for in, w := range map[any]graph.Value{
		int8(-1): graph.Int(-1), uint16(3): graph.Int(3), float32(2): graph.Int(2), 1e300: graph.Float(1e300),
		uint64(math.MaxUint64): graph.Float(math.MaxUint64), math.Copysign(0, -1): graph.Int(0),
	} {
		got, err := graph.ValueOf(in)
		if err != nil || !got.Equal(w) {
			t.Errorf("%T %v: %v %v", in, in, got, err)
		}
	}
	if _, err := graph.ValueOf(map[string]any{"a": []any{struct{}{}}}); err == nil || !strings.Contains(err.Error(), `key "a": item 0`) {
		t.Error(err)
	}
	deep := any("bottom")
	for range graph.MaxDepth + 1 {
		deep = []any{deep}
	}
	if _, err := graph.ValueOf(deep); err == nil {
		t.Error("a value deeper than MaxDepth")
	}
	want(t, "stringer of text", graph.String("as is").String(), "as is")
	want(t, "int of a float", graph.Float(2.7).Int(), 2)
	want(t, "length", []int{graph.Strings("a", "b").Len(), graph.String("abc").Len(), graph.Int(1).Len()}, []int{2, 3, 0})
}

func TestFloatsInJSON(t *testing.T) {
	for _, f := range []float64{0.1, -1.5, 1e-7, 1.5e300, 123456789.25, 1e21 + 0.5, 5e-324} {
		w, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		v := graph.Float(f)
		if v.Kind() == graph.KindFloat {
			want(t, "float", string(v.AppendJSON(nil)), string(w))
		}
	}
	want(t, "no number in JSON", string(graph.Float(math.Inf(1)).AppendJSON(nil)), "null")
}

// FuzzMetadata packs whatever JSON object comes, and compares every way out of it.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"A":1,"B":[1,2,{"C":"x"}],"D":{"E":null,"F":1.25}}`), "B.C")
	f.Add([]byte(`{"":"","a.b":true}`), "a.b")
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		var m map[string]any
		if json.Unmarshal(data, &m) != nil {
			return
		}
		md, err := graph.MetadataOf(m)
		if err != nil {
			return
		}
		again, err := graph.MetadataOf(md.Map())
		if err != nil || !again.Equal(md) {
			t.Fatalf("through a map: %v", err)
		}
		var back map[string]any
		if err := json.Unmarshal(md.AppendJSON(nil), &back); err != nil {
			t.Fatalf("%s: %v", md.AppendJSON(nil), err)
		}
		if fromJSON, err := graph.MetadataOf(back); err != nil || !fromJSON.Equal(md) {
			t.Fatalf("through JSON: %v", err)
		}
		set := md.Set(path, graph.Int(42))
		if v, ok := set.Lookup(path); path != "" && strings.Count(path, ".") < graph.MaxDepth && (!ok || v.Int() != 42) {
			t.Fatalf("set %q: %v in %s", path, v, set.AppendJSON(nil))
		}
		if !md.Merge(graph.Metadata{}).Equal(md) || !(graph.Metadata{}).Merge(md).Equal(md) || !md.Merge(md).Equal(md) {
			t.Fatal("merge")
		}
		b := &graph.Batch{Events: []graph.Event{{Op: graph.PutNode, ID: "x", Metadata: md}}}
		decoded, err := graph.DecodeBatch(graph.AppendBatch(nil, b))
		if err != nil || !decoded.Events[0].Metadata.Equal(md) {
			t.Fatalf("codec: %v", err)
		}
	})
}
