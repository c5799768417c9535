package app

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture/spool"
	"github.com/weft-net/weft/internal/testenv"
	"github.com/weft-net/weft/skydive"
)

// TestLongPacketsReachTheAnalyzer downloads 5 MB over a veth pair with segmentation offload, whose packets have up to 64 KiB, and
// keeps 100 of them: more than a message of NATS takes. Before that, the agent's spool has a batch of an older version that is as long.
func TestLongPacketsReachTheAnalyzer(t *testing.T) {
	w := newWire(t)
	name := fmt.Sprint("weft", os.Getpid())
	w.joinQuietly(name)
	agentDir := t.TempDir()
	leaveOversized(t, filepath.Join(agentDir, "captures", "spool"))
	s := startStage(t, agentDir)

	// What the older agent left.
	var old []flow.Flow
	testenv.Eventually(t, 10*time.Second, func() string {
		if err := s.flows("G.At(NOW, FOREVER).Flows().Has('UUID','00000000000000aa')", &old); err != nil || len(old) != 1 {
			return fmt.Sprint("the flow that was left did not arrive: ", err)
		}
		return ""
	})
	testenv.Eventually(t, 10*time.Second, func() string { // its packets come in several messages
		if n, _ := s.packets("G.At(NOW, FOREVER).Flows().Has('UUID','00000000000000aa').RawPackets()"); n != 40 {
			return fmt.Sprintf("%d of 40 packets of the flow that was left arrived", n)
		}
		return ""
	})

	var made skydive.Capture
	testenv.Eventually(t, 10*time.Second, func() string {
		what := map[string]any{"GremlinQuery": "G.V().Has('Name','" + name + "')", "RawPacketLimit": 100}
		if err := s.call(http.MethodPost, "/api/capture", what, &made); err != nil {
			return err.Error()
		}
		return ""
	})
	s.id = made.UUID
	s.awaitActive()
	w.download(5 << 20)

	for _, when := range []string{"G", "G.At(NOW, FOREVER)"} {
		query := when + ".Flows().Has('CaptureID','" + s.id + "','Transport',8000)"
		testenv.Eventually(t, 10*time.Second, func() string {
			var flows []flow.Flow
			if err := s.flows(query, &flows); err != nil || len(flows) != 1 {
				return fmt.Sprintf("%s: %d flows, %v", query, len(flows), err)
			}
			f := &flows[0]
			n, size := s.packets(query + ".RawPackets()")
			if f.Metric.BABytes < 5<<20 || f.RawPacketsCaptured != 100 || n != 100 || size < 1<<20 {
				return fmt.Sprintf("%s: metric %+v, %d packets kept, %d of %d bytes given", query, f.Metric, f.RawPacketsCaptured, n, size)
			}
			return ""
		})
	}
	testenv.Eventually(t, 10*time.Second, func() string {
		if l, err := s.ledger(); err != nil || l.Received == 0 || l.Received != l.Counted {
			return fmt.Sprintf("ledger %+v, %v", l, err)
		}
		return ""
	})
}

// leaveOversized makes the spool of an agent that reported all packets of a flow at once.
func leaveOversized(t *testing.T, dir string) {
	t.Helper()
	s, err := spool.Open(spool.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMilli()
	m := flow.Metric{ABPackets: 40, ABBytes: 40 * 60_000, Start: now - 1000, Last: now}
	f := &flow.Flow{
		UUID: "00000000000000aa", CaptureID: "old", NodeTID: "of-old", LayersPath: "Ethernet/IPv4/TCP", Application: "TCP",
		Start: m.Start, Last: m.Last, Metric: &m, LastUpdateMetric: &m, FinishType: flow.FinishFIN, RawPacketsCaptured: 40,
	}
	for i := range int64(40) {
		f.LastRawPackets = append(f.LastRawPackets, flow.RawPacket{Timestamp: now - 500, Index: i, Data: make([]byte, 60_000), LinkType: flow.LinkEthernet})
	}
	if _, err := s.Append(flow.AppendMessageFlow(nil, f), []spool.Entry{{Key: "old/of-old", Value: []byte("{}")}}, []spool.Cost{{Key: "old/of-old", Packets: 40}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func (s *captureStage) flows(query string, into *[]flow.Flow) error {
	*into = nil
	return s.call(http.MethodPost, "/api/topology", map[string]string{"GremlinQuery": query}, into)
}

// packets asks for a capture file and says how many packets it has, and of how many bytes.
func (s *captureStage) packets(query string) (n, size int) {
	s.t.Helper()
	body, err := json.Marshal(map[string]string{"GremlinQuery": query})
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.api+"/api/topology", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", skydive.ContentPcap)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0
	}
	defer res.Body.Close()
	file, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || len(file) < 24 {
		return 0, 0
	}
	for rest := file[24:]; len(rest) >= 16; n++ {
		length := int(binary.LittleEndian.Uint32(rest[8:]))
		size += length
		rest = rest[min(len(rest), 16+length):]
	}
	return n, size
}

// download has the far end send so many bytes to the near one.
func (w *wire) download(size int64) {
	w.t.Helper()
	conn := w.dial(func(conn net.Conn) { _, _ = conn.Write(make([]byte, size)) }) // the near end counts
	defer conn.Close()
	if n, err := io.Copy(io.Discard, conn); err != nil || n != size {
		w.t.Fatalf("%d bytes came: %v", n, err)
	}
}
