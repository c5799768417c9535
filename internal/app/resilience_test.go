package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/internal/bus/bustest"
	"github.com/weft-net/weft/internal/testenv"
)

// rightWithin is how soon after the return the graph must be right.
const rightWithin = 3 * time.Second

// TestKilledProcessesAndBrokenLinks kills agents and the analyzer with -9, and breaks the link
// between them, while the topology changes. After the return the analyzer's graph is the
// truth: no ghost, no duplicate, nothing lost.
func TestKilledProcessesAndBrokenLinks(t *testing.T) {
	rounds := 3
	if testenv.Soak() {
		rounds = 50
	}
	s := newStage(t)
	s.expectTruth("the start", time.Now(), 10*time.Second)
	took := map[string][]time.Duration{}
	for round := range rounds {
		for _, fault := range []struct {
			name         string
			begin, after func()
		}{
			{"agent killed", func() { s.agents[round%2].kill() }, func() { s.agents[round%2].start() }},
			{"analyzer killed", s.analyzer.kill, s.analyzer.start},
			{"link cut", s.link.cut, s.link.mend},
			{"link silent", s.link.hold, s.link.mend},
			{"both killed", func() { s.analyzer.kill(); s.agents[0].kill() }, func() { s.agents[0].start(); s.analyzer.start() }},
		} {
			stop := s.changeWorlds()
			pause(200 * time.Millisecond)
			fault.begin()
			pause(time.Duration(100+(round*317)%900) * time.Millisecond)
			returned := time.Now()
			fault.after()
			pause(500 * time.Millisecond)
			stop()
			took[fault.name] = append(took[fault.name], s.expectTruth(fmt.Sprintf("round %d, %s", round+1, fault.name), returned, rightWithin))
		}
	}
	t.Logf("%d rounds, elements at the end: %d; time from the return to the right graph (changes go on for its first 0.5 s):", rounds, len(s.truth()))
	for _, name := range slices.Sorted(maps.Keys(took)) {
		all := took[name]
		slices.Sort(all)
		t.Logf("  %-16s median %4d ms, max %4d ms", name, all[len(all)/2].Milliseconds(), all[len(all)-1].Milliseconds())
	}
}

// pause lets the world go on.
func pause(d time.Duration) { <-time.After(d) }

// stage is two agents with their worlds, a link, and an analyzer.
type stage struct {
	t        *testing.T
	api      string
	worlds   []*world
	agents   []*process
	analyzer *process
	link     *link
	created  thing // through REST: it must survive everything
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, api: bustest.FreeAddress(t)}
	busAddress := bustest.FreeAddress(t)
	s.link = newLink(t, busAddress)
	s.analyzer = newProcess(t, map[string]string{
		roleVariable: string(Analyzer), hostVariable: "hub", listenVariable: s.api, busVariable: busAddress, dirVariable: t.TempDir(),
	})
	s.analyzer.start()
	for i, host := range []string{"h1", "h2.example.org"} {
		w := newWorld(t, host, uint64(i+1))
		for range 200 {
			w.step()
		}
		s.worlds = append(s.worlds, w)
		p := newProcess(t, map[string]string{
			roleVariable: string(Agent), hostVariable: host, listenVariable: "127.0.0.1:0", dirVariable: "memory",
			busVariable: s.link.address(), kernelVariable: w.listener.Addr().String(),
		})
		p.start()
		s.agents = append(s.agents, p)
	}
	s.created = thing{ID: "made-by-hand", Metadata: map[string]any{"Name": "switch", "Type": "device"}}
	testenv.Eventually(t, 10*time.Second, func() string {
		body := `{"ID":"made-by-hand","Metadata":{"Name":"switch","Type":"device"}}`
		r, err := http.Post("http://"+s.api+"/api/node", "application/json", strings.NewReader(body))
		if err != nil {
			return err.Error()
		}
		defer r.Body.Close()
		if text, _ := io.ReadAll(r.Body); r.StatusCode/100 != 2 {
			return string(text)
		}
		return ""
	})
	return s
}

func (s *stage) changeWorlds() (stop func()) {
	var stops []func()
	for _, w := range s.worlds {
		stops = append(stops, w.change())
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

func (s *stage) truth() map[string]thing {
	all := map[string]thing{s.created.ID: s.created}
	for _, w := range s.worlds {
		maps.Copy(all, w.truth())
	}
	return all
}

// expectTruth waits until the analyzer's graph is the truth, element by element.
func (s *stage) expectTruth(what string, since time.Time, limit time.Duration) time.Duration {
	s.t.Helper()
	return s.expectRight(what, s.truth(), since, limit)
}

func (s *stage) expectRight(what string, truth map[string]thing, since time.Time, limit time.Duration) time.Duration {
	s.t.Helper()
	for {
		problem := s.compare(truth)
		if problem == "" {
			return time.Since(since)
		}
		if time.Since(since) > limit {
			s.t.Fatalf("%s: not right within %s: %s", what, limit, problem)
		}
		pause(5 * time.Millisecond)
	}
}

// compare says the first differences between the analyzer's graph and the truth.
func (s *stage) compare(truth map[string]thing) string {
	r, err := http.Get("http://" + s.api + "/api/topology")
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	var dump struct {
		Nodes, Edges []struct {
			thing
			Host string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&dump); err != nil {
		return err.Error()
	}
	var problems []string
	seen := map[string]bool{}
	for _, x := range append(dump.Nodes, dump.Edges...) {
		want, ok := truth[x.ID]
		switch {
		case seen[x.ID]:
			problems = append(problems, "duplicate "+x.ID)
		case !ok:
			problems = append(problems, "ghost "+x.ID)
		case x.Parent != want.Parent || x.Child != want.Child || !same(x.Metadata, want.Metadata):
			problems = append(problems, fmt.Sprintf("%s is %v, not %v", x.ID, x.thing, want))
		}
		seen[x.ID] = true
	}
	for id := range truth {
		if !seen[id] {
			problems = append(problems, "lost "+id)
		}
	}
	if len(problems) == 0 {
		return ""
	}
	return fmt.Sprintf("%d differences of %d: %s", len(problems), len(truth), strings.Join(problems[:min(len(problems), 5)], "; "))
}

// same compares what came over JSON with what did not.
func same(a, b map[string]any) bool {
	text, err := json.Marshal(b)
	if err != nil {
		return false
	}
	var again map[string]any
	return json.Unmarshal(text, &again) == nil && reflect.DeepEqual(a, again)
}

// process is this test binary in another role.
type process struct {
	t   *testing.T
	env []string
	cmd *exec.Cmd
	log bytes.Buffer
}

func newProcess(t *testing.T, env map[string]string) *process {
	p := &process{t: t, env: os.Environ()}
	for k, v := range env {
		p.env = append(p.env, k+"="+v)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text := p.log.String()
			t.Logf("%s at %s:\n%s", env[roleVariable], env[hostVariable], text[max(0, len(text)-4000):])
		}
	})
	return p
}

func (p *process) start() {
	p.cmd = exec.Command(os.Args[0]) //nolint:gosec // this test
	p.cmd.Env, p.cmd.Stderr = p.env, &p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill is kill -9.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()         // killed
	p.cmd = nil
}

// link is a TCP relay that breaks when told to.
type link struct {
	listener net.Listener
	to       string
	done     sync.WaitGroup

	mu     sync.Mutex
	broken bool
	held   chan struct{} // not nil while bytes are held back; closed when they flow again
	conns  map[net.Conn]bool
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{listener: l, to: to, conns: map[net.Conn]bool{}}
	k.done.Go(k.serve)
	t.Cleanup(func() { l.Close(); k.mend(); k.cut(); k.done.Wait() })
	return k
}

func (k *link) address() string { return k.listener.Addr().String() }

func (k *link) serve() {
	for {
		near, err := k.listener.Accept()
		if err != nil {
			return
		}
		k.done.Go(func() { k.relay(near) })
	}
}

func (k *link) relay(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", k.to)
	if err != nil {
		return
	}
	defer far.Close()
	k.mu.Lock()
	if k.broken {
		k.mu.Unlock()
		return
	}
	k.conns[near], k.conns[far] = true, true
	k.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { k.copy(far, near) })
	both.Go(func() { k.copy(near, far) })
	both.Wait()
	k.mu.Lock()
	delete(k.conns, near)
	delete(k.conns, far)
	k.mu.Unlock()
}

func (k *link) copy(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		k.mu.Lock()
		held := k.held
		k.mu.Unlock()
		if held != nil {
			<-held
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut resets every connection and refuses new ones.
func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.broken = true
	for c := range k.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, as a router that lost its state sends
		}
		c.Close()
	}
}

// hold lets nothing through, without a word.
func (k *link) hold() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = make(chan struct{})
}

// mend makes the link whole.
func (k *link) mend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.broken = false
	if k.held != nil {
		close(k.held)
		k.held = nil
	}
}
