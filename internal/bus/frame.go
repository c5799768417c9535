package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A frame is one NATS message on a graph subject:
//
//	'w' 'f'   magic
//	1         version
//	8 bytes   instance: the sending process, drawn at random when it starts
//	uvarint   number: 1, 2, 3… within the instance, over all its origins
//	uvarint   part, from 0
//	uvarint   parts; 0 for a frame without content, sent to see whether the stream delivers
//	rest      this part of the bytes of graph.AppendBatch
//
// The parts of one batch are consecutive frames.
type frame struct {
	instance uint64
	number   uint64
	part     uint64
	parts    uint64
	data     []byte
}

const (
	frameMagic   = "wf\x01"
	frameRoom    = 3 + 8 + 3*binary.MaxVarintLen64
	maxParts     = 4096
	maxBatchSize = 256 << 20 // bytes of one batch, over all its parts
)

var errFrame = errors.New("not a frame of weft")

func appendFrameHeader(dst []byte, f frame) []byte {
	dst = append(dst, frameMagic...)
	dst = binary.BigEndian.AppendUint64(dst, f.instance)
	dst = binary.AppendUvarint(dst, f.number)
	dst = binary.AppendUvarint(dst, f.part)
	return binary.AppendUvarint(dst, f.parts)
}

// parseFrame reads a frame; its data aliases msg.
func parseFrame(msg []byte) (frame, error) {
	if len(msg) < len(frameMagic)+8 || string(msg[:len(frameMagic)]) != frameMagic {
		return frame{}, errFrame
	}
	f := frame{instance: binary.BigEndian.Uint64(msg[len(frameMagic):])}
	at := len(frameMagic) + 8
	for _, field := range []*uint64{&f.number, &f.part, &f.parts} {
		v, n := binary.Uvarint(msg[at:])
		if n <= 0 {
			return frame{}, fmt.Errorf("%w: cut off at byte %d", errFrame, at)
		}
		*field = v
		at += n
	}
	if f.number == 0 || f.parts > maxParts || f.part >= max(f.parts, 1) {
		return frame{}, fmt.Errorf("%w: number %d, part %d of %d", errFrame, f.number, f.part, f.parts)
	}
	f.data = msg[at:]
	return f, nil
}

// assembler puts the frames of one instance back together. Frames come in the order of
// their numbers; a missing one abandons the batch that it belongs to.
type assembler struct {
	last  uint64 // number of the last frame taken
	next  uint64 // part that is awaited, when parts are held
	parts [][]byte
	size  int
}

// add takes a frame. It returns the bytes of a batch when the frame completes one, and
// abandoned = true when a batch that was begun can never be completed.
func (a *assembler) add(f frame) (batch []byte, abandoned bool) {
	follows := f.number == a.last+1
	a.last = f.number
	if len(a.parts) > 0 && (!follows || f.part != a.next) {
		abandoned = true
		a.reset()
	}
	switch {
	case f.parts == 0:
		return nil, abandoned
	case f.parts == 1:
		return f.data, abandoned
	case f.part != uint64(len(a.parts)): // the beginning was lost
		return nil, true
	case a.size+len(f.data) > maxBatchSize:
		a.reset()
		return nil, true
	}
	a.parts = append(a.parts, append([]byte(nil), f.data...))
	a.size += len(f.data)
	a.next = f.part + 1
	if a.next < f.parts {
		return nil, abandoned
	}
	whole := make([]byte, 0, a.size)
	for _, part := range a.parts {
		whole = append(whole, part...)
	}
	a.reset()
	return whole, abandoned
}

func (a *assembler) reset() { a.parts, a.size, a.next = nil, 0, 0 }
