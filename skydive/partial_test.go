package skydive

import (
	"reflect"
	"strings"
	"testing"
)

func TestPartialUpdateIsAppliedToACopy(t *testing.T) {
	before := Metadata{"Name": "eth0", "Metric": map[string]any{"RxBytes": int64(1), "Start": int64(0)}, "Old": map[string]any{"A": int64(1), "B": int64(2)}, "a.b": int64(1), "Down": true}
	keep := Metadata{"Name": "eth0", "Metric": map[string]any{"RxBytes": int64(1), "Start": int64(0)}, "Old": map[string]any{"A": int64(1), "B": int64(2)}, "a.b": int64(1), "Down": true}
	u := &PartialUpdate{ID: "n1", Ops: []PartialOp{
		{Type: OpAdd, Key: "Metric.RxBytes", Value: int64(1200)},
		{Type: OpAdd, Key: "Ovs.Stats.Rx", Value: int64(7)},
		{Type: OpAdd, Key: "a.b", Value: int64(2)},
		{Type: OpAdd, Key: "Name.First", Value: "x"},
		{Type: OpDel, Key: "Metric.Start"},
		{Type: OpDel, Key: "Old.A"},
		{Type: OpDel, Key: "Down"},
		{Type: OpDel, Key: "Not.There"},
	}}
	after, err := u.Apply(before)
	if err != nil {
		t.Fatal(err)
	}
	want := Metadata{
		"Name": map[string]any{"First": "x"}, "Metric": map[string]any{"RxBytes": int64(1200)}, "Old": map[string]any{"B": int64(2)}, "a.b": int64(2),
		"Ovs": map[string]any{"Stats": map[string]any{"Rx": int64(7)}},
	}
	if !reflect.DeepEqual(after, want) {
		t.Errorf("got  %v\nwant %v", after, want)
	}
	if !reflect.DeepEqual(before, keep) {
		t.Errorf("the old metadata changed to %v", before)
	}
}

func TestPartialUpdateOfNothingMakesMetadata(t *testing.T) {
	u := &PartialUpdate{Ops: []PartialOp{{Type: OpAdd, Key: "A.B", Value: true}}}
	got, err := u.Apply(nil)
	if err != nil || !reflect.DeepEqual(got, Metadata{"A": map[string]any{"B": true}}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestUnknownStepIsAnError(t *testing.T) {
	u := &PartialUpdate{ID: "n1", Ops: []PartialOp{{Type: 3, Key: "A"}}}
	if _, err := u.Apply(nil); err == nil || !strings.Contains(err.Error(), `partial update of "n1": step 0 has unknown type 3`) {
		t.Errorf("got %v", err)
	}
}

func TestValuesAreFoundByPath(t *testing.T) {
	m := Metadata{
		"Name": "eth0", "MTU": int64(1500), "a.b": "exact", "a": map[string]any{"b": "nested"}, "Metric": Metadata{"RxBytes": int64(3)},
		"Neighbors": []any{map[string]any{"IP": "10.0.0.1"}, map[string]any{"MAC": "x"}, map[string]any{"IP": "10.0.0.2"}, "odd"},
	}
	for path, want := range map[string]any{
		"Name": "eth0", "a.b": "exact", "Metric.RxBytes": int64(3), "Neighbors.IP": []any{"10.0.0.1", "10.0.0.2"},
		"Nothing": nil, "Name.x": nil, "Neighbors.None": nil, "": nil, ".": nil,
	} {
		got, ok := m.Get(path)
		if ok != (want != nil) || want != nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, %v, want %v", path, got, ok, want)
		}
	}
	if m.Str(KeyName) != "eth0" || m.Int(KeyMTU) != 1500 || m.Str(KeyMTU) != "" || m.Int(KeyName) != 0 {
		t.Error("typed access is wrong")
	}
}
