package pcapfile

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/weft-net/weft/flow"
)

// Format is that of a file to write.
type Format uint8

// The formats. Both are written little-endian, with times in nanoseconds.
const (
	Pcap   Format = iota // one link type
	Pcapng               // any: an interface is described for each
)

// LinkError means that a pcap file, which holds one link type, was given another. pcapng takes both.
type LinkError struct{ File, Packet flow.LinkType }

func (e *LinkError) Error() string {
	return fmt.Sprintf("link type %d in a pcap file of link type %d: write pcapng", e.Packet, e.File)
}

// Writer writes a capture file. Call Flush at the end.
type Writer struct {
	out        *bufio.Writer
	format     Format
	begun      bool
	link       flow.LinkType // of a pcap file
	interfaces map[flow.LinkType]uint32
	head       []byte
}

// NewWriter makes a Writer. The link is that of a pcap file and of one without packets; in pcapng packets may have any.
func NewWriter(out io.Writer, format Format, link flow.LinkType) *Writer {
	return &Writer{out: bufio.NewWriterSize(out, 64<<10), format: format, link: link, interfaces: map[flow.LinkType]uint32{}}
}

// Write adds a packet. A pcap file cannot tell times before 1970 or after 2106: they are written as the nearest it can.
func (w *Writer) Write(link flow.LinkType, p flow.Packet) error {
	if w.format == Pcap && link != w.link {
		return &LinkError{File: w.link, Packet: link}
	}
	if len(p.Data) > usualPacket {
		return fmt.Errorf("a packet of %d bytes, where %d is the most", len(p.Data), usualPacket)
	}
	if err := w.begin(); err != nil {
		return err
	}
	length := uint32(min(max(p.Length, len(p.Data)), math.MaxUint32))
	if w.format == Pcap {
		return w.record(p, length)
	}
	return w.block(link, p, length)
}

// Flush writes what is buffered, and the header of a file without packets.
func (w *Writer) Flush() error {
	if err := w.begin(); err != nil {
		return err
	}
	return w.out.Flush()
}

// begin writes the beginning of the file, once.
func (w *Writer) begin() error {
	if w.begun {
		return nil
	}
	w.begun = true
	le := binary.LittleEndian
	h := w.head[:0]
	if w.format == Pcap {
		h = le.AppendUint32(h, magicNano)
		h = le.AppendUint16(h, 2)
		h = le.AppendUint16(h, 4)
		h = append(h, make([]byte, 8)...)
		h = le.AppendUint32(h, usualPacket)
		h = le.AppendUint32(h, uint32(w.link))
		return w.put(h)
	}
	h = le.AppendUint32(h, blockSection)
	h = le.AppendUint32(h, 28)
	h = le.AppendUint32(h, byteOrderMagic)
	h = le.AppendUint16(h, 1)
	h = le.AppendUint16(h, 0)
	h = le.AppendUint64(h, math.MaxUint64) // the length of the section is not known
	h = le.AppendUint32(h, 28)
	if err := w.put(h); err != nil {
		return err
	}
	_, err := w.on(w.link)
	return err
}

func (w *Writer) put(head []byte) error {
	w.head = head
	_, err := w.out.Write(head)
	return err
}

// on gives the number of the interface for a link type, and describes it first when it is new.
func (w *Writer) on(link flow.LinkType) (uint32, error) {
	if n, ok := w.interfaces[link]; ok {
		return n, nil
	}
	n := uint32(len(w.interfaces))
	w.interfaces[link] = n
	le := binary.LittleEndian
	h := le.AppendUint32(w.head[:0], blockInterface)
	h = le.AppendUint32(h, 32)
	h = le.AppendUint16(h, uint16(link))
	h = le.AppendUint16(h, 0)
	h = le.AppendUint32(h, 0) // no snap length
	h = le.AppendUint16(h, optionResolution)
	h = le.AppendUint16(h, 1)
	h = append(h, 9, 0, 0, 0)
	h = le.AppendUint32(h, 0) // end of options
	return n, w.put(le.AppendUint32(h, 32))
}

// record writes a packet of a pcap file.
func (w *Writer) record(p flow.Packet, length uint32) error {
	seconds := p.Time / 1e9
	switch {
	case p.Time < 0:
		seconds, p.Time = 0, 0
	case seconds > math.MaxUint32:
		seconds, p.Time = math.MaxUint32, 0
	}
	le := binary.LittleEndian
	h := le.AppendUint32(w.head[:0], uint32(seconds))
	h = le.AppendUint32(h, uint32(p.Time%1e9))
	h = le.AppendUint32(h, uint32(len(p.Data)))
	if err := w.put(le.AppendUint32(h, length)); err != nil {
		return err
	}
	_, err := w.out.Write(p.Data)
	return err
}

// block writes a packet of a pcapng file.
func (w *Writer) block(link flow.LinkType, p flow.Packet, length uint32) error {
	n, err := w.on(link)
	if err != nil {
		return err
	}
	pad := -len(p.Data) & 3
	total := uint32(32 + len(p.Data) + pad)
	le := binary.LittleEndian
	h := le.AppendUint32(w.head[:0], blockPacket)
	h = le.AppendUint32(h, total)
	h = le.AppendUint32(h, n)
	stamp := uint64(max(p.Time, 0))
	h = le.AppendUint32(h, uint32(stamp>>32))
	h = le.AppendUint32(h, uint32(stamp))
	h = le.AppendUint32(h, uint32(len(p.Data)))
	if err := w.put(le.AppendUint32(h, length)); err != nil {
		return err
	}
	if _, err := w.out.Write(p.Data); err != nil {
		return err
	}
	h = append(w.head[:0], 0, 0, 0)[:pad]
	return w.put(le.AppendUint32(h, total))
}
