// Package netflow receives NetFlow version 5, version 9 (RFC 3954) and IPFIX (RFC 7011, with the reverse elements of
// RFC 5103) and gives them as records for a flow table. Records are taken as they come, unscaled: a sampling interval
// of the exporter is not applied.
//
// One goroutine calls Read and Close; Wake and Faults may be called from any. Templates are kept per exporter and
// observation domain, up to a bound. Loss shows in [Faults] in the exporter's unit, records or datagrams; how many
// packets they stood for nobody knows, so that a capture's ledger does not hold them.
package netflow

import (
	"net/netip"
	"sync"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture/datagram"
)

// Options says where to listen.
type Options struct {
	Namespace string         // the path of a network namespace; "" is that of the process
	Address   netip.AddrPort // port 0: any free one
}

// Faults count what gave no record, by cause.
type Faults struct {
	Malformed        uint64 // datagrams that contradict themselves or are cut off
	Version          uint64 // datagrams of a version that is not read
	UnknownTemplate  uint64 // sets of records whose template has not come yet
	RefusedTemplate  uint64 // templates that make no sense, or are one too many
	NoFlow           uint64 // records without addresses
	MissingRecords   uint64 // by the sequence numbers of version 5 and IPFIX
	MissingDatagrams uint64 // by those of version 9
	Unread           uint64 // datagrams that the kernel dropped because they were not read in time
}

// Listener receives records.
type Listener struct {
	socket *datagram.Socket
	buffer []byte

	mu      sync.Mutex // of what follows
	decoder decoder
}

// Listen opens a listener.
func Listen(o Options) (*Listener, error) {
	socket, err := datagram.Listen(o.Namespace, o.Address)
	if err != nil {
		return nil, err
	}
	return &Listener{socket: socket, buffer: make([]byte, datagram.Largest), decoder: newDecoder()}, nil
}

// Addr is where the listener listens.
func (l *Listener) Addr() netip.AddrPort { return l.socket.Addr() }

// Read waits up to wait for a datagram and gives its records, which are valid until the next Read. There are none when
// nothing came, Wake was called, or the datagram held none.
func (l *Listener) Read(wait time.Duration) ([]flow.Record, error) {
	n, from, err := l.socket.Read(l.buffer, wait)
	if err != nil || n == 0 {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.decoder.decode(from, l.buffer[:n]), nil
}

// Wake makes a Read that waits return now, and the next one if none does.
func (l *Listener) Wake() { l.socket.Wake() }

// Faults are counted since the listener was opened.
func (l *Listener) Faults() Faults {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.decoder.faults
	f.Unread = l.socket.Lost()
	return f
}

// Close closes the socket.
func (l *Listener) Close() error { return l.socket.Close() }
