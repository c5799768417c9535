package api_test

import (
	"strings"
	"testing"

	"github.com/weft-net/weft/internal/api/apitest"
)

func TestFilterIsCompiledWhenACaptureIsCreated(t *testing.T) {
	s := apitest.Start(t)
	m := parse(t, expect(t, s, 200, "POST", "/api/capture", `{"GremlinQuery":"G.V()","BPFFilter":"tcp port 443"}`))
	if m["BPFFilter"] != "tcp port 443" {
		t.Errorf("got %v", m)
	}
	text := expect(t, s, 400, "POST", "/api/capture", `{"GremlinQuery":"G.V()","BPFFilter":"tcp porrt 80"}`)
	if !strings.Contains(text, `invalid schema: BPFFilter: at byte 4 of "tcp porrt 80": `) {
		t.Errorf("got %s", text)
	}
}
