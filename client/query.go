package client

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/weft-net/weft/skydive"
)

// Info asks what the server is.
func (c *Client) Info(ctx context.Context) (*skydive.APIInfo, error) {
	return get[skydive.APIInfo](ctx, c, skydive.PathAPI)
}

// Status asks an analyzer for its connections and probes.
func (c *Client) Status(ctx context.Context) (*skydive.Status, error) {
	return get[skydive.Status](ctx, c, skydive.PathStatus)
}

// AgentStatus asks an agent of Skydive for its connections and probes.
func (c *Client) AgentStatus(ctx context.Context) (*skydive.AgentStatus, error) {
	return get[skydive.AgentStatus](ctx, c, skydive.PathStatus)
}

// ConfigValue asks for a key of the server's configuration, as a path with dots. What it does not know is "" in
// Skydive. Values are as in skydive.Metadata.
func (c *Client) ConfigValue(ctx context.Context, key string) (any, error) {
	path, err := below(skydive.PathConfig, key)
	if err != nil {
		return nil, err
	}
	var op skydive.PartialOp // decodes any value as metadata does
	data, err := c.bytes(ctx, call{method: http.MethodGet, path: path})
	if err != nil {
		return nil, err
	}
	if err := skydive.RawJSON(`{"Value":` + string(data) + `}`).Decode(&op); err != nil {
		return nil, fmt.Errorf("GET %s: decode the answer: %w", path, err)
	}
	return op.Value, nil
}

func get[T any](ctx context.Context, c *Client, path string) (*T, error) {
	v := new(T)
	if err := c.decode(ctx, call{method: http.MethodGet, path: path}, v); err != nil {
		return nil, err
	}
	return v, nil
}

// Query runs a Gremlin query and gives its result as it came; nil for an empty query.
func (c *Client) Query(ctx context.Context, gremlin string) (skydive.RawJSON, error) {
	return c.query(ctx, skydive.TopologyParams{GremlinQuery: gremlin})
}

// Explain gives the plan of a query, with rows and time of each step. Skydive has no such thing, and answers with the
// result.
func (c *Client) Explain(ctx context.Context, gremlin string) (skydive.RawJSON, error) {
	return c.query(ctx, skydive.TopologyParams{GremlinQuery: gremlin, Explain: true})
}

func (c *Client) query(ctx context.Context, params skydive.TopologyParams) (skydive.RawJSON, error) {
	k, err := encode(call{method: http.MethodPost, path: skydive.PathTopology}, params)
	if err != nil {
		return nil, err
	}
	data, err := c.bytes(ctx, k)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return data, nil
}

// QueryTo runs a query and copies the result to w as it comes: JSON, or what accept asks for
// (skydive.ContentGraphviz of a graph, skydive.ContentPcap of RawPackets). It gives the number of bytes.
func (c *Client) QueryTo(ctx context.Context, gremlin, accept string, w io.Writer) (int64, error) {
	k, err := encode(call{method: http.MethodPost, path: skydive.PathTopology}, skydive.TopologyParams{GremlinQuery: gremlin})
	if err != nil {
		return 0, err
	}
	if accept != "" {
		k.header = http.Header{"Accept": {accept}}
	}
	return c.stream(ctx, k, w)
}

// Query runs a query and decodes its result into a T: []*skydive.Node for G.V(), int for Count, and so on.
func Query[T any](ctx context.Context, c *Client, gremlin string) (T, error) {
	var v T
	raw, err := c.Query(ctx, gremlin)
	if err != nil || raw == nil {
		return v, err
	}
	if err := raw.Decode(&v); err != nil {
		return v, fmt.Errorf("result of %s: %w", trimQuery(gremlin), err)
	}
	return v, nil
}

// QueryNodes runs a query that gives nodes.
func (c *Client) QueryNodes(ctx context.Context, gremlin string) ([]*skydive.Node, error) {
	return Query[[]*skydive.Node](ctx, c, gremlin)
}

// QueryEdges runs a query that gives edges.
func (c *Client) QueryEdges(ctx context.Context, gremlin string) ([]*skydive.Edge, error) {
	return Query[[]*skydive.Edge](ctx, c, gremlin)
}

// QueryGraph runs a query that gives a graph, such as G or one that ends in SubGraph().
func (c *Client) QueryGraph(ctx context.Context, gremlin string) (*skydive.Graph, error) {
	graphs, err := Query[[]*skydive.Graph](ctx, c, gremlin)
	if err != nil {
		return nil, err
	}
	if len(graphs) != 1 || graphs[0] == nil {
		return nil, fmt.Errorf("result of %s: %d graphs, expected one", trimQuery(gremlin), len(graphs))
	}
	return graphs[0], nil
}

// Topology gives the whole graph.
func (c *Client) Topology(ctx context.Context) (*skydive.Graph, error) {
	return get[skydive.Graph](ctx, c, skydive.PathTopology)
}

// Dump copies the whole graph, as JSON, to w as it comes, and gives the number of bytes.
func (c *Client) Dump(ctx context.Context, w io.Writer) (int64, error) {
	return c.stream(ctx, call{method: http.MethodGet, path: skydive.PathTopology}, w)
}

// ImportPcap sends a pcap file to the server, which adds its flows.
func (c *Client) ImportPcap(ctx context.Context, pcap []byte) error {
	_, err := c.bytes(ctx, call{
		method: http.MethodPost, path: skydive.PathPcap, body: pcap, header: http.Header{"Content-Type": {"application/octet-stream"}},
	})
	return err
}
