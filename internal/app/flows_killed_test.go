package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/bus/bustest"
	"github.com/weft-net/weft/internal/testenv"
	"github.com/weft-net/weft/skydive"
)

// TestLedgerIsExactOverKilledProcesses kills the agent and the analyzer with -9 while packets pass, and asks at the end
// where each packet is that the interface counted: in a flow, or lost while no agent ran.
func TestLedgerIsExactOverKilledProcesses(t *testing.T) {
	w := newWire(t)
	name := fmt.Sprint("weft", os.Getpid()) // the agent sees all namespaces of this host, those of other tests too
	s := newCaptureStage(t, name)
	w.joinQuietly(name)
	s.awaitActive()
	before := w.passed(name) // nothing moves: the ledger begins here

	traffic := w.traffic()
	outage := func() { pause(300 * time.Millisecond) }
	s.awaitReported(2) // one flow over UDP, one over TCP
	s.agent.kill()
	outage()
	s.agent.start()
	s.awaitReported(4) // those of a new agent are new ones
	s.analyzer.kill()
	outage()
	s.analyzer.start()
	s.awaitReported(4)
	s.analyzer.kill()
	pause(1700 * time.Millisecond) // the agent reports every second: reports wait that nobody took
	s.agent.kill()
	outage()
	s.analyzer.start()
	s.agent.start()
	s.awaitReported(6)
	sent, echoed := traffic()

	var ledger skydive.CaptureLedger
	var past, live int
	testenv.Eventually(t, 10*time.Second, func() string {
		passed := w.passed(name) - before
		var err error
		if ledger, err = s.ledger(); err != nil {
			return err.Error()
		}
		down := ledger.Drops[flow.CauseDown.String()]
		switch {
		case int64(ledger.Received) != passed:
			return fmt.Sprintf("the interface counted %d packets since the capture began: ledger %+v", passed, ledger)
		case down == 0 || len(ledger.Drops) != 1 || ledger.Received != ledger.Counted+down:
			return fmt.Sprintf("not all in flows, or lost while no agent ran: ledger %+v", ledger)
		}
		var packets int64
		if packets, past, live, err = s.packetsOfFlows(); err != nil {
			return err.Error()
		}
		if packets != int64(ledger.Counted) || live != 2 {
			return fmt.Sprintf("%d packets in %d flows of the past and %d live ones: ledger %+v", packets, past, live, ledger)
		}
		return ""
	})
	if int64(ledger.Received) < sent+2*echoed {
		t.Errorf("%d datagrams and %d echoes were sent: ledger %+v", sent, echoed, ledger)
	}
	t.Logf("%d datagrams and %d echoes sent; ledger %+v; %d flows of the past, %d live", sent, echoed, ledger, past, live)
}

// captureStage is an agent that sees this host, an analyzer, and a capture whose interface is not there yet.
type captureStage struct {
	t               *testing.T
	api, id         string
	agent, analyzer *process
}

func newCaptureStage(t *testing.T, name string) *captureStage {
	return newCaptureStageIn(t, name, t.TempDir())
}

// newCaptureStageIn says where the agent keeps its data.
func newCaptureStageIn(t *testing.T, name, dir string) *captureStage {
	s := startStage(t, dir)
	s.id = s.create(name, "")
	return s
}

// startStage starts the processes; nothing is captured yet.
func startStage(t *testing.T, dir string) *captureStage {
	s := &captureStage{t: t, api: bustest.FreeAddress(t)}
	busAddress := bustest.FreeAddress(t)
	s.analyzer = newProcess(t, map[string]string{
		roleVariable: string(Analyzer), hostVariable: "hub", listenVariable: s.api, busVariable: busAddress, dirVariable: t.TempDir(),
	})
	s.agent = newProcess(t, map[string]string{
		roleVariable: string(Agent), hostVariable: "h1", listenVariable: "127.0.0.1:0", busVariable: busAddress, dirVariable: dir,
	})
	s.analyzer.start()
	s.agent.start()
	return s
}

// create makes a capture on what has the name.
func (s *captureStage) create(name, bpf string) string {
	s.t.Helper()
	var made skydive.Capture
	testenv.Eventually(s.t, 10*time.Second, func() string {
		what := map[string]any{"GremlinQuery": "G.V().Has('Name','" + name + "')", "BPFFilter": bpf}
		if err := s.call(http.MethodPost, "/api/capture", what, &made); err != nil {
			return err.Error()
		}
		return ""
	})
	return made.UUID
}

func (s *captureStage) call(method, path string, body, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.api+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %d %s", method, path, answer.StatusCode, got)
	}
	return json.Unmarshal(got, into)
}

// ledger is the capture's, as the analyzer shows it.
func (s *captureStage) ledger() (l skydive.CaptureLedger, err error) {
	var c skydive.CaptureState
	if err = s.call(http.MethodGet, "/api/capture/"+s.id, nil, &c); err == nil && c.Ledger != nil {
		l = *c.Ledger
	}
	return l, err
}

func (s *captureStage) awaitActive() {
	s.t.Helper()
	testenv.Eventually(s.t, 10*time.Second, func() string {
		var c skydive.CaptureState
		if err := s.call(http.MethodGet, "/api/capture/"+s.id, nil, &c); err != nil {
			return err.Error()
		}
		if c.Count != 1 {
			return fmt.Sprintf("%s is active on %d nodes: %+v", s.id, c.Count, c.Nodes)
		}
		return ""
	})
}

// awaitReported waits until the analyzer has reports of so many flows of the traffic.
func (s *captureStage) awaitReported(flows int) {
	s.t.Helper()
	testenv.Eventually(s.t, 10*time.Second, func() string {
		_, past, _, err := s.packetsOfFlows()
		if err != nil {
			return err.Error()
		}
		if past < flows {
			return fmt.Sprintf("%d flows are reported, not %d", past, flows)
		}
		return ""
	})
}

// packetsOfFlows adds up the packets of all flows: each as its newest report has it, or as it is now. The flows of the
// traffic are also counted; ARP is none of it.
func (s *captureStage) packetsOfFlows() (sum int64, past, live int, err error) {
	packets := map[string]int64{}
	for query, count := range map[string]*int{"G.At(NOW, FOREVER).Flows()": &past, "G.Flows()": &live} {
		var flows []*flow.Flow
		if err := s.call(http.MethodPost, "/api/topology", map[string]string{"GremlinQuery": query}, &flows); err != nil {
			return 0, 0, 0, err
		}
		for _, f := range flows {
			if f.CaptureID != s.id {
				continue
			}
			if f.Transport != nil {
				*count++
			}
			packets[f.UUID] = max(packets[f.UUID], f.Metric.ABPackets+f.Metric.BAPackets)
		}
	}
	for _, n := range packets {
		sum += n
	}
	return sum, past, live, nil
}

// joinQuietly makes the pair so that nothing passes before somebody sends.
func (w *wire) joinQuietly(name string) {
	w.t.Helper()
	w.near.IP("link", "add", name, "type", "veth", "peer", "name", "far0", "netns", w.far.Path)
	w.near.IP("addr", "add", w.nearA+"/24", "dev", name)
	w.far.IP("addr", "add", w.farA+"/24", "dev", "far0")
	w.far.IP("link", "set", "far0", "addrgenmode", "none", "up")
	w.near.IP("link", "set", name, "addrgenmode", "none", "up")
}

// passed is how many packets the interface says that it received and sent.
func (w *wire) passed(name string) int64 {
	w.t.Helper()
	var links []struct {
		Stats struct {
			RX, TX struct{ Packets int64 }
		} `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(w.near.IP("-s", "-j", "link", "show", "dev", name)), &links); err != nil || len(links) != 1 {
		w.t.Fatalf("counters of %s: %v, %d links", name, err, len(links))
	}
	return links[0].Stats.RX.Packets + links[0].Stats.TX.Packets
}

// traffic sends 1000 datagrams and 100 echoed lines a second until stopped, and then says how many. The connection stays
// open until the test ends.
func (w *wire) traffic() (stop func() (sent, echoed int64)) {
	w.t.Helper()
	var listener net.Listener
	var sink net.PacketConn
	w.far.Do(func() (err error) {
		if sink, err = net.ListenPacket("udp", w.farA+":7000"); err != nil {
			return err
		}
		listener, err = net.Listen("tcp", w.farA+":8000")
		return err
	})
	var datagrams, stream net.Conn
	w.near.Do(func() (err error) {
		if datagrams, err = net.Dial("udp", w.farA+":7000"); err != nil {
			return err
		}
		stream, err = net.DialTimeout("tcp", w.farA+":8000", 5*time.Second)
		return err
	})
	over := make(chan struct{})
	var running, echoing sync.WaitGroup
	echoing.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(conn, conn) // until the near end closes
		conn.Close()
	})
	every := func(d time.Duration, f func() error) (n int64) {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return n
			case <-tick.C:
				if err := f(); err != nil {
					w.t.Error(err)
					return n
				}
				n++
			}
		}
	}
	var sent, echoed int64
	running.Go(func() {
		sent = every(time.Millisecond, func() error {
			_, err := datagrams.Write([]byte("hello"))
			return err
		})
	})
	running.Go(func() {
		answer := make([]byte, 6)
		echoed = every(10*time.Millisecond, func() error {
			if _, err := stream.Write([]byte("hello\n")); err != nil {
				return err
			}
			_, err := io.ReadFull(stream, answer)
			return err
		})
	})
	finish := sync.OnceFunc(func() {
		close(over)
		running.Wait()
	})
	w.t.Cleanup(func() {
		finish()
		for _, c := range []io.Closer{stream, datagrams, sink, listener} {
			c.Close()
		}
		echoing.Wait()
	})
	return func() (int64, int64) { finish(); return sent, echoed }
}
