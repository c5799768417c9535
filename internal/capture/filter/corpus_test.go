package filter

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/weft-net/weft/internal/testenv"
)

// packet is one packet of the corpus.
type packet struct {
	data   []byte
	length int
}

// ethernet puts a link header before a payload, with tags of VLANs.
func ethernet(destination byte, kind uint16, payload []byte, tags ...uint32) []byte {
	frame := []byte{2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, 8 + byte(len(payload)&1)}
	switch destination {
	case 0xff:
		copy(frame, bytes.Repeat([]byte{0xff}, 6))
	case 0xfe:
		copy(frame, []byte{1, 0, 0x5e, 0, 0, 1})
	}
	for _, tag := range tags { // protocol<<16 | tag
		frame = binary.BigEndian.AppendUint32(frame, tag)
	}
	return append(binary.BigEndian.AppendUint16(frame, kind), payload...)
}

// ipv4 makes a packet, with fragment bits and a number of options of 4 bytes.
func ipv4(source, destination string, protocol byte, fragment uint16, options int, payload []byte) []byte {
	header := make([]byte, 20+4*options)
	header[0] = 0x45 + byte(options)
	binary.BigEndian.PutUint16(header[2:], uint16(len(header)+len(payload)))
	binary.BigEndian.PutUint16(header[6:], fragment)
	header[8], header[9] = 64, protocol
	copy(header[12:], netip.MustParseAddr(source).AsSlice())
	copy(header[16:], netip.MustParseAddr(destination).AsSlice())
	return slices.Concat(header, payload)
}

func ipv6(source, destination string, protocol byte, payload []byte) []byte {
	header := make([]byte, 40)
	header[0], header[6], header[7] = 0x60, protocol, 64
	binary.BigEndian.PutUint16(header[4:], uint16(len(payload)))
	copy(header[8:], netip.MustParseAddr(source).AsSlice())
	copy(header[24:], netip.MustParseAddr(destination).AsSlice())
	return slices.Concat(header, payload)
}

func ports(source, destination uint16, flags byte, size int) []byte {
	header := make([]byte, max(20, size))
	binary.BigEndian.PutUint16(header, source)
	binary.BigEndian.PutUint16(header[2:], destination)
	header[4], header[12], header[13] = byte(source&1), 0x50, flags
	return header
}

func arp(operation byte, sender, target string) []byte {
	body := []byte{0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 9}
	body = append(body, netip.MustParseAddr(sender).AsSlice()...)
	body = append(body, 0, 0, 0, 0, 0, 0)
	return append(body, netip.MustParseAddr(target).AsSlice()...)
}

// corpus is traffic in which every expression of the table finds something and refuses something.
func corpus() []packet {
	random := rand.New(rand.NewPCG(1, 2))
	hosts := []string{"10.0.0.1", "10.0.0.2", "10.1.2.3", "192.168.1.1", "192.168.1.77", "224.0.0.5", "172.16.0.9"}
	hosts6 := []string{"2001:db8::1", "2001:db8::2", "2001:db8:1::1", "fe80::1", "ff02::1", "2001:db8:8000::1"}
	numbers := []uint16{53, 80, 443, 22, 20, 25, 179, 5353, 33000, 65535, 0}
	carriers := []byte{6, 6, 6, 17, 17, 17, 1, 132, 2, 50, 51, 103, 112, 47, 58}
	carriers6 := []byte{6, 6, 17, 17, 58, 58, 132, 44, 0, 50, 103}
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	port := func() uint16 { return numbers[random.IntN(len(numbers))] }
	var packets []packet
	add := func(data []byte) {
		length := len(data)
		if random.IntN(8) == 0 {
			data = data[:14+random.IntN(len(data)-14)] // cut by the snap length
		}
		packets = append(packets, packet{data, length})
	}
	tags := func() []uint32 {
		switch random.IntN(8) {
		case 0:
			return []uint32{0x8100<<16 | 100}
		case 1:
			return []uint32{0x8100<<16 | 0x6005}
		case 2:
			return []uint32{0x88a8<<16 | 100, 0x8100<<16 | 5}
		}
		return nil
	}
	station := func() byte { return []byte{1, 2, 3, 0xff, 0xfe}[random.IntN(5)] }
	for range 4000 {
		body := ports(port(), port(), byte(random.IntN(64)), 20+random.IntN(600))
		if random.IntN(4) == 0 {
			body[0], body[1] = byte(random.IntN(15)), byte(random.IntN(3)) // types of ICMP
		}
		switch random.IntN(10) {
		case 0:
			kind := []uint16{0x0806, 0x8035}[random.IntN(2)]
			add(ethernet(station(), kind, arp(1, pick(hosts), pick(hosts)), tags()...))
		case 1:
			add(ethernet(station(), []uint16{0x88cc, 0x8863, 0x0842, 40}[random.IntN(4)], body, tags()...))
		case 2, 3, 4:
			add(ethernet(station(), 0x86dd, ipv6(pick(hosts6), pick(hosts6), carriers6[random.IntN(len(carriers6))], body), tags()...))
		case 5:
			fragment := append([]byte{carriers6[random.IntN(len(carriers6))], 0, 0, 1, 0, 0, 0, 1}, body...)
			add(ethernet(station(), 0x86dd, ipv6(pick(hosts6), pick(hosts6), 44, fragment), tags()...))
		default:
			fragment := []uint16{0, 0, 0, 0x4000, 0x2000, 0x2010, 0x0100}[random.IntN(7)]
			options := max(0, random.IntN(5)-2)
			add(ethernet(station(), 0x0800, ipv4(pick(hosts), pick(hosts), carriers[random.IntN(len(carriers))], fragment, options, body), tags()...))
		}
	}
	return packets
}

// rawIP is what is left of a corpus on an interface without link headers.
func rawIP(packets []packet) []packet {
	var raw []packet
	for _, p := range packets {
		if kind := binary.BigEndian.Uint16(p.data[12:]); len(p.data) > 34 && (kind == 0x0800 || kind == 0x86dd) {
			raw = append(raw, packet{p.data[14:], p.length - 14})
		}
	}
	return raw
}

// writePCAP writes packets to a file, numbered by their second.
func writePCAP(t testing.TB, packets []packet, link uint32) string {
	t.Helper()
	out := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	out = binary.LittleEndian.AppendUint16(out, 2)
	out = binary.LittleEndian.AppendUint16(out, 4)
	out = append(out, make([]byte, 8)...)
	out = binary.LittleEndian.AppendUint32(out, 262144)
	out = binary.LittleEndian.AppendUint32(out, link)
	for i, p := range packets {
		for _, value := range []int{i, 0, len(p.data), p.length} {
			out = binary.LittleEndian.AppendUint32(out, uint32(value))
		}
		out = append(out, p.data...)
	}
	name := filepath.Join(t.TempDir(), fmt.Sprintf("corpus-%d.pcap", link))
	if err := os.WriteFile(name, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// tcpdump says which packets of a file pass an expression, with its optimizer or without: that changes in which
// order bytes are looked at, and so which packets are refused for being cut.
func tcpdump(t testing.TB, file, expression string, options ...string) (map[int]bool, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := testenv.Command(ctx, t, "tcpdump", append(options, "-Z", "root", "-n", "-r", file, "-w", "-", expression)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	if len(out) < 24 {
		return nil, errors.New("no output")
	}
	passed := map[int]bool{}
	reader := bytes.NewReader(out[24:])
	for {
		var header [4]uint32
		if err := binary.Read(reader, binary.LittleEndian, &header); errors.Is(err, io.EOF) {
			return passed, nil
		} else if err != nil {
			return nil, err
		}
		passed[int(header[0])] = true
		if _, err := reader.Seek(int64(header[2]), io.SeekCurrent); err != nil {
			return nil, err
		}
	}
}
