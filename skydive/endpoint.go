package skydive

// REST endpoints. Each resource also answers below its path: GET, PATCH and DELETE of "<path>/<id>".
const (
	PathAPI             = "/api"              // GET: APIInfo
	PathLogin           = "/login"            // POST, form fields username and password: LoginReply
	PathTopology        = "/api/topology"     // GET: the whole Graph; POST TopologyParams: a query's result
	PathStatus          = "/api/status"       // GET: Status
	PathConfig          = "/api/config"       // GET "<path>/<key>": the JSON value of a configuration key
	PathPcap            = "/api/pcap"         // POST: a pcap file; answers 202
	PathNode            = "/api/node"         // resource Node
	PathEdge            = "/api/edge"         // resource Edge
	PathNodeRule        = "/api/noderule"     // resource NodeRule
	PathEdgeRule        = "/api/edgerule"     // resource EdgeRule
	PathCapture         = "/api/capture"      // resource Capture
	PathAlert           = "/api/alert"        // resource Alert
	PathWorkflow        = "/api/workflow"     // resource Workflow; POST "<path>/<id>/call": WorkflowCall
	PathPacketInjection = "/api/injectpacket" // resource PacketInjection
	PathOpenAPI         = "/api/openapi.json" // weft: GET, the OpenAPI description of this API
	PathMetrics         = "/metrics"          // weft: GET, Prometheus text
	PathHealth          = "/healthz"          // weft: GET, 200 while the process lives
	PathReady           = "/readyz"           // weft: GET, 200 once it serves, else 503 with the reason
)

// WebSocket endpoints.
const (
	PathPublisher      = "/ws/publisher"       // clients write the graph
	PathSubscriber     = "/ws/subscriber"      // clients read the graph and its changes
	PathPubSub         = "/ws/pubsub"          // both; one's own changes are not echoed
	PathSubscriberFlow = "/ws/subscriber/flow" // flows and capture statistics
	PathAgentTopology  = "/ws/agent/topology"  // Skydive's agents to its analyzers
	PathAgentFlow      = "/ws/agent/flow"      // Skydive's agents to its analyzers
	PathReplication    = "/ws/replication"     // between Skydive's analyzers
)

// Handshake headers of a WebSocket. Those marked (q) may also be given as a query parameter, in lower case.
const (
	HeaderHostID            = "X-Host-ID"             // (q) who connects; absent: the remote address
	HeaderClientType        = "X-Client-Type"         // (q) required; with the host id it makes the origin
	HeaderClientProtocol    = "X-Client-Protocol"     // (q) ProtocolJSON (default) or ProtocolProtobuf
	HeaderNamespace         = "X-Websocket-Namespace" // (q, repeatable) what the server may send; none or "*": all
	HeaderGremlinFilter     = "X-Gremlin-Filter"      // (q) a query that gives a graph
	HeaderUpdatePolicy      = "X-Update-Policy"       // (q) UpdateFull (default) or UpdatePartial
	HeaderPersistencePolicy = "X-Persistence-Policy"  // Persistent or DeleteOnDisconnect; absent: kept
	HeaderServiceType       = "X-Service-Type"        // in the answer: ServiceAnalyzer or ServiceAgent; Skydive's Go clients need it
)

// Headers of the REST API.
const (
	HeaderAuthToken   = "X-Auth-Token"   // a token, beside the cookie and Authorization
	HeaderWeftVersion = "X-Weft-Version" // weft: in each of its answers, handshakes too; whoever sees it may use weft's additions
	HeaderWarning     = "X-Weft-Warning" // weft: what a reader of a query's result should know, once for each
	HeaderResourceTTL = "X-Resource-TTL" // on creation: a Go duration after which the resource goes
)

// Names used by login. The server looks for a token in the cookie, in the Authorization header, in HeaderAuthToken
// and in the form field FormAuthToken, in that order.
const (
	CookieAuthToken   = "authtoken"   // the token
	CookiePermissions = "permissions" // base64 of the JSON list of Permission
	FormUsername      = "username"
	FormPassword      = "password"
	FormAuthToken     = "x-auth-token"
)

// Content types.
const (
	ContentJSON     = "application/json"
	ContentYAML     = "application/yaml" // accepted as the body of a creation
	ContentForm     = "application/x-www-form-urlencoded"
	ContentGraphviz = "text/vnd.graphviz"            // Accept of PathTopology: a graph result as DOT
	ContentPcap     = "application/vnd.tcpdump.pcap" // Accept of PathTopology: the result of RawPackets
)

// Client protocols, the values of HeaderClientProtocol.
const (
	ProtocolJSON     = "json"     // text frames
	ProtocolProtobuf = "protobuf" // binary frames
)

// Update policies, the values of HeaderUpdatePolicy.
const (
	UpdateFull    = "full"    // NodeUpdated and EdgeUpdated carry the whole element
	UpdatePartial = "partial" // NodePartiallyUpdated and EdgePartiallyUpdated carry the difference
)

// Persistence policies, the values of HeaderPersistencePolicy.
const (
	Persistent         = "Persistent"
	DeleteOnDisconnect = "DeleteOnDisconnect"
)

// Service types, the values of HeaderServiceType and of APIInfo.Service.
const (
	ServiceAnalyzer = "analyzer"
	ServiceAgent    = "agent"
)

// Namespaces of messages.
const (
	NamespaceGraph           = "Graph"
	NamespaceAlert           = "Alert"
	NamespaceFlowRequest     = "Flow" // flow table queries between Skydive's agents and analyzers
	NamespaceFlow            = "flow" // flows of PathSubscriberFlow; "flow/<CaptureID>" selects one capture
	NamespaceStats           = "stats"
	NamespaceOnDemandCapture = "OnDemandCapture"
	NamespaceOnDemandInject  = "OnDemandPacketInjection"
	NamespaceCaptureNotify   = "OnDemandCaptureNotification"
	NamespaceInjectNotify    = "OnDemandPacketInjectionNotification"
	NamespaceAll             = "*"
)

// Types of messages in NamespaceGraph. The comment names the object.
const (
	MsgSyncRequest          = "SyncRequest"          // SyncRequest
	MsgSyncReply            = "SyncReply"            // Graph, or a string when Status is an error
	MsgSync                 = "Sync"                 // Graph: the sender's whole state
	MsgNodeAdded            = "NodeAdded"            // Node
	MsgNodeUpdated          = "NodeUpdated"          // Node
	MsgNodeDeleted          = "NodeDeleted"          // Node
	MsgNodePartiallyUpdated = "NodePartiallyUpdated" // PartialUpdate
	MsgEdgeAdded            = "EdgeAdded"            // Edge
	MsgEdgeUpdated          = "EdgeUpdated"          // Edge
	MsgEdgeDeleted          = "EdgeDeleted"          // Edge
	MsgEdgePartiallyUpdated = "EdgePartiallyUpdated" // PartialUpdate
	MsgError                = "Error"                // weft: ErrorReport, to a publisher whose message failed
	MsgFlushRequest         = "FlushRequest"         // weft: no object; a publisher asks how far the server is
	MsgFlushReply           = "FlushReply"           // weft: FlushReply, with the UUID of the request
)

// Types of messages in other namespaces.
const (
	MsgAlert     = "Alert" // NamespaceAlert: AlertReport
	MsgFlowStore = "store" // NamespaceFlow: a list of flows
	MsgFlowStats = "stats" // NamespaceStats: CaptureStats
	MsgFlowLost  = "lost"  // weft: NamespaceFlow, FlowsLost: the client was too slow

	MsgCaptureAdded   = "Added"       // NamespaceCaptureNotify: Capture
	MsgCaptureUpdated = "NodeUpdated" // NamespaceCaptureNotify: Capture, as its Count changed
	MsgCaptureDeleted = "Deleted"     // NamespaceCaptureNotify: Capture
)

// Status codes of messages are those of HTTP.
const (
	StatusOK         = 200
	StatusBadRequest = 400
)
