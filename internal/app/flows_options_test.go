package app

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/probe/linux"
	"github.com/weft-net/weft/internal/testenv"
)

// question is a query for the address of weft.test, answer what a server says to it.
func question() []byte {
	return []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04weft\x04test\x00\x00\x01\x00\x01")
}

func answerTo(q []byte) []byte {
	a := append([]byte{}, q...)
	a[2], a[3], a[7] = 0x81, 0x80, 1
	return append(a, "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x09\x00\x63"...)
}

// resolve asks a name server at the far end over UDP, and then over TCP.
func (w *wire) resolve() {
	w.t.Helper()
	var packets net.PacketConn
	var listener net.Listener
	w.far.Do(func() (err error) {
		if packets, err = net.ListenPacket("udp", w.farA+":53"); err != nil {
			return err
		}
		listener, err = net.Listen("tcp", w.farA+":53")
		return err
	})
	defer packets.Close()
	defer listener.Close()
	go func() {
		buf := make([]byte, 1500)
		if n, from, err := packets.ReadFrom(buf); err == nil {
			_, _ = packets.WriteTo(answerTo(buf[:n]), from)
		}
	}()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 2+len(question()))
		if _, err := io.ReadFull(conn, buf); err == nil {
			a := answerTo(buf[2:])
			_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
			_, _ = conn.Read(buf) // until the near end closes
		}
	}()
	for network, framed := range map[string]bool{"udp": false, "tcp": true} {
		q, a := question(), answerTo(question())
		if framed {
			q = append([]byte{0, byte(len(q))}, q...)
			a = append([]byte{0, byte(len(a))}, a...)
		}
		w.near.Do(func() error {
			conn, err := net.DialTimeout(network, w.farA+":53", 5*time.Second)
			if err != nil {
				return err
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				return err
			}
			if _, err := conn.Write(q); err != nil {
				return err
			}
			_, err = io.ReadFull(conn, a)
			return err
		})
	}
}

// TestCaptureLooksIntoWhatItIsAskedTo has a capture with every option, and packets of this kernel and of ping: what the
// options promise is in the flows, and every packet is kept, in the flows and in the file that they become.
func TestCaptureLooksIntoWhatItIsAskedTo(t *testing.T) {
	w := newWire(t)
	r := start(t, Options{Role: AllInOne, Config: settings("h1"), Probes: []probe.Spec{{Name: linux.Name, Default: true, New: linux.New}}})
	name := fmt.Sprint("wopt", os.Getpid())
	var made struct{ UUID string }
	r.post("/api/capture", fmt.Sprintf(`{"GremlinQuery":"G.V().Has('Name','%s')","IPDefrag":true,"ReassembleTCP":true,"ExtraTCPMetric":true,"ExtraLayers":7,"RawPacketLimit":-1}`, name), &made)
	w.joinQuietly(name)
	r.counts(made.UUID, 1)
	before := w.passed(name)
	w.resolve()
	w.near.Do(func() error { // three fragments that nobody waits for
		conn, err := net.Dial("udp", w.farA+":7000")
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write(make([]byte, 4000))
		return err
	})
	if out, err := w.near.Exec(testenv.Binary(t, "ping"), "-n", "-c", "1", "-W", "5", "-s", "3000", w.farA).CombinedOutput(); err != nil {
		t.Fatalf("ping: %v\n%s", err, out)
	}
	passed := w.passed(name) - before

	var flows []*flow.Flow
	testenv.Eventually(t, 10*time.Second, func() string {
		flows = nil
		r.query("G.Flows()", &flows)
		var packets, kept int64
		for _, f := range flows {
			packets += f.Metric.ABPackets + f.Metric.BAPackets
			kept += f.RawPacketsCaptured
		}
		if packets != w.passed(name)-before || kept != packets || packets < passed {
			return fmt.Sprintf("%d packets in flows, %d of them kept, %d passed", packets, kept, w.passed(name)-before)
		}
		return ""
	})
	found := map[string]bool{}
	for _, f := range flows {
		switch to := f.Transport; {
		case to != nil && to.B == 53:
			// What a TCP stream carries is not taken apart: DNS over TCP has the metrics of TCP only.
			if d := f.DNS; to.Protocol.String() == "UDP" && (d == nil || !d.QR || len(d.Questions) != 1 || len(d.Answers) != 1 || !strings.HasPrefix(d.Questions[0].Name, "weft.test")) {
				t.Errorf("DNS over %s: %+v", to.Protocol, f.DNS)
			}
			found["DNS over "+to.Protocol.String()] = true
			if m := f.TCPMetric; to.Protocol.String() == "TCP" && (m == nil || m.ABPackets == 0 || m.BAPackets == 0 || m.ABSawStart != 1 || m.BASawStart != 1 ||
				m.ABBytes != int64(2+len(question())) || m.BABytes != int64(2+len(answerTo(question()))) || m.ABSegmentSkipped+m.BASegmentSkipped != 0) {
				t.Errorf("segments: %+v", m)
			}
		case to != nil && to.B == 7000:
			found["fragmented datagram"] = f.IPMetric != nil && f.IPMetric.Fragments == 3 && f.IPMetric.FragmentErrors == 0 && f.Metric.ABPackets == 3
		case f.ICMP != nil && f.IPMetric != nil && f.IPMetric.Fragments == 6 && f.Metric.ABPackets == 3 && f.Metric.BAPackets == 3:
			found["fragmented ping"] = true
		}
	}
	for _, what := range []string{"DNS over UDP", "DNS over TCP", "fragmented datagram", "fragmented ping"} {
		if !found[what] {
			list, _ := json.Marshal(flows)
			t.Errorf("no %s: %s", what, list)
		}
	}

	var raw []map[string][]struct{ Data []byte }
	r.query("G.Flows().RawPackets()", &raw)
	var listed int64
	for _, f := range flows {
		if len(raw) != 1 || int64(len(raw[0][f.UUID])) != f.RawPacketsCaptured {
			t.Errorf("%s: not the %d packets that were kept", f.UUID, f.RawPacketsCaptured)
			break
		}
		listed += f.RawPacketsCaptured
	}
	path := filepath.Join(t.TempDir(), "all.pcap")
	if err := os.WriteFile(path, r.asFile("G.Flows().RawPackets()"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := testenv.Command(ctx, t, "tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.number").Output()
	if err != nil {
		t.Fatal(err)
	}
	if read := int64(len(strings.Fields(string(out)))); read != listed || listed < passed {
		t.Errorf("tshark reads %d packets of %d that were kept; %d passed", read, listed, passed)
	}
}

// asFile asks for packets as a capture file.
func (r *running) asFile(query string) []byte {
	r.t.Helper()
	body, err := json.Marshal(map[string]string{"GremlinQuery": query})
	if err != nil {
		r.t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, "http://"+r.Addr()+"/api/topology", strings.NewReader(string(body)))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Accept", "application/vnd.tcpdump.pcap")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	file, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		r.t.Fatalf("%s as a file: %d, %v", query, answer.StatusCode, err)
	}
	return file
}
