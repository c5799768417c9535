// Package capture says what a source of packets is.
//
// A [Source] is one ring, one file or one listener: it gives batches of packets and knows how
// many it lost. What reads sources lives above (internal/capture/runner on an agent,
// `weft flows FILE` on the command line); what implements them lives beside (afpacket,
// sflow). One goroutine reads a Source and closes it; [Source.Wake] and
// [Source.Stats] may be called from any goroutine until Close has returned.
package capture

import (
	"errors"
	"time"

	"github.com/weft-net/weft/flow"
)

// ErrGone is returned by [Source.Read] when the device or the namespace under a source went away.
// What the source held is given before; [Source.Stats] still answers.
var ErrGone = errors.New("device gone")

// Source gives the packets of one ring.
type Source interface {
	// LinkType says how the packets of the source begin. It does not change.
	LinkType() flow.LinkType
	// Read waits up to wait for packets and returns a batch, which is valid until the next
	// Read. The batch is empty when nothing came or Wake was called. io.EOF says that a source
	// that has an end reached it, ErrGone that what was captured on is no more; packets may come
	// with either.
	Read(wait time.Duration) ([]flow.Packet, error)
	// Wake makes a Read that waits return now, and the next one if none does.
	Wake()
	// Stats are cumulative since the source was opened.
	Stats() (SourceStats, error)
	// Close frees the source; a Read that is under way must have returned before.
	Close() error
}

// SourceStats count what a source saw, in packets.
type SourceStats struct {
	Received uint64 // packets that passed the filter, those that were dropped included
	Dropped  uint64 // of these: lost because the ring was full
}
