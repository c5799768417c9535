package main

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What must wait for the end of the file depends on what is done with it.
func TestHold(t *testing.T) {
	node := func(id string) element { return element{id: id} }
	edge := element{edge: true, id: "e", parent: "a", child: "b"}
	for _, c := range []struct {
		mode loadMode
		file []element
		held []bool
	}{
		{loadAdd, []element{node("a"), node("b"), edge}, []bool{false, false, false}},
		{loadAdd, []element{edge, node("a"), node("b"), edge}, []bool{true, false, false, false}},
		{loadAdd, []element{node("a"), edge, node("b")}, []bool{false, true, false}},
		{loadUpdate, []element{edge, node("a")}, []bool{false, false}},
		{loadDelete, []element{node("a"), edge}, []bool{true, false}},
	} {
		l := load{mode: c.mode, known: map[string]bool{}}
		for i, el := range c.file {
			if got := l.hold(el); got != c.held[i] {
				t.Errorf("%s: element %d (%s) held: %v", c.mode.verb(), i, el.id, got)
			}
		}
	}
}

// A million refusals are a few lines: equal reasons meet, with examples.
func TestRejectionsAreSummed(t *testing.T) {
	var r rejections
	for i := range 100_000 {
		r.add(fmt.Sprintf("e%d", i), "", fmt.Sprintf("edge e%d: child node is not known", i))
	}
	r.add("", "/Nodes/3", "no ID")
	r.add("", "", "message is no JSON")
	want := []string{
		"rejected 100000, edge …: child node is not known: e0, e1, e2, e3, e4, …",
		"rejected 1, no ID: /Nodes/3",
		"rejected 1, message is no JSON",
	}
	if diff := cmp.Diff(want, r.lines()); diff != "" {
		t.Error(diff)
	}
	if r.count() != 100_002 || r.local != 1 || !r.mention("known") || r.mention("revision") {
		t.Errorf("%d in all, %d of them here", r.count(), r.local)
	}
	for i := range 1000 {
		r.add("", "", fmt.Sprintf("reason %d", i))
	}
	if lines := r.lines(); len(lines) > maxReasons+1 || lines[len(lines)-1] != "rejected 983, other reasons" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestWithoutRevision(t *testing.T) {
	got, err := withoutRevision([]byte(`{ "ID" : "a", "Revision": 7, "Metadata": {"Revision": 3, "n": 1e400} }`))
	if err != nil || string(got) != `{"ID":"a","Metadata":{"Revision": 3, "n": 1e400}}` {
		t.Errorf("%s, %v", got, err)
	}
}
