package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/skydive"
)

// hello is what a client said of itself when it opened a WebSocket.
type hello struct {
	endpoint   string
	host       string // X-Host-ID, or the remote address
	clientType string
	protobuf   bool
	namespaces []string // what the client wants; nil = all
	filter     *gremlin.Query
	partial    bool
	persist    bool
	transient  bool // delete on disconnect
}

// origin is the name of what the client publishes.
func (h *hello) origin() string { return h.clientType + "." + h.host }

// wants says whether the client takes messages of a namespace.
func (h *hello) wants(namespace string) bool {
	return h.namespaces == nil || slices.Contains(h.namespaces, namespace)
}

// field is a handshake header, or the query parameter of that name in lower case.
func field(r *http.Request, name string) string {
	if value := r.Header.Get(name); value != "" {
		return value
	}
	return r.URL.Query().Get(strings.ToLower(name))
}

func readHello(endpoint string, r *http.Request) (*hello, error) {
	bad := func(format string, args ...any) (*hello, error) {
		return nil, failf(http.StatusBadRequest, format, args...)
	}
	h := &hello{endpoint: endpoint, host: field(r, skydive.HeaderHostID), clientType: field(r, skydive.HeaderClientType)}
	if h.host == "" {
		h.host = r.RemoteAddr
	}
	if h.clientType == "" {
		return bad("missing header %s: say what kind of client this is, such as %s: my-tool", skydive.HeaderClientType, skydive.HeaderClientType)
	}
	for name, value := range map[string]string{skydive.HeaderHostID: h.host, skydive.HeaderClientType: h.clientType} {
		if err := checkName(value); err != nil {
			return bad("%s: %w", name, err)
		}
	}
	switch value := field(r, skydive.HeaderClientProtocol); value {
	case "", skydive.ProtocolJSON:
	case skydive.ProtocolProtobuf:
		h.protobuf = true
	default:
		return bad("unknown %s %q: use %s or %s", skydive.HeaderClientProtocol, clip(value), skydive.ProtocolJSON, skydive.ProtocolProtobuf)
	}
	switch value := field(r, skydive.HeaderUpdatePolicy); value {
	case "", skydive.UpdateFull:
	case skydive.UpdatePartial:
		h.partial = true
	default:
		return bad("unknown %s %q: use %s or %s", skydive.HeaderUpdatePolicy, clip(value), skydive.UpdateFull, skydive.UpdatePartial)
	}
	switch value := field(r, skydive.HeaderPersistencePolicy); value {
	case "":
	case skydive.Persistent:
		h.persist = true
	case skydive.DeleteOnDisconnect:
		h.transient = true
	default:
		return bad("unknown %s %q: use %s or %s, or leave it out", skydive.HeaderPersistencePolicy, clip(value), skydive.Persistent, skydive.DeleteOnDisconnect)
	}
	h.namespaces = readNamespaces(r)
	if endpoint == skydive.PathSubscriberFlow {
		return h, checkFlowHello(r, h)
	}
	if text := field(r, skydive.HeaderGremlinFilter); text != "" {
		query, err := parseFilter(text)
		if err != nil {
			return bad("%s: %w", skydive.HeaderGremlinFilter, err)
		}
		h.filter = query
	}
	return h, nil
}

// checkFlowHello refuses what the flow subscriber would leave aside in silence.
func checkFlowHello(r *http.Request, h *hello) error {
	if field(r, skydive.HeaderGremlinFilter) != "" {
		return failf(http.StatusBadRequest, "%s is for %s: choose flows by their capture, %s: %s/<id of a capture>", skydive.HeaderGremlinFilter, skydive.PathSubscriber, skydive.HeaderNamespace, skydive.NamespaceFlow)
	}
	for _, name := range h.namespaces {
		id, one := cutFlowNamespace(name)
		switch {
		case name == skydive.NamespaceFlow, name == skydive.NamespaceStats:
		case one && id != "":
			if err := checkName(id); err != nil {
				return failf(http.StatusBadRequest, "%s: id of a capture: %w", skydive.HeaderNamespace, err)
			}
		default:
			return failf(http.StatusBadRequest, "%s %q is unknown here: use %s, %s/<id of a capture> or %s", skydive.HeaderNamespace, clip(name), skydive.NamespaceFlow, skydive.NamespaceFlow, skydive.NamespaceStats)
		}
	}
	return nil
}

// readNamespaces returns nil when the client wants all.
func readNamespaces(r *http.Request) []string {
	values := r.Header.Values(skydive.HeaderNamespace)
	if len(values) == 0 {
		values = r.URL.Query()[strings.ToLower(skydive.HeaderNamespace)]
	}
	var names []string
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			switch name = strings.TrimSpace(name); name {
			case "":
			case skydive.NamespaceAll:
				return nil
			default:
				names = append(names, name)
			}
		}
	}
	return names
}

// checkName bounds names that become origins and keys of the status.
func checkName(name string) error {
	if len(name) > 256 {
		return fmt.Errorf("longer than 256 bytes")
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f || c == '\uFFFD' {
			return fmt.Errorf("has characters that cannot be shown")
		}
	}
	return nil
}

// parseFilter parses a subscriber's filter, which has to give a graph of now.
func parseFilter(text string) (*gremlin.Query, error) {
	query, err := gremlin.Parse(text)
	if err != nil {
		return nil, err
	}
	if _, incremental := query.Filter(); incremental {
		return query, nil
	}
	if !query.Live() {
		return nil, fmt.Errorf("a filter is about now: leave At and Context out")
	}
	if kind := query.Kind(); kind != gremlin.KindGraph {
		return nil, fmt.Errorf("gives %s: end it with SubGraph(), so that it gives a graph", kind)
	}
	return query, nil
}
