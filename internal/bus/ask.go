package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A request with an answer in parts. The one who is asked sends messages to the reply of the request, each with a
// kind, the part's number and content, and with a reply of its own, to which the asker answers "go on" for each part
// taken, or "stop". At most partsAhead parts are under way, so neither end holds more than it has room for. A part that
// is too long for one message comes in several, each with a number of its own.
const (
	partsAhead = 8
	mostParts  = 1 << 16 // of one answer
	partWait   = 15 * time.Second
	pieceBytes = 256 << 10 // of a part in one message, if the bus takes as much
	wholeBytes = 64 << 20  // of a part in all its messages

	partHead = 1 + binary.MaxVarintLen64

	kindPart = 'p' // content
	kindMore = 'm' // content that goes on in the next message
	kindEnd  = 'e' // the last one
	kindFail = 'x' // the last one: why there is no more

	goOn    = "+"
	stopAsk = "-"
)

// ErrSilent says that a member did not answer in time, or is not there.
var ErrSilent = errors.New("no answer")

// errStopped is what say returns when nobody wants more.
var errStopped = errors.New("the asker wants no more")

// RemoteError is what the member that was asked said went wrong.
type RemoteError struct{ Text string }

// Error tells what the member said.
func (e *RemoteError) Error() string { return e.Text }

// Ask sends a request to a member and gives the parts of its answer, in order and whole: the sequence ends with an
// error unless the last part came. The context bounds it all; ErrSilent stands for a deadline that passed.
func (c *Conn) Ask(ctx context.Context, member, verb string, data []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		inbox := c.nc.NewInbox()
		sub, err := c.nc.SubscribeSync(inbox)
		if err != nil {
			yield(nil, fmt.Errorf("request %s to %s: %w", verb, member, err))
			return
		}
		defer func() { _ = sub.Unsubscribe() }() // fails only with its connection
		if err := c.publish(RequestSubject(member, verb), inbox, data); err != nil {
			yield(nil, fmt.Errorf("request %s to %s: %w", verb, member, err))
			return
		}
		var begun []byte // of a part that goes on
		for next := uint64(0); ; next++ {
			m, err := sub.NextMsgWithContext(ctx)
			switch {
			case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrTimeout):
				err = ErrSilent
			case err == nil && m.Header.Get("Status") == "503":
				err = ErrSilent
			}
			var kind byte
			var content []byte
			if err == nil {
				kind, content, err = parsePart(m.Data, next)
			}
			if len(begun)+len(content) > wholeBytes {
				err = errors.New("part of the answer longer than 64 MiB")
			}
			if err != nil {
				yield(nil, fmt.Errorf("request %s to %s: %w", verb, member, err))
				return
			}
			switch kind {
			case kindEnd:
				return
			case kindFail:
				yield(nil, &RemoteError{Text: string(content)})
				return
			}
			more := true
			switch {
			case kind == kindMore:
				begun = append(begun, content...)
			case begun != nil:
				content, begun = append(begun, content...), nil
				more = yield(content, nil)
			default:
				more = yield(content, nil)
			}
			if strings.HasPrefix(m.Reply, inboxOf(member)+".") {
				word := goOn
				if !more {
					word = stopAsk
				}
				_ = c.publish(m.Reply, "", []byte(word)) // the other end gives up by itself
			}
			if !more {
				return
			}
		}
	}
}

func appendPart(dst []byte, kind byte, number uint64, content []byte) []byte {
	dst = append(dst, kind)
	dst = binary.AppendUvarint(dst, number)
	return append(dst, content...)
}

func parsePart(data []byte, want uint64) (kind byte, content []byte, err error) {
	if len(data) < 2 {
		return 0, nil, errors.New("answer not readable: are the versions of agent and analyzer the same?")
	}
	number, n := binary.Uvarint(data[1:])
	if n <= 0 {
		return 0, nil, errors.New("answer not readable: are the versions of agent and analyzer the same?")
	}
	if number != want {
		return 0, nil, errors.New("part of the answer lost")
	}
	return data[0], data[1+n:], nil
}

// Answer answers a request: it calls say for each part, and returns when there is no more, or with say's error.
type Answer func(ctx context.Context, data []byte, say func(part []byte) error) error

// OnAsk has f answer requests of the verb to this member, each on a goroutine of its own; when most are being
// answered, others are refused. What it returns ends that: it cancels the contexts of f and waits.
func (c *Conn) OnAsk(verb string, most int, f Answer) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	busy := make(chan struct{}, most)
	sub, err := c.subscribe(RequestSubject(c.opts.Member, verb), func(m *nats.Msg) {
		if m.Reply == "" {
			c.counters.BadRequests.Add(1)
			return
		}
		select {
		case busy <- struct{}{}:
		default:
			_ = c.publish(m.Reply, "", appendPart(nil, kindFail, 0, []byte("too many requests at once: try again")))
			return
		}
		running.Go(func() {
			defer func() { <-busy }()
			c.answer(ctx, m, f)
		})
	})
	if err != nil {
		cancel()
		return nil, err
	}
	return func() {
		sub.Close()
		cancel()
		running.Wait()
	}, nil
}

func (c *Conn) answer(ctx context.Context, m *nats.Msg, f Answer) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var number uint64
	var buf []byte
	var credit *nats.Subscription
	inbox := ""
	ahead := 0
	send := func(kind byte, piece []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if credit == nil {
			inbox = c.nc.NewInbox()
			var err error
			if credit, err = c.nc.SubscribeSync(inbox); err != nil {
				return fmt.Errorf("answer: %w", err)
			}
		}
		for ahead >= partsAhead {
			waiting, done := context.WithTimeout(ctx, partWait)
			word, err := credit.NextMsgWithContext(waiting)
			done()
			if err != nil {
				return fmt.Errorf("answer not taken: %w", err)
			}
			if string(word.Data) == stopAsk {
				cancel()
				return errStopped
			}
			ahead--
		}
		buf = appendPart(buf[:0], kind, number, piece)
		if err := c.publish(m.Reply, inbox, buf); err != nil {
			return err
		}
		number++
		ahead++
		return nil
	}
	say := func(part []byte) error {
		most := pieceBytes
		if room := c.most() - partHead; room > 0 {
			most = min(most, room)
		}
		for ; len(part) > most; part = part[most:] {
			if err := send(kindMore, part[:most]); err != nil {
				return err
			}
		}
		return send(kindPart, part)
	}
	err := f(ctx, m.Data, say)
	if credit != nil {
		_ = credit.Unsubscribe() // fails only with its connection
	}
	kind, text := byte(kindEnd), []byte(nil)
	if err != nil {
		kind, text = kindFail, []byte(err.Error())
	}
	_ = c.publish(m.Reply, "", appendPart(buf[:0], kind, number, text)) // who asked has a deadline
}
