package runner

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/skydive"
)

// sendTo sends a datagram to a port of the far end.
func (w *wire) sendTo(port int, payload []byte) {
	w.t.Helper()
	w.near.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, payload, 0, &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr("10.9.0.2").As4()})
	})
}

// TestOptionsOfACapture sends real datagrams, one of them in fragments, through captures with and without the options.
func TestOptionsOfACapture(t *testing.T) {
	names, err := flow.NewApplications([]string{"UDP:7777:GAME"})
	if err != nil {
		t.Fatal(err)
	}
	// A message of 200 questions, which takes three fragments.
	message := append([]byte{0x12, 0x67, 1, 0, 0, 200}, make([]byte, 6)...)
	for range 200 {
		message = append(message, "\x07example\x03org\x00\x00\x01\x00\x01"...)
	}
	for _, on := range []bool{false, true} {
		w := newWire(t)
		c := skydive.Capture{UUID: "c1", IPDefrag: on, ReassembleTCP: on, RawPacketLimit: 2, HeaderSize: 64}
		opts := Options{Graph: w.graph, Sink: w, Publish: newTaker(), Dir: t.TempDir()}
		if on {
			c.ExtraLayers = skydive.ExtraLayerDNS
			opts.Settings.Applications = names
		}
		r, _ := start(t, opts)
		if err := r.SetOrders(orders(c, "v0")); err != nil {
			t.Fatal(err)
		}
		awaitState(t, r, Active)
		w.sendTo(53, message)
		w.sendTo(7777, []byte("hello"))
		if l := w.awaitExact(r); on && l.Faults != [flow.NumFaults]uint64{} || l.Dropped() != 0 {
			t.Errorf("options %t: ledger %+v", on, l)
		}
		byPort := func(port int64) *flow.Flow {
			for f, err := range r.Flows(t.Context(), &gremlin.FlowQuery{AllNodes: true, Limit: -1}) {
				if err != nil {
					t.Fatal(err)
				}
				if f.Transport != nil && f.Transport.B == port {
					return f
				}
			}
			return nil
		}
		eventually(t, "the flows", func() string {
			dns, game := byPort(53), byPort(7777)
			if dns == nil || game == nil {
				return "are not there"
			}
			if dns.IPMetric == nil || *dns.IPMetric != (flow.IPMetric{Fragments: 3}) || dns.Metric.ABPackets != 3 || dns.RawPacketsCaptured != 2 {
				return fmt.Sprintf("options %t: fragments %+v of %+v, %d kept", on, dns.IPMetric, dns.Metric, dns.RawPacketsCaptured)
			}
			if got := dns.DNS != nil && dns.DNS.ID == 0x1267 && len(dns.DNS.Questions) == 200; got != on {
				return fmt.Sprintf("options %t: DNS %+v", on, dns.DNS)
			}
			if want := map[bool]string{false: "UDP", true: "GAME"}[on]; game.Application != want {
				return fmt.Sprintf("options %t: application %s", on, game.Application)
			}
			return ""
		})
	}
}

func TestSnapLength(t *testing.T) {
	for _, test := range []struct {
		capture skydive.Capture
		want    int
	}{
		{skydive.Capture{}, 512},
		{skydive.Capture{HeaderSize: 64}, 512},
		{skydive.Capture{HeaderSize: 900, RawPacketLimit: 5}, 900},
		{skydive.Capture{RawPacketLimit: -1}, 0},
		{skydive.Capture{ReassembleTCP: true}, 512},
		{skydive.Capture{IPDefrag: true, HeaderSize: 64}, 0},
		{skydive.Capture{ExtraLayers: skydive.ExtraLayerDNS, HeaderSize: 64}, 0},
	} {
		if got := snapLength(&test.capture); got != test.want {
			t.Errorf("%+v: %d bytes, want %d", test.capture, got, test.want)
		}
	}
}
