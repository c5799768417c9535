package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/skydive"
)

// liveFlows is how many flows live on the agent that is asked, at least: the sender draws of 524,288.
const liveFlows = 500_000

// A wired is a whole weft, agent and analyzer, that captures at one end of a veth.
type wired struct {
	*server
	wire *veth
}

func newWired(ctx context.Context, b *bench) (*wired, error) {
	wire, err := newVeth(ctx)
	if err != nil {
		return nil, err
	}
	var args []string
	if b.profile != "" {
		args = []string{"--cpuprofile", b.profile}
	}
	s, err := b.start(ctx, "allinone", args...)
	if err != nil {
		wire.remove()
		return nil, err
	}
	w := &wired{s, wire}
	if err := w.capture(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *wired) close() {
	w.stop()
	w.wire.remove()
}

// capture starts to count at the receiving end, and waits until it does.
func (w *wired) capture(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	node := "G.V().Has('Name','" + receiverLink + "')"
	body, err := json.Marshal(map[string]any{"GremlinQuery": node})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.address+skydive.PathCapture, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", skydive.ContentJSON)
	response, err := w.http.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("capture: %s", response.Status)
	}
	for {
		n, err := w.count(ctx, node+".Has('Captures.State','active').Count()")
		if err != nil {
			return err
		}
		if n == 1 {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("the capture does not become active: %w", err)
		}
	}
}

// flood sends until about so many flows live: of the next power of two, n draws leave a share of exp(-n/size) out.
func (w *wired) flood(ctx context.Context, flows, rate int) (all sent, err error) {
	for all.Packets < 4*flows {
		s, err := w.wire.send(ctx, sending{rate: rate, millis: max(100, (4*flows-all.Packets)*1000/rate), flows: flows})
		if err != nil {
			return all, err
		}
		all.Packets += s.Packets
		all.Took += s.Took
	}
	return all, nil
}

// live is how many flows the agent's tables hold.
func (w *wired) live(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.address+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := w.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	match := regexp.MustCompile(`(?m)^weft_capture_flows_live\{.*\} (\S+)$`).FindSubmatch(text)
	if match == nil {
		return 0, errors.New("no weft_capture_flows_live in /metrics")
	}
	n, err := strconv.ParseFloat(string(match[1]), 64)
	return int(n), err
}

// quiet waits until the server has no more to do with what was sent.
func (w *wired) quiet(ctx context.Context) error {
	before, err := w.cpu()
	for err == nil {
		if err = pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		var now time.Duration
		if now, err = w.cpu(); now-before < 50*time.Millisecond {
			return err
		}
		before = now
	}
	return err
}

// flowQuery asks the analyzer for live flows, which asks the agent over the bus.
func flowQuery(ctx context.Context, b *bench) ([]figure, error) {
	w, err := newWired(ctx, b)
	if err != nil {
		return nil, err
	}
	defer w.close()
	live := 0
	for live < b.scale(liveFlows) { // again, where the ring had no room
		if _, err := w.flood(ctx, b.scale(liveFlows), 400_000); err != nil {
			return nil, err
		}
		if err := w.quiet(ctx); err != nil {
			return nil, err
		}
		if live, err = w.live(ctx); err != nil {
			return nil, err
		}
	}
	ask := func(address string, want int) func(int) error {
		return func(int) error {
			answer, err := w.query(ctx, "G.Flows().Has('Network','"+address+"').Limit(10)", "")
			if err != nil {
				return err
			}
			if found := bytes.Count(answer, []byte(`"TrackingID":`)); found != want {
				return fmt.Errorf("%d flows of %s, want %d: %.200s", found, address, want, answer)
			}
			return nil
		}
	}
	if _, _, err := distribution(5, ask("10.0.0.1", 10)); err != nil {
		return nil, err
	}
	median, p95, err := distribution(200, ask("10.0.0.1", 10))
	if err != nil {
		return nil, err
	}
	all, all95, err := distribution(50, ask("192.0.2.1", 0))
	if err != nil {
		return nil, err
	}
	reduced := func(query string) (time.Duration, error) {
		median, _, err := distribution(20, func(int) error {
			n, err := w.count(ctx, query)
			if err == nil && n == 0 {
				err = fmt.Errorf("%s gives 0", query)
			}
			return err
		})
		return median, err
	}
	count, err := reduced("G.Flows().Count()")
	if err != nil {
		return nil, err
	}
	few, err := reduced("G.Flows().Has('Network','10.0.0.1').Count()")
	if err != nil {
		return nil, err
	}
	sum, err := reduced("G.Flows().Sum('Metric.ABBytes')")
	if err != nil {
		return nil, err
	}
	memory, err := w.memory()
	if err != nil {
		return nil, err
	}
	return []figure{
		judged(within(millis(median), 20), "%.2f ms", millis(median)),
		judged(within(millis(count), 100), "Count() %.2f ms", millis(count)),
		info("of an address %.2f ms, Sum('Metric.ABBytes') of all %.1f ms", millis(few), millis(sum)),
		info("%s live flows; 95 %% within %.2f ms; of an address in none of them, so that all are looked at, %.2f ms, 95 %% within %.2f ms; the process holds %.0f MB",
			grouped(live), millis(p95), millis(all), millis(all95), megabytes(memory)),
	}, nil
}

// flowSubscriber is a client that takes flows as they are reported: every flow of the capture once, as it is new.
func flowSubscriber(ctx context.Context, b *bench) ([]figure, error) {
	w, err := newWired(ctx, b)
	if err != nil {
		return nil, err
	}
	defer w.close()
	header := make(http.Header)
	header.Set(skydive.HeaderNamespace, skydive.NamespaceFlow)
	conn, err := dial(ctx, w.server, skydive.PathSubscriberFlow, "bench-flows", header)
	if err != nil {
		return nil, err
	}
	defer conn.CloseNow()
	reader := &flowReader{conn: conn, ended: make(chan struct{})}
	go reader.run(ctx)
	before, err := w.cpu()
	if err != nil {
		return nil, err
	}
	// It is over before the first flow is reported, a second after it began, and takes no core from them.
	s, err := w.flood(ctx, b.scale(liveFlows), 1_500_000)
	if err != nil {
		return nil, err
	}
	want := 0
	for last, changed := 0, time.Now(); ; {
		if want, err = w.live(ctx); err != nil {
			return nil, err
		}
		now := int(reader.flows.Load())
		if now >= want && want > 0 || time.Since(changed) > 10*time.Second {
			break // nothing came for a while: the rest is lost
		}
		if now > last {
			last, changed = now, time.Now()
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
	after, err := w.cpu()
	if err != nil {
		return nil, err
	}
	_ = conn.CloseNow() // ends the reader
	<-reader.ended
	flows := int(reader.flows.Load())
	rate := float64(flows) / reader.last.Sub(reader.first).Seconds()
	return []figure{
		judged(atLeast(rate, 100_000), "%.0f/s", rate),
		judged(within(float64(want-flows), 0), "%d lost", want-flows),
		info("%s flows in %.2f s, %s messages, %.0f MB of JSON; agent, analyzer and client share the cores; %s packets were sent in %.1f s before; the server used %.1f s of CPU%s",
			grouped(flows), reader.last.Sub(reader.first).Seconds(), grouped(reader.messages), megabytes(reader.bytes),
			grouped(s.Packets), s.Took.Seconds(), (after - before).Seconds(), reader.told()),
	}, nil
}

// flowReader reads the flow socket to its end.
type flowReader struct {
	conn        *websocket.Conn
	first, last time.Time
	flows       atomic.Int64
	messages    int
	bytes       int64
	others      map[string]int // messages of other types
	ended       chan struct{}
}

func (r *flowReader) run(ctx context.Context) {
	defer close(r.ended)
	flow, kind := []byte(`"TrackingID":`), []byte(`"`+skydive.MsgFlowStore+`"`)
	r.others = map[string]int{}
	for {
		_, data, err := r.conn.Read(ctx)
		if err != nil {
			return
		}
		if !bytes.Contains(data[:min(len(data), 300)], kind) {
			r.others[string(data[:min(len(data), 120)])]++
			continue
		}
		r.last = time.Now()
		if r.messages == 0 {
			r.first = r.last
		}
		r.messages++
		r.flows.Add(int64(bytes.Count(data, flow)))
		r.bytes += int64(len(data))
	}
}

// told is what the server said besides flows.
func (r *flowReader) told() string {
	var text strings.Builder
	for message, n := range r.others {
		fmt.Fprintf(&text, "; %d × %s", n, message)
	}
	return text.String()
}
