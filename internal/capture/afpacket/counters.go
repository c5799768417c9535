package afpacket

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Counters are what an interface says of itself, since it was made.
type Counters struct {
	RxPackets, TxPackets uint64
	RxBytes, TxBytes     uint64
	RxDropped, TxDropped uint64
}

// Packets are those that a ring on the interface would have seen, without a filter.
func (c Counters) Packets() uint64 { return c.RxPackets + c.TxPackets }

// InterfaceCounters reads the counters of an interface in the namespace at the path, or in that of the
// process where it is "". An interface that is not there is fs.ErrNotExist.
func InterfaceCounters(namespace string, index int) (Counters, error) {
	var counters Counters
	err := inNamespace(namespace, func(place) error {
		link, err := netlink.LinkByIndex(index)
		var absent netlink.LinkNotFoundError
		if errors.As(err, &absent) || errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("interface %d: %w", index, fs.ErrNotExist)
		}
		if err != nil {
			return fmt.Errorf("interface %d: %w", index, err)
		}
		stats := link.Attrs().Statistics
		if stats == nil {
			return fmt.Errorf("interface %d: counters: %w", index, errors.ErrUnsupported)
		}
		counters = Counters{
			RxPackets: stats.RxPackets, TxPackets: stats.TxPackets,
			RxBytes: stats.RxBytes, TxBytes: stats.TxBytes,
			RxDropped: stats.RxDropped, TxDropped: stats.TxDropped,
		}
		return nil
	})
	return counters, err
}

// nameOf asks for the name of an interface in the namespace of the socket.
func nameOf(fd, index int) (string, error) {
	request, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	request.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, request); err != nil {
		return "", missing(fmt.Sprintf("interface %d", index), err)
	}
	return request.Name(), nil
}
