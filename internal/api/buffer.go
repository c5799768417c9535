package api

import (
	"sync"

	"github.com/klauspost/compress/gzip"
)

const (
	bufferFull = 64 << 10 // when a buffer is flushed
	bufferKeep = 1 << 20  // larger ones are not kept for reuse
)

// buffer is reused space for encoding.
type buffer struct{ data []byte }

// spare keeps what is costly to make and can be used again by any request.
type spare struct {
	buffers sync.Pool
	packers sync.Pool
}

func (p *spare) buffer() *buffer {
	if b, ok := p.buffers.Get().(*buffer); ok {
		b.data = b.data[:0]
		return b
	}
	return &buffer{data: make([]byte, 0, bufferFull+bufferFull/4)}
}

func (p *spare) give(b *buffer) {
	if cap(b.data) <= bufferKeep {
		p.buffers.Put(b)
	}
}

// packer returns a gzip writer at its fastest; it holds some hundred kilobytes.
func (p *spare) packer() *gzip.Writer {
	if w, ok := p.packers.Get().(*gzip.Writer); ok {
		return w
	}
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		return gzip.NewWriter(nil) // the level exists: it cannot happen
	}
	return w
}
