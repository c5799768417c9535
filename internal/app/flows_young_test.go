package app

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/internal/testenv"
	"github.com/weft-net/weft/skydive"
)

// An analyzer that knows no host yet cannot tell that none is missing, and says so until it can.
func TestAnalyzerThatJustStartedWarns(t *testing.T) {
	r := start(t, Options{Config: settings("hub"), Role: Analyzer})
	warnings := func() string {
		answer, err := http.Post("http://"+r.Addr()+"/api/topology", "application/json", strings.NewReader(`{"GremlinQuery":"G.Flows().Count()"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return strings.Join(answer.Header.Values(skydive.HeaderWarning), "; ")
	}
	if got := warnings(); !strings.Contains(got, "hosts may still be joining") {
		t.Errorf("warnings %q", got)
	}
	testenv.Eventually(t, 15*time.Second, warnings)
}
