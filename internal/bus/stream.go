package bus

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// StreamOptions describe the stream of graph batches, or that of flow batches.
type StreamOptions struct {
	Name     string        // "weft_graph"
	File     bool          // on disk, else in memory
	MaxBytes int64         // 1 GiB
	MaxAge   time.Duration // 24 h
	Replicas int           // in a cluster, 1
	// NoAck keeps the stream from acknowledging by itself; the feed does it. A stream
	// answers to whatever subject the sender names as its reply, with the rights of the
	// server: by naming one of JetStream's own an agent could purge a stream. Set for
	// an embedded server, which lives as long as its feed does.
	NoAck bool

	subject string // graphPrefix + "*" when empty
}

const jetStreamWait = 2 * time.Second

func (c *Conn) jetStream() (nats.JetStreamContext, error) {
	js, err := c.nc.JetStream(nats.MaxWait(jetStreamWait))
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return js, nil
}

func (o *StreamOptions) config() *nats.StreamConfig {
	if o.Name == "" {
		o.Name = "weft_graph"
	}
	return &nats.StreamConfig{
		Name:       o.Name,
		Subjects:   []string{cmp.Or(o.subject, graphPrefix+"*")},
		Storage:    storage(o.File),
		Retention:  nats.LimitsPolicy,
		Discard:    nats.DiscardOld,
		MaxBytes:   positive(o.MaxBytes, 1<<30),
		MaxAge:     positive(o.MaxAge, 24*time.Hour),
		Replicas:   max(o.Replicas, 1),
		NoAck:      o.NoAck,
		Duplicates: time.Second, // the graph's own numbers tell duplicates
	}
}

// ensure makes the stream what the options say.
func (o *StreamOptions) ensure(js nats.JetStreamContext) error {
	want := o.config()
	info, err := js.StreamInfo(want.Name)
	switch {
	case errors.Is(err, nats.ErrStreamNotFound):
		if _, err := js.AddStream(want); err != nil {
			return fmt.Errorf("stream %s: %w", want.Name, err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("stream %s: %w", want.Name, err)
	}
	have := info.Config
	if have.MaxBytes == want.MaxBytes && have.MaxAge == want.MaxAge &&
		have.Replicas == want.Replicas && have.NoAck == want.NoAck {
		return nil
	}
	want.Storage = have.Storage // cannot be changed
	if _, err := js.UpdateStream(want); err != nil {
		return fmt.Errorf("stream %s: %w", want.Name, err)
	}
	return nil
}

// Replay hands over what the stream still holds of one member after a sequence, in order.
func (c *Conn) Replay(o StreamOptions, member string, after uint64, handle func(Delivery)) error {
	js, err := c.jetStream()
	if err != nil {
		return err
	}
	name := o.config().Name
	info, err := js.StreamInfo(name)
	if errors.Is(err, nats.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	last := info.State.LastSeq
	if after >= last {
		return nil
	}
	sub, err := js.SubscribeSync(GraphSubject(member), nats.OrderedConsumer(), nats.StartSequence(after+1), nats.BindStream(name))
	if err != nil {
		return fmt.Errorf("replay of stream %s: %w", name, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the server forgets the consumer by itself
	consumer, err := sub.ConsumerInfo()
	if err != nil {
		return fmt.Errorf("replay of stream %s: %w", name, err)
	}
	senders := map[uint64]*assembler{}
	for left := consumer.NumPending + consumer.Delivered.Consumer; left > 0; left-- {
		m, err := sub.NextMsg(jetStreamWait)
		if err != nil {
			return fmt.Errorf("replay of stream %s: %w", name, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("replay of stream %s: %w", name, err)
		}
		if meta.Sequence.Stream > last {
			break
		}
		fr, err := parseFrame(m.Data)
		if err != nil {
			continue
		}
		a := senders[fr.instance]
		if a == nil {
			a = &assembler{}
			senders[fr.instance] = a
		}
		if batch, _ := a.add(fr); batch != nil {
			handle(Delivery{
				Token: strings.TrimPrefix(m.Subject, graphPrefix), Data: batch,
				At: meta.Timestamp, StreamSeq: meta.Sequence.Stream,
			})
		}
	}
	return nil
}

func storage(file bool) nats.StorageType {
	if file {
		return nats.FileStorage
	}
	return nats.MemoryStorage
}

func positive[T int64 | time.Duration](is, otherwise T) T {
	if is > 0 {
		return is
	}
	return otherwise
}
