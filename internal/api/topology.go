package api

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/auth"
	"github.com/weft-net/weft/internal/graphjson"
	"github.com/weft-net/weft/skydive"
)

// dump answers GET /api/topology with the whole graph, streamed.
func (s *Server) dump(w http.ResponseWriter, r *http.Request) error {
	leave, err := s.answers.enter(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	w.Header().Set("Content-Type", contentJSON)
	buf := s.spare.buffer()
	defer s.spare.give(buf)
	return appendGraph(buf, s.deps.Graph.View(), func() error {
		_, err := w.Write(buf.data)
		buf.data = buf.data[:0]
		return err
	}, "\n")
}

// appendGraph writes a view as {"Nodes":…,"Edges":…} through a buffer; flush is called
// when it is well filled, and at the end.
func appendGraph(buf *buffer, view *graph.View, flush func() error, tail string) error {
	if err := appendList(buf, `{"Nodes":`, view.Nodes(), graph.Node.AppendJSON, flush); err != nil {
		return err
	}
	if err := appendList(buf, `,"Edges":`, view.Edges(), graph.Edge.AppendJSON, flush); err != nil {
		return err
	}
	if err := view.Err(); err != nil {
		return fmt.Errorf("dump of the graph: %w", err)
	}
	buf.data = append(append(buf.data, '}'), tail...)
	return flush()
}

// appendElements is appendGraph for elements at hand.
func appendElements(buf *buffer, nodes iter.Seq[graph.Node], edges iter.Seq[graph.Edge], flush func() error, tail string) error {
	if err := appendList(buf, `{"Nodes":`, nodes, graph.Node.AppendJSON, flush); err != nil {
		return err
	}
	if err := appendList(buf, `,"Edges":`, edges, graph.Edge.AppendJSON, flush); err != nil {
		return err
	}
	buf.data = append(append(buf.data, '}'), tail...)
	return flush()
}

// appendList writes a list of elements, null when it is empty.
func appendList[E any](buf *buffer, open string, list iter.Seq[E], encode func(E, []byte) []byte, flush func() error) error {
	buf.data = append(buf.data, open...)
	empty := true
	for element := range list {
		if empty {
			buf.data = append(buf.data, '[')
		} else {
			buf.data = append(buf.data, ',')
		}
		empty = false
		buf.data = encode(element, buf.data)
		if len(buf.data) >= bufferFull {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if empty {
		buf.data = append(buf.data, "null"...)
	} else {
		buf.data = append(buf.data, ']')
	}
	return nil
}

// largeResult is how many entries a result has that may not wait in memory for any number
// of slow clients.
const largeResult = 1000

// query answers POST /api/topology.
func (s *Server) query(w http.ResponseWriter, r *http.Request) error {
	data, err := readBody(r)
	if err != nil {
		return err
	}
	params, err := s.queryParams(data)
	if err != nil {
		return err
	}
	if strings.TrimSpace(params.GremlinQuery) == "" {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	result, err := s.evaluate(r, params.GremlinQuery)
	if err != nil {
		return err
	}
	if result.Len() > largeResult {
		leave, err := s.answers.enter(r.Context())
		if err != nil {
			return err
		}
		defer leave()
	}
	for _, warning := range result.Warnings() {
		w.Header().Add(skydive.HeaderWarning, headerText(warning))
	}
	warnOfFields(w.Header(), data, queryFields())
	accept := r.Header.Get("Accept")
	switch {
	case accept == skydive.ContentGraphviz:
		if !result.IsGraph() {
			return failf(http.StatusNotAcceptable, "only a graph can be drawn: end the query with SubGraph()")
		}
		w.Header().Set("Content-Type", skydive.ContentGraphviz+"; charset=UTF-8")
		_, err = w.Write(appendDOT(nil, result))
		return err
	case accept == skydive.ContentPcap:
		return writePcap(w, result)
	case params.Explain:
		return writeExplained(w, result)
	}
	w.Header().Set("Content-Type", jsonContentType(accept))
	if err := result.WriteJSON(w); err != nil {
		return queryError(err)
	}
	_, err = w.Write([]byte{'\n'})
	return err
}

func queryFields() []string { return fieldsOf(reflect.TypeFor[skydive.TopologyParams]()) }

func (s *Server) queryParams(data []byte) (params skydive.TopologyParams, err error) {
	if len(strings.TrimSpace(string(data[:min(len(data), 64)]))) == 0 && len(data) <= 64 {
		return params, nil
	}
	decoder := graphjson.Decoder{MaxDepth: s.limits.MaxDepth}
	if err := decoder.Valid(data); err != nil {
		return params, fmt.Errorf("body: %w", err)
	}
	return params, decodeBody(data, &params)
}

// objectPackets is the object of the access rules that stands for what is in packets.
const objectPackets = "packets"

// evaluate runs a query for a request; it ends when the client leaves.
func (s *Server) evaluate(r *http.Request, text string) (*gremlin.Result, error) {
	query, err := gremlin.Parse(text)
	if err != nil {
		return nil, queryError(err)
	}
	if role := roleIn(r.Context()); query.ReadsPackets() && !role.Allows(objectPackets, read) {
		return nil, failf(http.StatusForbidden, "RawPackets shows what is in packets, which the role %s may not read: ask for the role %s", role, auth.RoleAdmin)
	}
	leave, err := s.queries.enter(r.Context())
	if err != nil {
		return nil, err
	}
	defer leave()
	result, err := s.deps.Engine.Exec(r.Context(), query)
	if err != nil {
		return nil, queryError(err)
	}
	return result, nil
}

// queryError gives what went wrong with a query the status 400, as in Skydive, unless
// the error is not the query's.
func queryError(err error) error {
	if r := new(httpError); errors.As(err, &r) {
		return err
	}
	if statusOf(err) != http.StatusInternalServerError {
		return err
	}
	return &httpError{http.StatusBadRequest, err}
}

// writeExplained answers with the result and the plan that led to it.
func writeExplained(w http.ResponseWriter, result *gremlin.Result) error {
	w.Header().Set("Content-Type", contentJSON)
	if _, err := w.Write([]byte(`{"Result":`)); err != nil {
		return err
	}
	if err := result.WriteJSON(w); err != nil {
		return queryError(err)
	}
	plan, err := json.Marshal(result.Explain(), json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("plan of the query: %w", err)
	}
	_, err = fmt.Fprintf(w, ",\"Plan\":%s}\n", plan)
	return err
}

// headerText makes a text fit for a header line.
func headerText(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return ' '
		}
		return c
	}, clip(text))
}

// appendDOT draws a graph result in the language of Graphviz.
func appendDOT(dst []byte, result *gremlin.Result) []byte {
	nodes, edges := result.Graph()
	dst = append(dst, "digraph g {\n"...)
	for _, node := range nodes {
		metadata := node.Metadata()
		dst = append(dst, '\t')
		dst = appendDOTString(dst, node.ID())
		dst = append(dst, ` [label=`...)
		dst = appendDOTString(dst, textOf(metadata, "Name")+"\n"+textOf(metadata, "Type"))
		dst = append(dst, "]\n"...)
	}
	for _, edge := range edges {
		dst = append(dst, '\t')
		dst = appendDOTString(dst, edge.Parent())
		dst = append(dst, " -> "...)
		dst = appendDOTString(dst, edge.Child())
		dst = append(dst, ` [label=`...)
		dst = appendDOTString(dst, textOf(edge.Metadata(), "RelationType"))
		dst = append(dst, "]\n"...)
	}
	return append(dst, "}\n"...)
}

func textOf(m graph.Metadata, key string) string {
	v, _ := m.Get(key)
	if v.IsZero() {
		return ""
	}
	return v.String()
}

func appendDOTString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := range len(text) {
		switch c := text[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
