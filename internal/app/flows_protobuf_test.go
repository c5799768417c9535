package app

import (
	"bytes"
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/probe/linux"
	"github.com/weft-net/weft/internal/testenv"
)

// TestForeignClientDecodesTheFlowStream is a client that has flow.proto and protoc, and nothing of weft.
func TestForeignClientDecodesTheFlowStream(t *testing.T) {
	w := newWire(t)
	cfg := settings("h1")
	cfg.Flow.Update = time.Second
	r := start(t, Options{Role: AllInOne, Config: cfg, Probes: []probe.Spec{{Name: linux.Name, Default: true, New: linux.New}}})
	w.join("weft-proto")
	var made struct{ UUID string }
	r.post("/api/capture", `{"GremlinQuery": "G.V().Has('Name','weft-proto')", "ExtraTCPMetric": true}`, &made)
	id := made.UUID
	r.counts(id, 1)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+r.Addr()+"/ws/subscriber/flow", &websocket.DialOptions{HTTPHeader: http.Header{
		"X-Client-Type": {"foreign"}, "X-Client-Protocol": {"protobuf"}, "X-Websocket-Namespace": {"flow/" + id},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	w.talk(50)

	// The newest report of the connection says how it ended.
	connection := regexp.MustCompile(`(?m)^Flows \{\n(?:  .*\n)*?  FinishType: TCP_FIN\n(?:  .*\n)*?\}`)
	for {
		kind, frame, err := conn.Read(ctx)
		if err != nil {
			t.Fatalf("the stream ended before the connection's report: %v", err)
		}
		if kind != websocket.MessageBinary {
			t.Fatalf("a text frame: %s", frame)
		}
		envelope := decodeByProtoc(ctx, t, "flow.Envelope", frame)
		for _, line := range []string{"Namespace: \"flow/" + id + "\"", "Status: 200", "Format: PROTOBUF"} {
			if !strings.Contains(envelope, line) {
				t.Fatalf("the envelope lacks %s:\n%s", line, envelope)
			}
		}
		text := decodeByProtoc(ctx, t, "flow.Message", bytesOf(t, frame, 6))
		if unknown := regexp.MustCompile(`(?m)^ *\d+[: ].*`).FindString(text); unknown != "" {
			t.Errorf("a field that flow.proto does not have: %s", unknown)
		}
		f := connection.FindString(text)
		if f == "" {
			continue
		}
		for _, line := range []string{
			`LayersPath: "Ethernet/IPv4/TCP"`, `A: "` + w.nearA + `"`, `B: "` + w.farA + `"`, `B: 8000`, `CaptureID: "` + id + `"`,
			`Protocol: IPV4`, `Protocol: TCP`, `ABSynStart: `, `BASynTTL: 64`, `RTT: `, `NodeTID: "`, `TrackingID: "`,
		} {
			if !strings.Contains(f, line) {
				t.Errorf("the flow lacks %s:\n%s", line, f)
			}
		}
		return
	}
}

// decodeByProtoc gives the text form of a message of flow.proto.
func decodeByProtoc(ctx context.Context, t *testing.T, message string, data []byte) string {
	t.Helper()
	cmd := testenv.Command(ctx, t, "protoc", "--decode", message, "--proto_path="+filepath.Join(testenv.Top(t), "flow"), "flow.proto")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as Output returns it
		t.Fatalf("protoc --decode %s: %v: %s", message, err, exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// bytesOf finds a field of bytes in a protobuf message by its number alone.
func bytesOf(t *testing.T, message []byte, number protowire.Number) []byte {
	t.Helper()
	for len(message) > 0 {
		field, kind, head := protowire.ConsumeTag(message)
		size := protowire.ConsumeFieldValue(field, kind, message[max(head, 0):])
		if head < 0 || size < 0 {
			t.Fatalf("no protobuf from % x on", message)
		}
		if field == number {
			data, _ := protowire.ConsumeBytes(message[head:])
			return data
		}
		message = message[head+size:]
	}
	t.Fatalf("no field %d", number)
	return nil
}
