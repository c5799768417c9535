package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/weft-net/weft/skydive"
)

// Resource is one kind of things that the REST API keeps, each of type T with an id.
type Resource[T any] struct {
	c    *Client
	path string
}

// ResourceAt gives the resource at a path, for a kind that has no method of its own.
func ResourceAt[T any](c *Client, path string) Resource[T] { return Resource[T]{c: c, path: path} }

// Nodes of the graph that the API owns. Querying finds all nodes.
func (c *Client) Nodes() Resource[skydive.Node] { return ResourceAt[skydive.Node](c, skydive.PathNode) }

// Edges of the graph that the API owns. Querying finds all edges.
func (c *Client) Edges() Resource[skydive.Edge] { return ResourceAt[skydive.Edge](c, skydive.PathEdge) }

// NodeRules write metadata on nodes, or create them.
func (c *Client) NodeRules() Resource[skydive.NodeRule] {
	return ResourceAt[skydive.NodeRule](c, skydive.PathNodeRule)
}

// EdgeRules keep edges between nodes.
func (c *Client) EdgeRules() Resource[skydive.EdgeRule] {
	return ResourceAt[skydive.EdgeRule](c, skydive.PathEdgeRule)
}

// Captures switch flow capture on.
func (c *Client) Captures() Resource[skydive.Capture] {
	return ResourceAt[skydive.Capture](c, skydive.PathCapture)
}

// CaptureStates are captures with what became of each on its nodes, which weft adds.
func (c *Client) CaptureStates() Resource[skydive.CaptureState] {
	return ResourceAt[skydive.CaptureState](c, skydive.PathCapture)
}

// Alerts watch an expression.
func (c *Client) Alerts() Resource[skydive.Alert] {
	return ResourceAt[skydive.Alert](c, skydive.PathAlert)
}

// Workflows are functions on the server; CallWorkflow runs them.
func (c *Client) Workflows() Resource[skydive.Workflow] {
	return ResourceAt[skydive.Workflow](c, skydive.PathWorkflow)
}

// PacketInjections send packets.
func (c *Client) PacketInjections() Resource[skydive.PacketInjection] {
	return ResourceAt[skydive.PacketInjection](c, skydive.PathPacketInjection)
}

// CallWorkflow runs a workflow and gives its result.
func (c *Client) CallWorkflow(ctx context.Context, id string, params ...any) (skydive.RawJSON, error) {
	path, err := below(skydive.PathWorkflow, id, "call")
	if err != nil {
		return nil, err
	}
	k, err := encode(call{method: http.MethodPost, path: path}, skydive.WorkflowCall{Params: params})
	if err != nil {
		return nil, err
	}
	return c.bytes(ctx, k)
}

// List gives all, by id.
func (r Resource[T]) List(ctx context.Context) (map[string]*T, error) {
	all := make(map[string]*T)
	return all, r.c.decode(ctx, call{method: http.MethodGet, path: r.path}, &all)
}

// Get gives one, or ErrNotFound.
func (r Resource[T]) Get(ctx context.Context, id string) (*T, error) {
	path, err := below(r.path, id)
	if err != nil {
		return nil, err
	}
	return get[T](ctx, r.c, path)
}

// Create creates one and gives it as the server completed it; ErrConflict when there is one like it. It goes after
// ttl, or never when ttl is 0.
func (r Resource[T]) Create(ctx context.Context, v *T, ttl time.Duration) (*T, error) {
	k, err := encode(call{method: http.MethodPost, path: r.path}, v)
	if err != nil {
		return nil, err
	}
	if ttl > 0 {
		k.header = http.Header{skydive.HeaderResourceTTL: {ttl.String()}}
	} else if ttl < 0 {
		return nil, fmt.Errorf("POST %s: time to live %v is negative", r.path, ttl)
	}
	created := new(T)
	return created, r.c.decode(ctx, k, created)
}

// CreateYAML creates one from YAML text, as Create does.
func (r Resource[T]) CreateYAML(ctx context.Context, text []byte) (*T, error) {
	created := new(T)
	return created, r.c.decode(ctx, call{
		method: http.MethodPost, path: r.path, body: text, header: http.Header{"Content-Type": {skydive.ContentYAML}},
	}, created)
}

// Update changes one by a JSON patch and gives it as it is then. ErrNotModified when the patch changes nothing,
// ErrNotFound, ErrBadRequest when this kind cannot be changed.
func (r Resource[T]) Update(ctx context.Context, id string, patch Patch) (*T, error) {
	path, err := below(r.path, id)
	if err != nil {
		return nil, err
	}
	k, err := encode(call{method: http.MethodPatch, path: path}, patch)
	if err != nil {
		return nil, err
	}
	updated := new(T)
	return updated, r.c.decode(ctx, k, updated)
}

// Delete removes one, or gives ErrNotFound.
func (r Resource[T]) Delete(ctx context.Context, id string) error {
	path, err := below(r.path, id)
	if err != nil {
		return err
	}
	_, err = r.c.bytes(ctx, call{method: http.MethodDelete, path: path})
	return err
}

// Patch is a JSON patch, RFC 6902.
type Patch []PatchOp

// PatchOp is a step of a Patch. Path and From are JSON pointers, RFC 6901; Pointer makes them.
type PatchOp struct {
	Op    string          `json:"op"` // add, replace, remove, move, copy, test
	Path  string          `json:"path"`
	From  string          `json:"from,omitzero"`  // of move and copy
	Value skydive.RawJSON `json:"value,omitzero"` // of add, replace and test
}

// Set gives a step that sets a value, whether or not there is one: "add" of RFC 6902.
func Set(pointer string, value any) (PatchOp, error) {
	raw, err := skydive.Raw(value)
	if err != nil {
		return PatchOp{}, fmt.Errorf("patch of %s: %w", pointer, err)
	}
	return PatchOp{Op: "add", Path: pointer, Value: raw}, nil
}

// Remove gives a step that removes a value, which must be there.
func Remove(pointer string) PatchOp { return PatchOp{Op: "remove", Path: pointer} }

// Pointer gives the JSON pointer to a value: Pointer("Metadata", "Name") is "/Metadata/Name".
func Pointer(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(n))
	}
	return b.String()
}
