package afpacket

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/internal/capture/filter"
)

// The kernel takes the outer tag off before the filter runs; the filter must find it beside the packet.
func TestFiltersForVLANsWorkInTheKernel(t *testing.T) {
	w := newWire(t)
	plain := udp(1000, 53, 1, 0)
	frames := [][]byte{
		plain,
		tagged(plain, unix.ETH_P_8021Q, 100),
		tagged(plain, unix.ETH_P_8021Q, 0x6005),
		tagged(tagged(plain, unix.ETH_P_8021Q, 5), unix.ETH_P_8021AD, 100),
		udp(1000, 80, 2, 0),
		tagged(udp(1000, 80, 2, 0), unix.ETH_P_8021Q, 100),
	}
	for _, test := range []struct {
		expression string
		passed     int
	}{
		{"", 6},
		{"ip", 5}, // the two of one tag too, for it is off
		{"udp port 53", 3},
		{"vlan", 4},
		{"not vlan", 2},
		{"vlan 100", 3},
		{"vlan 5", 1},
		{"not vlan 100", 3},
		{"vlan 100 and ip", 2},
		{"vlan 100 and udp port 53", 1},
		{"vlan 100 and vlan 5", 1},
		{"vlan 100 and vlan 5 and udp port 53", 1},
		{"vlan 5 and vlan 100", 0},
		{"ip and vlan 100", 2},
		{"vlan and (port 80 or vlan)", -1},
		{"host 10.9.0.232 and not port 53", 2},
	} {
		t.Run(test.expression, func(t *testing.T) {
			program, err := filter.Compile(test.expression, 1, 0)
			if test.passed < 0 {
				if err == nil {
					t.Error("compiled")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			ring := w.open(Options{Filter: program.Raw(), RingBytes: 64 << 10})[0]
			w.send(frames...)
			if given := rest(t, ring); given != test.passed {
				t.Errorf("%d packets pass, want %d", given, test.passed)
			}
			want(t, ring, test.passed, 0)
		})
	}
}
