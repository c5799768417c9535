package client_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/client"
)

// A server that stops before it has sent anything is waited for; one that closes for another reason refuses.
func TestFlowsGoOnAfterAServerThatStopped(t *testing.T) {
	for _, test := range []struct {
		code  websocket.StatusCode
		again bool
	}{
		{websocket.StatusGoingAway, true},
		{websocket.StatusServiceRestart, true},
		{websocket.StatusPolicyViolation, false},
	} {
		var connections atomic.Int32
		over := make(chan struct{})
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer func() { _ = conn.CloseNow() }()
			if connections.Add(1) == 1 {
				_ = conn.Close(test.code, "bye")
				return
			}
			<-over
		}))
		c, err := client.New(client.Config{Address: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		stream, err := c.Flows(t.Context(), client.FlowOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		ev, err := stream.Next(ctx)
		switch {
		case test.again && (err != nil || ev.Lost == nil || connections.Load() != 2):
			t.Errorf("%d: %+v, %v after %d connections: want to be told of a gap after the second", test.code, ev, err, connections.Load())
		case !test.again && (err == nil || !strings.Contains(err.Error(), "bye")):
			t.Errorf("%d: %+v, %v: want the reason", test.code, ev, err)
		}
		cancel()
		close(over)
		stream.Close()
		c.Close()
		s.Close()
	}
}
