package bus

import (
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
)

// consumer is a feed's place on its stream: it is lost when JetStream stops or hangs, and opened again. Its feed
// guards the fields with a lock of its own.
type consumer struct {
	c       *Conn
	stream  StreamOptions
	subject string
	pending int // messages that wait for the feed
	bytes   int // of them

	sub        *nats.Subscription // nil: not open
	generation int                // messages of an earlier one are not for this feed any more
}

// close ends the subscription, if there is one.
func (k *consumer) close() {
	if k.sub != nil {
		_ = k.sub.Unsubscribe() // the server forgets a consumer whose subscriber is gone
		k.sub = nil
	}
}

// reopen ends what there is and subscribes anew. It takes the feed's lock for the moments in which it needs it. ready
// brings up, or only looks at, JetStream of the server in this process; from says where on the stream to begin; handle
// takes the messages with their generation.
func (k *consumer) reopen(lock sync.Locker, ready func(*Server) error, from func(nats.JetStreamContext) (nats.SubOpt, error), handle func(generation int, m *nats.Msg)) error {
	lock.Lock()
	k.close()
	k.generation++
	generation := k.generation
	lock.Unlock()
	sub, err := k.open(ready, from, func(m *nats.Msg) { handle(generation, m) })
	if err != nil {
		return err
	}
	lock.Lock()
	defer lock.Unlock()
	k.sub = sub
	return nil
}

func (k *consumer) open(ready func(*Server) error, from func(nats.JetStreamContext) (nats.SubOpt, error), handle nats.MsgHandler) (*nats.Subscription, error) {
	if !k.c.Connected() {
		return nil, k.c.LastError()
	}
	if server := k.c.opts.Server; server != nil {
		if err := ready(server); err != nil {
			return nil, err
		}
	}
	js, err := k.c.jetStream()
	if err != nil {
		return nil, err
	}
	if err := k.stream.ensure(js); err != nil {
		return nil, err
	}
	begin, err := from(js)
	if err != nil {
		return nil, err
	}
	sub, err := js.Subscribe(k.subject, handle, nats.OrderedConsumer(), begin, nats.BindStream(k.stream.Name))
	if err != nil {
		return nil, fmt.Errorf("consumer of the stream %s: %w", k.stream.Name, err)
	}
	if err := sub.SetPendingLimits(k.pending, k.bytes); err != nil {
		return nil, errors.Join(err, sub.Unsubscribe())
	}
	return sub, nil
}
