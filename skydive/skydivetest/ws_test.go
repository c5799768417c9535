package skydivetest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/skydive"
	"github.com/weft-net/weft/skydive/skydivetest"
)

func TestListenerGetsWhatItAskedFor(t *testing.T) {
	pongs := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Service-Type", "analyzer")
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		_, frame, err := conn.Read(r.Context())
		if err != nil {
			t.Error(err)
			return
		}
		m, err := skydive.DecodeMessage(frame, skydive.ProtocolJSON)
		if err != nil || m.Type != skydive.MsgSyncRequest || string(m.Obj) != `{"GremlinFilter": ""}` || m.Status != 200 {
			t.Errorf("got %s, %v", frame, err)
		}
		for _, text := range []string{
			`{"Namespace":"Graph","Type":"NodeAdded","UUID":"x","Status":200,"Obj":{"ID":"n1"}}`,
			`{"Namespace":"Graph","Type":"SyncReply","UUID":"` + m.UUID + `","Status":200,"Obj":{"Nodes":null,"Edges":null}}`,
		} {
			_ = conn.Write(r.Context(), websocket.MessageText, []byte(text))
		}
		go func() { pongs <- conn.Ping(r.Context()) }()
		_, _, _ = conn.Read(r.Context()) // takes the pong
	}))
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := skydivetest.DialWS(ctx, "ws"+strings.TrimPrefix(s.URL, "http"), skydivetest.WSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	if c.Header.Get("X-Service-Type") != "analyzer" {
		t.Errorf("handshake %v", c.Header)
	}
	uuid, err := c.SyncRequest(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.ReceiveType(ctx, "SyncReply")
	if err != nil || m.UUID != uuid || m.Status != 200 {
		t.Fatalf("got %+v, %v", m, err)
	}
	select {
	case <-pongs:
		t.Error("a pong without reading")
	default:
	}
	read, stop := context.WithCancel(ctx)
	defer stop()
	go func() { _, _ = c.Receive(read) }()
	if err := <-pongs; err != nil {
		t.Errorf("no pong while reading: %v", err)
	}
}
