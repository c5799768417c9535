package skydive

import "time"

// APIInfo is the answer of GET PathAPI.
type APIInfo struct {
	Host    string
	Version string
	Service string // ServiceAnalyzer or ServiceAgent
}

// LoginReply is the answer of POST PathLogin; the token also comes as the cookie CookieAuthToken.
type LoginReply struct {
	Token       string
	Permissions []Permission
}

// Permission says whether the user may do Action on Object. WebSocket endpoints are object "websocket" with the
// endpoint's path as the action.
type Permission struct {
	Object  string
	Action  string
	Allowed bool
}

// TopologyParams is the body of POST PathTopology. An empty query answers 204.
type TopologyParams struct {
	GremlinQuery string
	Explain      bool `json:",omitzero"` // weft: answer with the plan instead of the result
}

// Status is what an analyzer answers to GET PathStatus.
type Status struct {
	Agents      map[string]Conn
	Peers       PeersStatus
	Publishers  map[string]Conn
	Subscribers map[string]Conn
	Alerts      ElectionStatus
	Captures    ElectionStatus
	Probes      map[string]ProbeStatus
}

// PeersStatus lists the analyzers connected to one, and those that it connected to.
type PeersStatus struct {
	Incomers map[string]Conn
	Outgoers map[string]Conn
}

// ElectionStatus says whether this analyzer is the one in charge of a task.
type ElectionStatus struct{ IsMaster bool }

// ProbeStatus is the state of one probe, "running" when it does.
type ProbeStatus struct{ Status string }

// AgentStatus is what an agent answers to GET PathStatus.
type AgentStatus struct {
	Clients        map[string]Conn
	Analyzers      map[string]AgentConn
	TopologyProbes []string
	FlowProbes     []string
}

// Conn is one WebSocket connection, as a status shows it.
type Conn struct {
	ServiceType       string
	ClientProtocol    string // ProtocolJSON or ProtocolProtobuf
	Addr              string
	Port              int
	IsConnected       bool
	ConnectTime       time.Time // RFC 3339
	RemoteHost        string    `json:",omitzero"`
	RemoteServiceType string    `json:",omitzero"`
}

// AgentConn is an agent's connection to an analyzer.
type AgentConn struct {
	ServiceType       string
	ClientProtocol    string
	Addr              string
	Port              int
	IsConnected       bool
	ConnectTime       time.Time
	RemoteHost        string `json:",omitzero"`
	RemoteServiceType string `json:",omitzero"`
	IsMaster          bool
}
