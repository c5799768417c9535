package api_test

import (
	"encoding/json"
	"fmt"
	"mime"
	"regexp"
	"strings"
	"testing"

	"github.com/weft-net/weft/internal/api/apitest"
)

// description is the part of an OpenAPI document that the test holds answers against.
type description struct {
	Paths map[string]map[string]struct {
		OperationID string
		Responses   map[string]struct {
			Description string
			Content     map[string]struct{ Schema map[string]any }
		}
	}
	Components struct{ Schemas map[string]any }
}

// described loads the description that a server gives of itself and checks that it is
// whole: references lead somewhere, operations have a name of their own.
func described(t testing.TB, s *apitest.Server) *description {
	t.Helper()
	text := expect(t, s, 200, "GET", "/api/openapi.json", "")
	doc := new(description)
	if err := json.Unmarshal([]byte(text), doc); err != nil {
		t.Fatal(err)
	}
	for _, ref := range regexp.MustCompile(`"\$ref": "([^"]*)"`).FindAllStringSubmatch(text, -1) {
		name, ok := strings.CutPrefix(ref[1], "#/components/schemas/")
		if !ok || doc.Components.Schemas[name] == nil {
			t.Errorf("reference %s leads nowhere", ref[1])
		}
	}
	names := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.OperationID == "" || names[op.OperationID] {
				t.Errorf("%s %s: operation id %q", method, path, op.OperationID)
			}
			names[op.OperationID] = true
		}
	}
	return doc
}

// route finds the described path that a request's path fits.
func (d *description) route(path string) string {
	if _, ok := d.Paths[path]; ok {
		return path
	}
	for candidate := range d.Paths {
		head, _, variable := strings.Cut(candidate, "{")
		rest, fits := strings.CutPrefix(path, head)
		if variable && fits && !strings.Contains(rest, "/") {
			return candidate
		}
	}
	return ""
}

// shape checks a value against a schema: types, nullability, required members, enums.
func (d *description) shape(schema map[string]any, value any, where string) error {
	if ref, ok := schema["$ref"].(string); ok {
		return d.shape(d.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")].(map[string]any), value, where)
	}
	if value == nil {
		if schema["nullable"] == true || schema["type"] == nil {
			return nil
		}
		return fmt.Errorf("%s is null", where)
	}
	all, _ := schema["allOf"].([]any)
	for _, part := range all {
		if err := d.shape(part.(map[string]any), value, where); err != nil {
			return err
		}
	}
	switch schema["type"] {
	case "object":
		members, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is a %T", where, value)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, there := members[name.(string)]; !there {
				return fmt.Errorf("%s lacks %s", where, name)
			}
		}
		properties, _ := schema["properties"].(map[string]any)
		others, _ := schema["additionalProperties"].(map[string]any)
		for name, member := range members {
			of, known := properties[name].(map[string]any)
			if !known {
				of = others
			}
			if of == nil {
				continue
			}
			if err := d.shape(of, member, where+"."+name); err != nil {
				return err
			}
		}
	case "array":
		list, ok := value.([]any)
		if !ok {
			return fmt.Errorf("%s is a %T", where, value)
		}
		for i, item := range list {
			if err := d.shape(schema["items"].(map[string]any), item, fmt.Sprint(where, "[", i, "]")); err != nil {
				return err
			}
		}
	case "string":
		if _, ok := value.(string); !ok {
			return fmt.Errorf("%s is a %T", where, value)
		}
	case "integer":
		if n, ok := value.(float64); !ok || n != float64(int64(n)) {
			return fmt.Errorf("%s is %v", where, value)
		}
	case "boolean":
		if _, ok := value.(bool); !ok {
			return fmt.Errorf("%s is a %T", where, value)
		}
	}
	return nil
}

// TestAnswersAreAsDescribed sends requests to every route and holds the answers against
// the description.
func TestAnswersAreAsDescribed(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s)
	doc := described(t, s)
	requests := []struct{ method, path, body, kind string }{
		{"GET", "/api", "", ""},
		{"POST", "/login", "username=a&password=b", "application/x-www-form-urlencoded"},
		{"GET", "/api/topology", "", ""},
		{"POST", "/api/topology", `{"GremlinQuery":"G"}`, ""},
		{"POST", "/api/topology", `{"GremlinQuery":"G.V().Count()"}`, ""},
		{"POST", "/api/topology", `{"GremlinQuery":"G.V().Values('None')"}`, ""},
		{"POST", "/api/topology", `{"GremlinQuery":"G.X()"}`, ""},
		{"POST", "/api/topology", `{"GremlinQuery":""}`, ""},
		{"GET", "/api/status", "", ""},
		{"GET", "/api/config/x", "", ""},
		{"GET", "/api/openapi.json", "", ""},
		{"GET", "/metrics", "", ""},
		{"GET", "/healthz", "", ""},
		{"GET", "/readyz", "", ""},
		{"GET", "/ws/publisher", "", ""},
		{"GET", "/ws/subscriber", "", ""},
		{"GET", "/ws/pubsub", "", ""},
		{"GET", "/ws/subscriber/flow", "", ""},
		{"POST", "/api/pcap", "no file", ""},
	}
	for kind, body := range map[string]string{
		"node":     aNode,
		"edge":     `{"ID":"e9","Parent":"a","Child":"b","Metadata":{"RelationType":"layer2"}}`,
		"noderule": `{"UUID":"r1","Metadata":{"A":1},"Action":"update","Query":"G.V()"}`,
		"edgerule": `{"UUID":"r2","Metadata":{"RelationType":"layer2"},"Src":"G.V()","Dst":"G.V()"}`,
		"capture":  `{"UUID":"c1","GremlinQuery":"G.V()"}`,
	} {
		id := map[string]string{"node": "n1", "edge": "e9", "noderule": "r1", "edgerule": "r2", "capture": "c1"}[kind]
		path := "/api/" + kind
		requests = append(requests, []struct{ method, path, body, kind string }{
			{"GET", path, "", ""},
			{"POST", path, body, ""},
			{"POST", path, body, ""}, // again: a conflict
			{"GET", path + "/" + id, "", ""},
			{"GET", path + "/none", "", ""},
			{"PATCH", path + "/" + id, `[{"op":"add","path":"/Metadata/X","value":1}]`, ""},
			{"PATCH", path + "/" + id, `[]`, ""},
			{"DELETE", path + "/" + id, "", ""},
			{"DELETE", path + "/" + id, "", ""},
		}...)
	}
	tried := map[string]bool{}
	for _, r := range requests {
		kind := r.kind
		if kind == "" {
			kind = "application/json"
		}
		res, text := call(t, s, r.method, r.path, r.body, "Content-Type", kind)
		path := doc.route(r.path)
		op, ok := doc.Paths[path][strings.ToLower(r.method)]
		if !ok {
			t.Errorf("%s %s is not described", r.method, r.path)
			continue
		}
		tried[strings.ToLower(r.method)+" "+path] = true
		answer, ok := op.Responses[fmt.Sprint(res.StatusCode)]
		if !ok {
			t.Errorf("%s %s: status %d is not described", r.method, r.path, res.StatusCode)
			continue
		}
		if len(answer.Content) == 0 || text == "" {
			if text != "" {
				t.Errorf("%s %s: %d with a body %.80s", r.method, r.path, res.StatusCode, text)
			}
			continue
		}
		kind, _, _ = mime.ParseMediaType(res.Header.Get("Content-Type"))
		content, ok := answer.Content[kind]
		if !ok {
			t.Errorf("%s %s: %d as %q is not described", r.method, r.path, res.StatusCode, kind)
			continue
		}
		if kind == "application/json" {
			var value any
			if err := json.Unmarshal([]byte(text), &value); err != nil {
				t.Errorf("%s %s: %v", r.method, r.path, err)
			} else if err := doc.shape(content.Schema, value, "answer"); err != nil {
				t.Errorf("%s %s: %v in %.200s", r.method, r.path, err, text)
			}
		}
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			if !tried[method+" "+path] {
				t.Errorf("%s %s was not tried", method, path)
			}
		}
	}
}

// TestDescriptionIsStable: the same table gives the same text.
func TestDescriptionIsStable(t *testing.T) {
	s := apitest.Start(t)
	first := expect(t, s, 200, "GET", "/api/openapi.json", "")
	second := apitest.Start(t)
	if expect(t, second, 200, "GET", "/api/openapi.json", "") != first {
		t.Error("it changes from server to server")
	}
	if !json.Valid([]byte(first)) {
		t.Error("not JSON")
	}
}

// What requests may have beside a body is described, and nothing that they may not.
func TestOpenAPIParameters(t *testing.T) {
	s := apitest.Start(t)
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In, Description string }
		}
	}
	if err := json.Unmarshal([]byte(expect(t, s, 200, "GET", "/api/openapi.json", "")), &doc); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, path, want string }{
		{"post", "/api/pcap", "query CaptureID, query NodeTID"},
		{"post", "/api/capture", "header X-Resource-TTL"},
		{"get", "/api/capture/{id}", "path id"},
		{"get", "/ws/subscriber/flow", "header X-Client-Type, header X-Host-ID, header X-Client-Protocol, header X-Websocket-Namespace"},
	} {
		var got []string
		for _, p := range doc.Paths[c.path][c.method].Parameters {
			got = append(got, p.In+" "+p.Name)
			if p.In != "path" && p.Description == "" {
				t.Errorf("%s: nothing says what %s is for", c.path, p.Name)
			}
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s %s takes %s, want %s", c.method, c.path, text, c.want)
		}
	}
}
