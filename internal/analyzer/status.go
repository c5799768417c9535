package analyzer

import (
	"net"
	"strconv"
	"time"

	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/skydive"
)

// ruleID makes the id of an element that a rule makes.
func ruleID(parts ...string) string { return probe.GenID(append([]string{"rule"}, parts...)...) }

// Speaks says whether the origin is that of a host whose agent is there: what it sees
// it says, so its elements are not for others to delete.
func (a *Analyzer) Speaks(origin string) bool {
	member := bus.MemberOf(origin)
	if member == "" || bus.IsAnalyzer(member) {
		return false
	}
	a.members.mu.Lock()
	defer a.members.mu.Unlock()
	one := a.members.byName[member]
	return one != nil && !one.away
}

// BusStatus is weft's addition to /api/status.
type BusStatus struct {
	Address     string
	IsConnected bool
	Stream      bool   // batches come through the stream, else directly
	Persistence string // "on" or "off"
	Reason      string `json:",omitempty"` // why it is off
	Damage      string `json:",omitempty"` // what was kept and could not be read at the start, and what to do
	Since       time.Time
}

// HostStatus is weft's addition to /api/status: what the heartbeats of a host say.
type HostStatus struct {
	Version  string
	Started  time.Time
	LastSeen time.Time
	Away     bool
	Origins  int
	Probes   map[string]skydive.ProbeStatus
}

// Status is what /api/status shows of the bus and its members, in Skydive's shape.
func (a *Analyzer) Status() any {
	address, port := "", 0
	if host, text, err := net.SplitHostPort(a.conn.Addr()); err == nil {
		address = host
		port, _ = strconv.Atoi(text)
	} else {
		address = a.conn.Addr()
	}
	agents, analyzers := map[string]skydive.Conn{}, map[string]skydive.Conn{}
	hosts, probes := map[string]HostStatus{}, map[string]skydive.ProbeStatus{}
	a.members.mu.Lock()
	for name, m := range a.members.byName {
		conn := skydive.Conn{
			ServiceType: "agent", ClientProtocol: "nats", Addr: address, Port: port,
			IsConnected: !m.away, ConnectTime: m.since, RemoteHost: bus.HostOf(name), RemoteServiceType: "agent",
		}
		if bus.IsAnalyzer(name) {
			conn.ServiceType, conn.RemoteServiceType = "analyzer", "analyzer"
			analyzers[bus.HostOf(name)] = conn
			continue
		}
		agents[name] = conn
		host := HostStatus{
			Version: m.beat.Version, Started: time.UnixMilli(m.beat.Started), LastSeen: m.lastSeen,
			Away: m.away, Origins: len(m.at), Probes: map[string]skydive.ProbeStatus{},
		}
		for probe, status := range m.beat.Probes {
			host.Probes[probe] = skydive.ProbeStatus{Status: status}
			if name == a.opts.Host {
				probes[probe] = skydive.ProbeStatus{Status: status}
			}
		}
		hosts[name] = host
	}
	a.members.mu.Unlock()
	state := a.feed.State()
	persistence := "off"
	if state.Persistent {
		persistence = "on"
	}
	master := skydive.ElectionStatus{IsMaster: a.leads()}
	return map[string]any{
		"Agents":   agents,
		"Peers":    skydive.PeersStatus{Incomers: analyzers, Outgoers: map[string]skydive.Conn{}},
		"Alerts":   master,
		"Captures": master,
		"Probes":   probes,
		"Hosts":    hosts,
		"Bus": BusStatus{
			Address: a.conn.Addr(), IsConnected: a.conn.Connected(), Stream: state.Stream,
			Persistence: persistence, Reason: state.Reason, Since: state.Since, Damage: a.conn.Damage(),
		},
	}
}
