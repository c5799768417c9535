package client_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/skydive"
)

// What a server remarks on any answer is told: on the making of a resource and on a setting, too.
func TestWarningsOfAnswersAreTold(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add(skydive.HeaderWarning, r.Method+" "+r.URL.Path)
		w.Header().Add(skydive.HeaderWarning, "again")
		text := `{"UUID":"c1"}`
		if r.Method == http.MethodGet {
			text = `""`
		}
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	var told []string
	c, err := client.New(client.Config{Address: server.URL, OnWarning: func(text string) { told = append(told, text) }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Captures().Create(t.Context(), &skydive.Capture{GremlinQuery: "G.V()"}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ConfigValue(t.Context(), "flow.updat"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"POST /api/capture", "again", "GET /api/config/flow.updat", "again"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
