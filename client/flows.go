package client

import (
	"context"
	"fmt"
	"strings"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/skydive"
)

// FlowOptions say which flows to follow.
type FlowOptions struct {
	Captures []string // ids; the flows of all captures when empty
	Stats    bool     // the counters of captures too
	Only     bool     // with Stats: nothing but them
	Protocol string   // skydive.ProtocolProtobuf when empty
	HostID   string   // made anew when empty

	QueueBytes  int  // that wait for a slow consumer; DefaultQueueBytes when 0
	NoReconnect bool // end with the first connection
}

// FlowEvent is something that happened to flows. One of the fields is set.
type FlowEvent struct {
	Flows []*flow.Flow          // reported now: new, updated or ended
	Stats *skydive.CaptureStats // the counters of a capture
	Lost  *FlowsLost            // flows are missing here
}

// FlowsLost says what is missing: the client did not keep up, or the connection was lost.
type FlowsLost struct {
	Flows    uint64 // as far as the server counted them
	Messages int    // that came and did not fit the queue
}

// FlowStream gives reports of flows as they come. Its connection is always read, however slow the consumer is; when it
// is lost it is made anew, and a FlowsLost says where. One goroutine at a time calls Next; Close may be called from any.
type FlowStream struct{ sub *Subscription }

// Flows follows flows until Close or the end of ctx.
func (c *Client) Flows(ctx context.Context, o FlowOptions) (*FlowStream, error) {
	var namespaces []string
	switch {
	case o.Only && !o.Stats:
		return nil, fmt.Errorf("follow flows: Only without Stats leaves nothing")
	case o.Only:
	case len(o.Captures) == 0:
		namespaces = append(namespaces, skydive.NamespaceFlow)
	}
	for _, id := range o.Captures {
		if id == "" || strings.ContainsAny(id, ", \r\n") {
			return nil, fmt.Errorf("follow flows: %q is not the id of a capture", id)
		}
		if !o.Only {
			namespaces = append(namespaces, skydive.NamespaceFlow+"/"+id)
		}
	}
	if o.Stats {
		namespaces = append(namespaces, skydive.NamespaceStats)
	}
	if o.Protocol == "" {
		o.Protocol = skydive.ProtocolProtobuf
	}
	sub, err := c.Subscribe(ctx, SubscribeOptions{
		Path: skydive.PathSubscriberFlow, Namespaces: namespaces, Protocol: o.Protocol, HostID: o.HostID,
		QueueBytes: o.QueueBytes, NoReconnect: o.NoReconnect,
	})
	if err != nil {
		return nil, err
	}
	return &FlowStream{sub: sub}, nil
}

// Next waits for the next event. An error ends the stream, unless it is that of ctx.
func (s *FlowStream) Next(ctx context.Context) (FlowEvent, error) {
	for {
		ev, err := s.sub.Next(ctx)
		if err != nil {
			return FlowEvent{}, err
		}
		if ev.Type == EventLost {
			return FlowEvent{Lost: &FlowsLost{Messages: ev.Lost}}, nil
		}
		if ev.Message == nil {
			continue
		}
		out, known, err := decodeFlows(ev.Message)
		if err != nil {
			err = fmt.Errorf("%s: %w", skydive.PathSubscriberFlow, err)
			s.sub.stop(err)
			return FlowEvent{}, err
		}
		if known {
			return out, nil
		}
	}
}

// Stats gives the counts of messages so far.
func (s *FlowStream) Stats() SubscriptionStats { return s.sub.Stats() }

// Close ends the stream; what is queued can still be read, and then ErrClosed.
func (s *FlowStream) Close() { s.sub.Close() }

// decodeFlows makes an event of a message; false of a kind that is not known. Skydive puts JSON into protobuf
// envelopes: the envelope says what it holds.
func decodeFlows(m *skydive.Message) (ev FlowEvent, known bool, err error) {
	stats := m.Namespace == skydive.NamespaceStats && m.Type == skydive.MsgFlowStats
	flows := strings.HasPrefix(m.Namespace, skydive.NamespaceFlow) && m.Type == skydive.MsgFlowStore
	switch {
	case m.Namespace == skydive.NamespaceFlow && m.Type == skydive.MsgFlowLost:
		var lost skydive.FlowsLost
		err = m.Obj.Decode(&lost)
		return FlowEvent{Lost: &FlowsLost{Flows: lost.Flows}}, true, err
	case !stats && !flows:
		return ev, false, nil
	case m.Format == skydive.FormatProtobuf:
		var all flow.Message
		if err := all.DecodeProto(m.Obj); err != nil {
			return ev, false, err
		}
		if stats && len(all.Stats) > 0 {
			s := all.Stats[0]
			// In JSON it is what the other protocol's clients get.
			if err := skydive.RawJSON(s.AppendJSON(nil)).Decode(&ev.Stats); err != nil {
				return ev, false, err
			}
			if down := flow.CauseDown.String(); s.DownUpper && ev.Stats.Ledger != nil && ev.Stats.Ledger.Drops[down] > 0 {
				ev.Stats.Ledger.Drops[down+"_upper"] = ev.Stats.Ledger.Drops[down]
				delete(ev.Stats.Ledger.Drops, down)
			}
		}
		ev.Flows = all.Flows
		return ev, true, nil
	case stats:
		ev.Stats = new(skydive.CaptureStats)
		return ev, true, m.Obj.Decode(ev.Stats)
	}
	return ev, true, m.Obj.Decode(&ev.Flows)
}
