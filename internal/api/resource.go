package api

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/weft-net/weft/skydive"
)

// resource is what the endpoints of one kind of resource do. Bodies and results are JSON.
type resource interface {
	// list writes an object of all resources keyed by id.
	list(ctx context.Context, w http.ResponseWriter) error
	get(ctx context.Context, id string) ([]byte, error)
	create(ctx context.Context, body []byte, ttl time.Duration) ([]byte, error)
	// replace puts what a patch made of a resource; errUnchanged when that is nothing.
	replace(ctx context.Context, id string, old, patched []byte) ([]byte, error)
	remove(ctx context.Context, id string) error
}

// errUnchanged is answered with 304.
var errUnchanged = &httpError{status: http.StatusNotModified, err: fmt.Errorf("unchanged")}

// resourceKind is one line of the table of resources.
type resourceKind struct {
	kind   string   // as in Store, and the path below /api
	title  string   // in messages
	schema string   // of the OpenAPI description
	fields []string // of a body
	open   func(*Server, resourceKind) resource
}

func resourceKinds() []resourceKind {
	return []resourceKind{
		{kind: KindNode, title: "Node", schema: "Node", fields: fieldsOf(reflect.TypeFor[skydive.Node]()), open: openNodes},
		{kind: KindEdge, title: "Edge", schema: "Edge", fields: fieldsOf(reflect.TypeFor[skydive.Edge]()), open: openEdges},
		{kind: KindNodeRule, title: "NodeRule", schema: "NodeRule", fields: fieldsOf(reflect.TypeFor[skydive.NodeRule]()), open: openRules},
		{kind: KindEdgeRule, title: "EdgeRule", schema: "EdgeRule", fields: fieldsOf(reflect.TypeFor[skydive.EdgeRule]()), open: openRules},
		{kind: KindCapture, title: "Capture", schema: "Capture", fields: fieldsOf(reflect.TypeFor[skydive.CaptureState]()), open: openCaptures},
	}
}

// routes are the five endpoints of a kind.
func (k resourceKind) routes() []route {
	base, one := "/api/"+k.kind, "/api/"+k.kind+"/{id}"
	handle := func(method func(*Server, resource, resourceKind, http.ResponseWriter, *http.Request) error) func(*Server) handlerFunc {
		return func(s *Server) handlerFunc {
			target := s.resources[k.kind]
			return func(w http.ResponseWriter, r *http.Request) error { return method(s, target, k, w, r) }
		}
	}
	return []route{
		{
			method: "GET", path: base, object: k.kind, action: read, handler: handle((*Server).listResource),
			doc: operation{summary: "All, by id", answer: k.schema, answerMap: true},
		},
		{
			method: "POST", path: base, object: k.kind, action: write, handler: handle((*Server).createResource),
			doc: operation{summary: "Create one, from JSON or YAML", body: k.schema, yaml: true, ttl: true, answer: k.schema, fails: []int{400, 409, 413, 503}},
		},
		{
			method: "GET", path: one, object: k.kind, action: read, handler: handle((*Server).getResource),
			doc: operation{summary: "Get one", answer: k.schema, fails: []int{404}},
		},
		{
			method: "PATCH", path: one, object: k.kind, action: write, handler: handle((*Server).patchResource),
			doc: operation{summary: "Change one with a JSON Patch (RFC 6902)", body: "JSONPatch", answer: k.schema, fails: []int{304, 400, 404, 413, 503}},
		},
		{
			method: "DELETE", path: one, object: k.kind, action: write, handler: handle((*Server).deleteResource),
			doc: operation{summary: "Delete one", fails: []int{404}},
		},
	}
}

func (s *Server) listResource(target resource, _ resourceKind, w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", contentJSON)
	return target.list(r.Context(), w)
}

func (s *Server) getResource(target resource, k resourceKind, w http.ResponseWriter, r *http.Request) error {
	text, err := target.get(r.Context(), r.PathValue("id"))
	if err != nil {
		return k.missing(r.PathValue("id"), err)
	}
	return writeText(w, append(text, '\n'))
}

func (s *Server) createResource(target resource, k resourceKind, w http.ResponseWriter, r *http.Request) error {
	ttl, err := resourceTTL(r)
	if err != nil {
		return err
	}
	body, err := s.readResource(r)
	if err != nil {
		return err
	}
	text, err := target.create(r.Context(), body, ttl)
	if err != nil {
		return err
	}
	warnOfFields(w.Header(), body, k.fields)
	return writeText(w, text)
}

func (s *Server) patchResource(target resource, k resourceKind, w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	body, err := readBody(r)
	if err != nil {
		return err
	}
	patch, err := jsonpatch.DecodePatch(body)
	if err != nil {
		return failf(http.StatusBadRequest, "body: want a JSON Patch, [{\"op\":…,\"path\":…,\"value\":…}]: %w", err)
	}
	old, err := target.get(r.Context(), id)
	if err != nil {
		return k.missing(id, err)
	}
	options := jsonpatch.NewApplyOptions()
	options.AccumulatedCopySizeLimit = s.limits.MaxBody
	patched, err := patch.ApplyWithOptions(old, options)
	if err != nil {
		// The package wraps a nil error here and there.
		text := strings.TrimSuffix(err.Error(), ": %!w(<nil>)")
		return failf(http.StatusBadRequest, "patch of %s '%s': %s", k.title, id, text)
	}
	text, err := target.replace(r.Context(), id, old, patched)
	switch {
	case err == errUnchanged: //nolint:errorlint // the sentinel itself
		w.WriteHeader(http.StatusNotModified)
		return nil
	case err != nil:
		return k.missing(id, err)
	}
	warnOfFields(w.Header(), patched, k.fields)
	return writeText(w, text)
}

func (s *Server) deleteResource(target resource, k resourceKind, w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := target.remove(r.Context(), id); err != nil {
		return k.missing(id, err)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	return nil
}

// missing words the absence of a resource as Skydive does.
func (k resourceKind) missing(id string, err error) error {
	if statusOf(err) == http.StatusNotFound {
		return failf(http.StatusNotFound, "%s '%s' not found", k.title, clip(id))
	}
	return err
}

func resourceTTL(r *http.Request) (time.Duration, error) {
	text := r.Header.Get(skydive.HeaderResourceTTL)
	if text == "" {
		return 0, nil
	}
	ttl, err := time.ParseDuration(text)
	if err != nil || ttl <= 0 {
		return 0, failf(http.StatusBadRequest, "invalid %s %q: give a duration such as 90s or 1h30m", skydive.HeaderResourceTTL, clip(text))
	}
	return ttl, nil
}

func writeText(w http.ResponseWriter, text []byte) error {
	w.Header().Set("Content-Type", contentJSON)
	_, err := w.Write(text)
	return err
}
