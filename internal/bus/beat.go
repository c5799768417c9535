package bus

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
)

// Position is how far an origin has got.
type Position struct {
	Origin string
	Epoch  uint64
	Seq    uint64
}

// Beat is a heartbeat: who is there, and what each of its origins said last. It is how
// an analyzer notices that the last batch before a silence was lost.
type Beat struct {
	Member   string
	Instance string // of the process
	Started  int64  // ms
	Version  string
	Origins  []Position
	Probes   map[string]string `json:",omitempty"` // state of each probe of an agent
	Orders   uint64            `json:",omitempty"` // hash of the capture orders that an agent follows; 0: it never got any
	// A long list of origins comes in pages, one after the other.
	Page  int `json:",omitempty"` // from 0
	Pages int `json:",omitempty"` // 0: there is one
}

// Resync asks a member to say the whole state of origins of its again.
type Resync struct {
	Kind    string     // "resync": other payloads on the subject are refused
	From    string     // the member that asks
	Origins []Position // what the asker knows of each; empty: all origins
}

const (
	resyncKind = "resync"
	// pageBytes bounds the names of origins on a page: JSON makes six bytes of one at worst,
	// and a message has a MiB.
	pageBytes  = 96 << 10
	otherBytes = 64 // of a Position
)

// Beat publishes a heartbeat of this member.
func (c *Conn) Beat(b Beat) error {
	b.Member = c.opts.Member
	pages := paged(b.Origins)
	for i, page := range pages {
		b.Origins = page
		if len(pages) > 1 {
			b.Page, b.Pages = i, len(pages)
		}
		data, err := json.Marshal(b)
		if err != nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
		if err := c.publish(BeatSubject(c.opts.Member), "", data); err != nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
	}
	return nil
}

// paged parts a list so that each part fits a message. There is always one.
func paged(list []Position) (pages [][]Position) {
	start, size := 0, 0
	for i, o := range list {
		n := len(o.Origin) + otherBytes
		if size > 0 && size+n > pageBytes {
			pages = append(pages, list[start:i])
			start, size = i, 0
		}
		size += n
	}
	return append(pages, list[start:])
}

// OnBeat has f called for each heartbeat of any member, by one goroutine.
func (c *Conn) OnBeat(f func(Beat)) (*Subscription, error) {
	return c.subscribe(beatPrefix+"*", func(m *nats.Msg) {
		b, err := parseBeat(strings.TrimPrefix(m.Subject, beatPrefix), m.Data)
		if err != nil {
			c.counters.BadRequests.Add(1)
			return
		}
		f(b)
	})
}

// parseBeat refuses a heartbeat that is not of the member whose subject it came on, or
// that speaks for origins of others.
func parseBeat(token string, data []byte) (Beat, error) {
	var b Beat
	if err := json.Unmarshal(data, &b); err != nil {
		return Beat{}, fmt.Errorf("heartbeat: %w", err)
	}
	if b.Member == "" || Token(b.Member) != token {
		return Beat{}, errors.New("heartbeat of another member")
	}
	for _, o := range b.Origins {
		if MemberOf(o.Origin) != b.Member {
			return Beat{}, errors.New("heartbeat with an origin of another member")
		}
	}
	return b, nil
}

// RequestResync asks the member for the whole state of the origins.
func (c *Conn) RequestResync(member string, origins []Position) error {
	data, err := json.Marshal(Resync{Kind: resyncKind, From: c.opts.Member, Origins: origins})
	if err != nil {
		return fmt.Errorf("resync request: %w", err)
	}
	return c.publish(RequestSubject(member, resyncKind), "", data)
}

// OnResync has f called for each request to this member, by one goroutine.
func (c *Conn) OnResync(f func(Resync)) (*Subscription, error) {
	return c.subscribe(RequestSubject(c.opts.Member, resyncKind), func(m *nats.Msg) {
		r, err := parseResync(m.Data)
		if err != nil {
			c.counters.BadRequests.Add(1)
			return
		}
		f(r)
	})
}

func parseResync(data []byte) (Resync, error) {
	var r Resync
	if err := json.Unmarshal(data, &r); err != nil {
		return Resync{}, fmt.Errorf("resync request: %w", err)
	}
	// The stream answers to any subject that a sender names as its reply: this is how
	// such an answer is told from a request.
	if r.Kind != resyncKind || !IsAnalyzer(r.From) {
		return Resync{}, errors.New("not a resync request of an analyzer")
	}
	return r, nil
}

// Subscription is something that this process listens to.
type Subscription struct{ sub *nats.Subscription }

// Close ends the subscription.
func (s *Subscription) Close() { _ = s.sub.Unsubscribe() } // fails only with its connection

func (c *Conn) subscribe(subject string, f nats.MsgHandler) (*Subscription, error) {
	sub, err := c.nc.Subscribe(subject, f)
	if err != nil {
		return nil, fmt.Errorf("subscription to %s: %w", subject, err)
	}
	if err := sub.SetPendingLimits(4096, 16<<20); err != nil {
		return nil, fmt.Errorf("subscription to %s: %w", subject, err)
	}
	return &Subscription{sub}, nil
}
