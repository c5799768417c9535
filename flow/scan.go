package flow

import "net/netip"

// Prefilter holds conditions that a flow must meet to be of interest. They are necessary, not sufficient: a scan leaves out what
// cannot match, and the caller checks what is left. Nil lists admit everything; of a list that is not nil, one must match.
type Prefilter struct {
	Network, NetworkA, NetworkB       []netip.Addr // Network: either end
	Transport, TransportA, TransportB []uint16
	UUID, TrackingID                  []string
	Application                       []string
}
