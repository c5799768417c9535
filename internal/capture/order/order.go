// Package order is what an analyzer and the agents say to each other about captures: the captures that a host
// shall run, as one whole desired state with a hash, so that a message lost or repeated does no harm.
//
// It holds data and encodings only. Values are not changed after they were handed over, and may be used from any
// goroutine.
package order

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json"

	"github.com/weft-net/weft/skydive"
)

// Orders is the whole desired state of one host.
type Orders struct {
	From     string  // the member that gives the orders
	Hash     uint64  // over Captures: see Seal; 0 = never sealed
	Captures []Order `json:",omitempty"`
	// Keep are the ids of captures that stand and have no node on this host now: what the host counted for them goes on
	// being part of their sums. What the host has of captures that are in neither list goes.
	Keep []string `json:",omitempty"`
}

// Order is one capture on nodes of the host.
type Order struct {
	Capture skydive.Capture
	Nodes   []Node
	// Fresh are the ids of those nodes that appeared while the capture stood: all that passed there is its business,
	// also what passed before a ring was open. It is a note on the way, and not part of the state: Hash leaves it out.
	Fresh []string `json:",omitempty"`
}

// Node is a node to capture on. The agent finds its type, name and namespace in its own graph.
type Node struct {
	ID, TID string
}

// Seal sorts the orders, by the id of the capture and of the node, and computes Hash over their content. The hash
// of no captures is that of the empty list, and not 0.
func (o *Orders) Seal() {
	for i := range o.Captures {
		slices.SortFunc(o.Captures[i].Nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	}
	slices.SortFunc(o.Captures, func(a, b Order) int { return cmp.Compare(a.Capture.UUID, b.Capture.UUID) })
	slices.Sort(o.Keep)
	h := xxhash.New()
	var number [8]byte
	write := func(data []byte) {
		binary.BigEndian.PutUint64(number[:], uint64(len(data)))
		_, _ = h.Write(number[:]) // never fails
		_, _ = h.Write(data)
	}
	for i := range o.Captures {
		content := o.Captures[i]
		content.Fresh = nil
		data, err := json.Marshal(&content, json.Deterministic(true))
		if err != nil { // no value of these types fails
			data = []byte(err.Error())
		}
		write(data)
	}
	for _, id := range o.Keep {
		write([]byte(id)) // which is no JSON object, as the captures before are
	}
	o.Hash = max(h.Sum64(), 1)
}

// Encode writes the orders as JSON.
func (o *Orders) Encode() ([]byte, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("capture orders: %w", err)
	}
	return data, nil
}

// Decode reads what Encode wrote. Orders whose hash is not that of their content are refused.
func Decode(data []byte) (Orders, error) {
	var o Orders
	if err := json.Unmarshal(data, &o); err != nil {
		return Orders{}, fmt.Errorf("capture orders: %w", err)
	}
	said := o.Hash
	o.Seal()
	if said != o.Hash {
		return Orders{}, errors.New("capture orders: the hash does not fit the content: are the versions of agent and analyzer the same?")
	}
	return o, nil
}

// FlowPublisher hands flow batches over to the analyzers. Each batch has the number seq, counting up, in a spool,
// which is a random number made with the spool's directory. Any goroutine may call its methods.
type FlowPublisher interface {
	// PublishFlows returns when the batch is handed over, after waiting for room in the window. An error means
	// that this batch, and perhaps those before it that are not acknowledged, did not arrive: send again from the
	// oldest that is not acknowledged. Batches that were there already are acknowledged again and do no harm.
	PublishFlows(ctx context.Context, spool, seq uint64, payload []byte) error
	// MostBytes is how long a batch may be now, 0 when that is not known. What is longer never arrives.
	MostBytes() int
	// OnAck sets what is called when a batch is kept by an analyzer or by the stream. It is called from a
	// goroutine of the bus, one call at a time, and must not block.
	OnAck(f func(spool, seq uint64))
}
