package api

import (
	"net/http"

	"github.com/weft-net/weft/internal/auth"
	"github.com/weft-net/weft/skydive"
)

// route is one line of the table that the router, the access rules, the OpenAPI
// description and the metrics are made of.
type route struct {
	method  string
	path    string // as http.ServeMux takes it
	object  string // of the access rules; "" = any user, logged in or not when public
	action  string
	public  bool // no login needed
	stream  bool // the body is read as it comes, however large
	plain   bool // outside of the guard against foreign pages: nothing to learn there
	handler func(*Server) handlerFunc
	doc     operation
}

// handlerFunc is a handler whose error becomes the answer.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

const (
	read  = auth.ActionRead
	write = auth.ActionWrite
)

// routes is the table. WebSocket endpoints have the object "websocket" and their path
// as the action, as in Skydive.
func routes() []route {
	table := []route{
		{
			method: "GET", path: "/api", handler: bind((*Server).info),
			doc: operation{summary: "Who answers", answer: "APIInfo"},
		},
		{
			method: "POST", path: "/login", public: true, handler: bind((*Server).login),
			doc: operation{summary: "Log in; without users any credentials are taken", form: []string{"username", "password"}, answer: "LoginReply", fails: []int{401, 413, 429, 503}},
		},
		{
			method: "GET", path: "/api/topology", object: "topology", action: read, handler: bind((*Server).dump),
			doc: operation{summary: "The whole graph", answer: "Graph", fails: []int{503}},
		},
		{
			method: "POST", path: "/api/topology", object: "topology", action: read, handler: bind((*Server).query),
			doc: operation{summary: "Evaluate a Gremlin expression", body: "TopologyParams", bodyOptional: true, answer: "QueryResult", graphviz: true, pcap: true, empty: 204, fails: []int{400, 406, 413, 503, 504}},
		},
		{
			method: "POST", path: "/api/pcap", object: "pcap", action: write, stream: true, handler: bind((*Server).importPcap),
			doc: operation{
				summary: "Take the flows of a capture file: pcap or pcapng, plain, gzip or zstd", body: "Pcap", bodyType: skydive.ContentPcap, empty: 202, fails: []int{400, 404, 503},
				query: []parameter{{"CaptureID", "What the flows shall have as CaptureID, to be found by"}, {"NodeTID", "The TID of the node that they shall belong to"}},
			},
		},
		{
			method: "GET", path: "/api/status", object: "status", action: read, handler: bind((*Server).status),
			doc: operation{summary: "Agents, publishers, subscribers and probes", answer: "Status"},
		},
		{
			method: "GET", path: "/api/config/{key}", object: "config", action: read, handler: bind((*Server).config),
			doc: operation{summary: "The value of a configuration key, secrets hidden", answer: "Any"},
		},
		{
			method: "GET", path: "/api/openapi.json", handler: bind((*Server).openAPI),
			doc: operation{summary: "This description", answer: "Any"},
		},
		{
			method: "GET", path: "/metrics", object: "metrics", action: read, handler: bind((*Server).metricsText),
			doc: operation{summary: "Prometheus metrics", answer: "Text"},
		},
		{
			method: "GET", path: "/healthz", public: true, plain: true, handler: bind((*Server).health),
			doc: operation{summary: "200 while the process lives", answer: "Text"},
		},
		{
			method: "GET", path: "/readyz", public: true, plain: true, handler: bind((*Server).ready),
			doc: operation{summary: "200 once everything works, else 503 with the reason", answer: "Text", fails: []int{503}},
		},
		websocketRoute("/ws/publisher", (*Server).servePublisher, "Write the graph"),
		websocketRoute("/ws/subscriber", (*Server).serveSubscriber, "Follow the graph"),
		flowsRoute("/ws/subscriber/flow", (*Server).serveFlowSubscriber, "Follow flows and the counters of captures"),
		websocketRoute("/ws/pubsub", (*Server).servePubSub, "Both; one's own changes are not echoed"),
	}
	for _, kind := range resourceKinds() {
		table = append(table, kind.routes()...)
	}
	return table
}

func bind(method func(*Server, http.ResponseWriter, *http.Request) error) func(*Server) handlerFunc {
	return func(s *Server) handlerFunc {
		return func(w http.ResponseWriter, r *http.Request) error { return method(s, w, r) }
	}
}

func websocketRoute(path string, method func(*Server, http.ResponseWriter, *http.Request) error, summary string) route {
	return route{
		method: "GET", path: path, object: auth.ObjectWebSocket, action: path, handler: bind(method),
		doc: operation{summary: summary + ", over a WebSocket", websocket: true, empty: 101, fails: []int{400, 403, 404, 409, 426, 503}},
	}
}

func flowsRoute(path string, method func(*Server, http.ResponseWriter, *http.Request) error, summary string) route {
	r := websocketRoute(path, method, summary)
	r.doc.flows = true
	return r
}
