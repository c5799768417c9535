package flow_test

import (
	"bytes"
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/testenv"
)

// protoc runs the compiler of protocol buffers over a message of flow.proto: mode is "--decode" or "--encode".
func protoc(t *testing.T, mode, message string, input []byte) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := testenv.Command(ctx, t, "protoc", mode, message, "--proto_path=.", "flow.proto")
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as Output returns it
			t.Fatalf("protoc %s %s: %v: %s", mode, message, err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return out
}

// A client that knows flow.proto only, and none of our code, reads each field by its name, and writes the same bytes.
func TestProtocReadsWhatIsWritten(t *testing.T) {
	message := flow.Message{
		Flows: []*flow.Flow{fullFlow(), typicalFlow(), {}},
		Stats: []flow.Stats{{CaptureID: "c", FlowCount: 2, FlowDropped: 3, KernelFlowDropped: 4, PacketsDropped: 5, PacketsReceived: 6}},
	}
	written := message.AppendProto(nil)
	text := protoc(t, "--decode", "flow.Message", written)

	if unknown := regexp.MustCompile(`(?m)^ *\d+[: ].*`).FindAll(text, 5); unknown != nil {
		t.Errorf("fields without a name: %q", unknown)
	}
	for _, line := range []string{
		`LayersPath: "Ethernet/IPv4/TCP"`, `Protocol: IPV4`, `Protocol: TCP`, `FinishType: TCP_FIN`, `A: "10.0.0.1"`, `B: 443`,
		`Type: ECHO`, `ABPackets: 21`, `RTT: 27`, `BASawEnd: 122`, `FragmentErrors: 32`, `Data: "\336\255"`,
		`question`, `c_name: "www.example.org"`, `preference: 10`, `xid: 4000000000`, `virtual_rtrID: 51`, `nanos: 5`, `PacketsReceived: 6`,
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("nothing is %s", line)
		}
	}
	if t.Failed() {
		t.Logf("%s", text)
	}
	if again := protoc(t, "--encode", "flow.Message", text); !bytes.Equal(again, written) {
		t.Errorf("protoc writes % x, not % x", again, written)
	}
}
