package client_test

import (
	"errors"
	"testing"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/skydive"
)

// following starts a server and follows its flows.
func following(t *testing.T, o client.FlowOptions) (*client.FlowStream, *apitest.FlowHub) {
	t.Helper()
	s, hub := apitest.StartWithFlows(t)
	c, err := client.New(client.Config{Address: s.Addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	stream, err := c.Flows(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	return stream, hub
}

func nextFlows(t *testing.T, s *client.FlowStream) client.FlowEvent {
	t.Helper()
	ev, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestFlowsAreFollowed(t *testing.T) {
	for _, protocol := range []string{"", skydive.ProtocolJSON} {
		stream, hub := following(t, client.FlowOptions{Stats: true, Protocol: protocol})
		hub.Report([]*flow.Flow{apitest.Flow("f1", "c1"), apitest.Flow("f2", "c2")}, flow.Stats{CaptureID: "c1", PacketsReceived: 7})
		ev := nextFlows(t, stream)
		if len(ev.Flows) != 2 || ev.Flows[1].UUID != "f2" || ev.Flows[0].Network.A != "10.0.0.1" || ev.Flows[0].Metric.RTT != 250_000 {
			t.Errorf("got %+v", ev.Flows)
		}
		if ev = nextFlows(t, stream); ev.Stats == nil || *ev.Stats != (skydive.CaptureStats{CaptureID: "c1", PacketsReceived: 7}) {
			t.Errorf("got %+v", ev)
		}
		hub.Overwrite(5)
		hub.Report([]*flow.Flow{apitest.Flow("f3", "c1")})
		if ev = nextFlows(t, stream); ev.Lost == nil || ev.Lost.Flows != 5 {
			t.Errorf("got %+v", ev)
		}
		stream.Close()
		for {
			if _, err := stream.Next(t.Context()); err != nil {
				if !errors.Is(err, client.ErrClosed) {
					t.Error(err)
				}
				break
			}
		}
	}
}

func TestFlowsOfOneCapture(t *testing.T) {
	stream, hub := following(t, client.FlowOptions{Captures: []string{"c2"}})
	hub.Report([]*flow.Flow{apitest.Flow("f1", "c1"), apitest.Flow("f2", "c2")}, flow.Stats{CaptureID: "c2"})
	if ev := nextFlows(t, stream); len(ev.Flows) != 1 || ev.Flows[0].UUID != "f2" {
		t.Errorf("got %+v", ev)
	}
	if _, err := (&client.Client{}).Flows(t.Context(), client.FlowOptions{Captures: []string{"a b"}}); err == nil {
		t.Error("an id with a space was taken")
	}
	if _, err := (&client.Client{}).Flows(t.Context(), client.FlowOptions{Only: true}); err == nil {
		t.Error("following nothing was taken")
	}
}

func TestCaptureStates(t *testing.T) {
	s, _ := apitest.StartWithFlows(t)
	c, err := client.New(client.Config{Address: s.Addr})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	made, err := c.Captures().Create(t.Context(), &skydive.Capture{GremlinQuery: "G.V()", Name: "all"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Captures().Create(t.Context(), &skydive.Capture{GremlinQuery: "G.V()"}, 0); !errors.Is(err, client.ErrConflict) {
		t.Errorf("a second one: %v", err)
	}
	states, err := c.CaptureStates().List(t.Context())
	if err != nil || len(states) != 1 || states[made.UUID].Name != "all" {
		t.Errorf("%v, %v", states, err)
	}
	if err := c.Captures().Delete(t.Context(), made.UUID); err != nil {
		t.Error(err)
	}
}
