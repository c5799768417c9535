package linux

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
)

// The commands of linux/ethtool.h that are used here.
const (
	ethtoolGetSettings    = 0x01 // struct ethtool_cmd
	ethtoolGetStrings     = 0x1b // struct ethtool_gstrings
	ethtoolGetSetSize     = 0x37 // struct ethtool_sset_info
	ethtoolGetFeatures    = 0x3a // struct ethtool_gfeatures
	ethtoolFeatureStrings = 4    // ETH_SS_FEATURES
	ethtoolStringSize     = 32   // ETH_GSTRING_LEN
	maxFeatures           = 1024 // no kernel has a tenth of it
)

// A device is what a link's driver says of it.
type device struct {
	driver, bus string
	speed       int // Mbit/s, 0 unknown
	duplex      string
	features    graph.Value
}

// An ethtool asks drivers by ioctl. It belongs to one goroutine, and to the namespace of
// the thread that opened it.
type ethtool struct {
	fd       int
	features []string // names by bit; the kernel has one list for all drivers
}

func openEthtool(features []string) (*ethtool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &ethtool{fd: fd, features: features}, nil
}

func (e *ethtool) close() { unix.Close(e.fd) }

// device asks the driver of a link. What the driver does not know stays empty.
func (e *ethtool) device(name string) device {
	var d device
	if info, err := unix.IoctlGetEthtoolDrvinfo(e.fd, name); err == nil {
		d.driver = unix.ByteSliceToString(info.Driver[:])
		d.bus = unix.ByteSliceToString(info.Bus_info[:])
	}
	settings := make([]byte, 44)
	if e.ioctl(name, ethtoolGetSettings, settings) == nil {
		speed := int32(binary.NativeEndian.Uint16(settings[12:])) | int32(binary.NativeEndian.Uint16(settings[28:]))<<16
		if speed > 0 {
			d.speed = int(speed)
		}
		switch settings[14] {
		case 0:
			d.duplex = "half"
		case 1:
			d.duplex = "full"
		}
	}
	d.features = e.active(name)
	return d
}

// active returns the features of a link, true for those in use.
func (e *ethtool) active(name string) graph.Value {
	if e.features == nil {
		e.features = e.featureNames(name)
	}
	if len(e.features) == 0 {
		return graph.Value{}
	}
	blocks := (len(e.features) + 31) / 32
	answer := make([]byte, 8+16*blocks)
	binary.NativeEndian.PutUint32(answer[4:], uint32(blocks))
	if e.ioctl(name, ethtoolGetFeatures, answer) != nil {
		return graph.Value{}
	}
	fields := make([]graph.Field, 0, len(e.features))
	for bit, feature := range e.features {
		if feature == "" {
			continue
		}
		block := answer[8+16*(bit/32):] // available, requested, active, never_changed
		fields = append(fields, graph.F(feature, graph.Bool(u32(block[8:])&(1<<(bit%32)) != 0)))
	}
	return graph.Object(graph.NewMetadata(fields...))
}

func (e *ethtool) featureNames(name string) []string {
	size := make([]byte, 20) // cmd, reserved, mask (64 bits), one length
	binary.NativeEndian.PutUint64(size[8:], 1<<ethtoolFeatureStrings)
	if e.ioctl(name, ethtoolGetSetSize, size) != nil || u32(size[8:]) == 0 {
		return nil
	}
	n := int(u32(size[16:]))
	if n > maxFeatures {
		return nil
	}
	list := make([]byte, 12+n*ethtoolStringSize)
	binary.NativeEndian.PutUint32(list[4:], ethtoolFeatureStrings)
	binary.NativeEndian.PutUint32(list[8:], uint32(n))
	if e.ioctl(name, ethtoolGetStrings, list) != nil {
		return nil
	}
	names := make([]string, n)
	for i := range names {
		raw := list[12+i*ethtoolStringSize:][:ethtoolStringSize]
		names[i] = string(bytes.TrimRight(raw, "\x00"))
	}
	return names
}

// ioctl runs the command with data, which starts with room for the command's number.
func (e *ethtool) ioctl(name string, command uint32, data []byte) error {
	binary.NativeEndian.PutUint32(data, command)
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [24 - unsafe.Sizeof(uintptr(0))]byte
	}{data: unsafe.Pointer(unsafe.SliceData(data))}
	if copy(request.name[:unix.IFNAMSIZ-1], name) < len(name) {
		return unix.EINVAL
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(e.fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(data)
	if errno != 0 {
		return errno
	}
	return nil
}

func (d device) fields() []graph.Field {
	fields := make([]graph.Field, 0, 5)
	if d.driver != "" {
		fields = append(fields, graph.F("Driver", graph.String(d.driver)))
	}
	if d.bus != "" && d.bus != "N/A" {
		fields = append(fields, graph.F("BusInfo", graph.String(d.bus)))
	}
	if d.speed > 0 {
		fields = append(fields, graph.F("Speed", graph.Int(int64(d.speed))))
	}
	if d.duplex != "" {
		fields = append(fields, graph.F("Duplex", graph.String(d.duplex)))
	}
	return append(fields, graph.F("Features", d.features)) // absent ones are left out
}
