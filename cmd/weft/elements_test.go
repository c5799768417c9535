package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func openNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// readAll gives each element as "node a" or "edge e a>b", and each bad one as "bad: …".
func readAll(text string) (got []string, err error) {
	err = readElements(strings.NewReader(text), func(el element) error {
		if el.edge {
			got = append(got, fmt.Sprintf("edge %s %s>%s", el.id, el.parent, el.child))
		} else {
			got = append(got, "node "+el.id)
		}
		return nil
	}, func(bad *badElement) error {
		got = append(got, "bad: "+bad.Error())
		return nil
	})
	return got, err
}

func TestReadElements(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"a dump", `{"Nodes":[{"ID":"a"},{"ID":"b"}],"Edges":[{"ID":"e","Parent":"a","Child":"b"}]}`, []string{"node a", "node b", "edge e a>b"}},
		{"an empty dump", `{"Nodes":null,"Edges":null}`, nil},
		{"edges first", `{"Edges":[{"ID":"e","Parent":"a","Child":"b"}],"Nodes":[{"ID":"a"}]}`, []string{"edge e a>b", "node a"}},
		{"the query G", `[{"Nodes":[{"ID":"a"}],"Edges":null}]`, []string{"node a"}},
		{"an array", `[{"ID":"a"},{"ID":"e","Child":"b","Parent":"a"}]`, []string{"node a", "edge e a>b"}},
		{"paths", `[[{"ID":"a"},{"ID":"b"}]]`, []string{"node a", "node b"}},
		{"one after the other", "{\"ID\":\"a\"}\n{\"ID\":\"b\"}\n", []string{"node a", "node b"}},
		{"lines of listen", `{"Namespace":"Graph","Type":"NodeUpdated","UUID":"u","Status":200,"Obj":{"ID":"a","Metadata":{}}}`, []string{"node a"}},
		{"a sync reply", `{"Type":"SyncReply","Obj":{"Nodes":[{"ID":"a"}],"Edges":[]}}`, []string{"node a"}},
		{"nothing", "", nil},
		{"null", "null", nil},
		{"no ID", `{"Nodes":[{"ID":"a"},{"Metadata":{}},{"ID":""}]}`, []string{"node a", "bad: /Nodes/1: no ID", "bad: /Nodes/2: no ID"}},
		{"half an edge", `[{"ID":"e","Parent":"a"}]`, []string{"bad: /0: edge e: both Parent and Child are needed"}},
		{"a number for an ID", `[{"ID":1},{"ID":"b"}]`, []string{"bad: /0: /ID: not of the right kind (a number)", "node b"}},
		{"metadata that is none", `[{"ID":"a","Metadata":[]},{"ID":"b"}]`, []string{"bad: /0: /Metadata: not of the right kind (a list)", "node b"}},
		{"words among elements", `{"Nodes":["a",{"ID":"b"}]}`, []string{`bad: /Nodes/0: an element expected, got "a"`, "node b"}},
		{"in the third value", "{\"ID\":\"a\"} {\"ID\":\"b\"} {\"Name\":1}", []string{"node a", "node b", "bad: value 3: no ID"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("elements (-want +got):\n%s", diff)
			}
		})
	}
}

// A file that ends early, or is no JSON, is an error with the place; what came
// before it was read.
func TestReadElementsOfBrokenFiles(t *testing.T) {
	whole := `{"Nodes":[{"ID":"a","Metadata":{"Name":"x"}}],"Edges":[{"ID":"e","Parent":"a","Child":"b"}]}`
	for n := 1; n < len(whole); n++ {
		if _, err := readAll(whole[:n]); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d bytes, and no error: %v", n, err)
		}
	}
	got, err := readAll(`{"Nodes":[{"ID":"a"},{"ID":]}`)
	if err == nil || !strings.Contains(err.Error(), "not JSON at byte 27") {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]string{"node a"}, got); diff != "" {
		t.Error(diff)
	}
}

// What came with an element is kept: that is what a dump is for.
func TestReadElementsKeepsEverything(t *testing.T) {
	text := `{"ID":"e","Metadata":{"n":9007199254740993,"f":1.5,"l":[1,"x",null],"o":{"a.b":true}},"Host":"h","Origin":"o.p","CreatedAt":1,"UpdatedAt":2,"DeletedAt":3,"Revision":4,"Parent":"a","Child":"b"}`
	err := readElements(strings.NewReader("["+text+"]"), func(el element) error {
		if diff := cmp.Diff(text, string(el.text)); diff != "" {
			t.Errorf("the element changed on the way (-want +got):\n%s", diff)
		}
		return nil
	}, func(bad *badElement) error { return bad })
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadElementsStopsWhenAsked(t *testing.T) {
	stop := errors.New("enough")
	n := 0
	err := readElements(strings.NewReader(`[{"ID":"a"},{"ID":"b"}]`), func(element) error { n++; return stop }, nil)
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("read %d elements, %v", n, err)
	}
}

func FuzzReadElements(f *testing.F) {
	for _, seed := range []string{
		`{"Nodes":[{"ID":"a"}],"Edges":[{"ID":"e","Parent":"a","Child":"b"}]}`,
		`[[{"ID":"a"}],null,1]`, `{"Obj":{"Obj":{"ID":"a"}}}`, `{"Nodes":{"ID":"a"}}`, `{"ID":"a","ID":"b"}`, "\"\xff\"", `{"a":`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_ = readElements(strings.NewReader(text), func(el element) error {
			if el.id == "" || el.edge != (el.parent != "" && el.child != "") || !el.text.IsValid() {
				t.Errorf("element %+v", el)
			}
			return nil
		}, func(bad *badElement) error {
			if bad.Reason == nil {
				t.Error("bad without a reason")
			}
			return nil
		})
	})
}
