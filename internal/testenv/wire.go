package testenv

import "testing"

// The addresses of a Wire's ends.
const (
	NearAddress = "10.9.0.1"
	FarAddress  = "10.9.0.2"
)

// Wire is two namespaces that a veth pair joins, so that what runs in one can speak to what runs in the other. It ends
// with the test.
type Wire struct{ Near, Far *Namespace }

// NewWire makes the two namespaces, not yet joined.
func NewWire(t testing.TB) *Wire {
	t.Helper()
	both := NewNamespaces(t, 2)
	return &Wire{both[0], both[1]}
}

// Join makes the pair: the near end has the name, the far end is far0. Both have their address and are up.
func (w *Wire) Join(name string) {
	w.Near.t.Helper()
	w.Near.IP("link", "add", name, "type", "veth", "peer", "name", "far0", "netns", w.Far.Path)
	w.Near.IP("addr", "add", NearAddress+"/24", "dev", name)
	w.Far.IP("addr", "add", FarAddress+"/24", "dev", "far0")
	w.Near.IP("link", "set", name, "up")
	w.Far.IP("link", "set", "far0", "up")
}
