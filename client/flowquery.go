package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/skydive"
)

// ErrNotFlows says that a query gave something other than flows.
var ErrNotFlows = errors.New("the query does not give flows")

// QueryFlows runs a query that gives flows, such as G.Flows(), and gives them one by one as they come: however many
// they are, one is held in memory. Each flow is the caller's. An error is the last thing that is given: that of the
// server, ErrNotFlows, or ErrTooLarge for a single flow of more than Config.MaxResponse bytes. Without a deadline of
// ctx each flow must come within Config.Timeout of the one before.
func (c *Client) QueryFlows(ctx context.Context, gremlin string) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		k, err := encode(call{method: http.MethodPost, path: skydive.PathTopology}, skydive.TopologyParams{GremlinQuery: gremlin})
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, wait, stop := c.patience(ctx)
		defer stop()
		res, err := c.send(ctx, k)
		if err != nil {
			yield(nil, err)
			return
		}
		defer closeBody(res)
		body := &allowance{r: res.Body, each: c.cfg.MaxResponse, left: c.cfg.MaxResponse}
		dec := jsontext.NewDecoder(body)
		for {
			f, err := nextFlow(dec)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				if body.err != nil {
					err = cause(ctx, body.err)
				}
				yield(nil, fmt.Errorf("result of %s: %w", trimQuery(gremlin), err))
				return
			}
			wait.pause()
			if !yield(f, nil) {
				return
			}
			wait.again()
			body.left = body.each
		}
	}
}

// nextFlow reads a flow of a list; io.EOF behind the last one, and where there is no list at all.
func nextFlow(dec *jsontext.Decoder) (*flow.Flow, error) {
	if dec.StackDepth() == 0 {
		switch kind := dec.PeekKind(); kind {
		case '[':
			if _, err := dec.ReadToken(); err != nil {
				return nil, err
			}
		case 'n':
			return nil, io.EOF
		case 0:
			_, err := dec.ReadToken() // says what PeekKind met
			return nil, err
		default:
			return nil, ErrNotFlows
		}
	}
	switch dec.PeekKind() {
	case ']':
		return nil, io.EOF
	case '"', '0', '[', 't', 'f', 'n':
		return nil, ErrNotFlows
	}
	value, err := dec.ReadValue()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // within the list
	}
	if err != nil {
		return nil, err
	}
	f := new(flow.Flow)
	return f, f.UnmarshalJSON(value)
}

// patience ends a context when what is waited for takes too long; the time of whoever consumes it does not count.
type patience struct {
	clock *time.Timer // nil: the context has a deadline of its own
	limit time.Duration
}

func (c *Client) patience(ctx context.Context) (context.Context, patience, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := patience{limit: c.cfg.Timeout}
	if _, ok := ctx.Deadline(); !ok && c.cfg.Timeout >= 0 {
		p.clock = time.AfterFunc(p.limit, func() { cancel(fmt.Errorf("no answer within %v", p.limit)) })
	}
	return ctx, p, func() {
		p.pause()
		cancel(nil)
	}
}

func (p patience) pause() {
	if p.clock != nil {
		p.clock.Stop()
	}
}

func (p patience) again() {
	if p.clock != nil {
		p.clock.Reset(p.limit)
	}
}

// allowance is a reader of so many bytes.
type allowance struct {
	r          io.Reader
	each, left int64
	err        error // of the last Read, unless it was the end
}

func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		a.err = fmt.Errorf("%w: a flow of more than %d bytes; narrow the query or raise MaxResponse", ErrTooLarge, a.each)
		return 0, a.err
	}
	n, err := a.r.Read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		a.err = err
	}
	return n, err
}
