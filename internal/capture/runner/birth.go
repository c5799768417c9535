package runner

import (
	"maps"
	"sync"
	"time"

	"github.com/weft-net/weft/graph"
)

const (
	birthAge   = time.Minute // an order that takes longer does not make up for what passed before it
	mostBirths = 1 << 14
)

// births remembers what new interfaces had counted when the agent first saw them: most had counted nothing. Whoever
// captures them a moment later knows by it what passed in between.
type births struct {
	mu   sync.Mutex
	seen map[string]birth // by node
}

type birth struct {
	at      time.Time
	packets uint64
}

// take notes the interfaces that are new in a commit. It reports whether there are any.
func (b *births) take(commit *graph.Commit) bool {
	found := false
	for i := range commit.Changes {
		ch := &commit.Changes[i]
		if ch.Kind != graph.NodeAdded {
			continue
		}
		received, ok := ch.Node.Field("Metric.RxPackets")
		sent, both := ch.Node.Field("Metric.TxPackets")
		if !ok || !both {
			continue
		}
		found = true
		b.note(ch.Node.ID(), uint64(max(received.Int()+sent.Int(), 0)))
	}
	return found
}

func (b *births) note(id string, packets uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.seen == nil {
		b.seen = map[string]birth{}
	}
	if len(b.seen) >= mostBirths {
		maps.DeleteFunc(b.seen, func(_ string, one birth) bool { return now.Sub(one.at) > birthAge })
	}
	if len(b.seen) < mostBirths {
		b.seen[id] = birth{now, packets}
	}
}

// of gives what an interface had counted when it was first seen, if that was not long ago.
func (b *births) of(id string) (packets uint64, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one, known := b.seen[id]
	return one.packets, known && time.Since(one.at) <= birthAge
}
