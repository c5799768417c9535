package client

import (
	"fmt"

	"github.com/weft-net/weft/skydive"
)

// Types of events that are not messages of the server.
const (
	// EventSync carries the whole graph, which replaces whatever was known: the answer to a SyncRequest.
	EventSync = "Sync"
	// EventLost says that events were lost, and that no EventSync makes up for them because none was asked for.
	EventLost = "Lost"
)

// Event is something that happened to the graph.
type Event struct {
	// Type is EventSync, EventLost or the type of the server's message: skydive.MsgNodeAdded and its like.
	Type string

	Node    *skydive.Node          // of Node… events
	Edge    *skydive.Edge          // of Edge… events
	Graph   *skydive.Graph         // of EventSync
	Partial *skydive.PartialUpdate // of …PartiallyUpdated, unless a Replica has turned it into the whole element

	// Resync says of EventSync that it makes up for lost events, or begins anew after a reconnect.
	Resync bool
	// Lost is how many events were lost before this one because the consumer was slow; not known of a lost connection.
	Lost int
	// Message is the message as it came, of other namespaces too (alerts, captures); nil for what it did not cause.
	Message *skydive.Message
}

// ID gives the id of the element that the event is about, "" when it is about none.
func (e Event) ID() string {
	switch {
	case e.Node != nil:
		return e.Node.ID
	case e.Edge != nil:
		return e.Edge.ID
	case e.Partial != nil:
		return e.Partial.ID
	}
	return ""
}

// decodeEvent makes an event of a message. Messages of unknown kinds are events with nothing but the message.
func decodeEvent(m *skydive.Message) (Event, error) {
	ev := Event{Type: m.Type, Message: m}
	if m.Namespace != skydive.NamespaceGraph {
		return ev, nil
	}
	var err error
	switch m.Type {
	case skydive.MsgNodeAdded, skydive.MsgNodeUpdated, skydive.MsgNodeDeleted:
		ev.Node = new(skydive.Node)
		err = m.Obj.Decode(ev.Node)
	case skydive.MsgEdgeAdded, skydive.MsgEdgeUpdated, skydive.MsgEdgeDeleted:
		ev.Edge = new(skydive.Edge)
		err = m.Obj.Decode(ev.Edge)
	case skydive.MsgNodePartiallyUpdated, skydive.MsgEdgePartiallyUpdated:
		ev.Partial = new(skydive.PartialUpdate)
		err = m.Obj.Decode(ev.Partial)
	case skydive.MsgSync, skydive.MsgSyncReply:
		ev.Type, ev.Graph = EventSync, new(skydive.Graph)
		if m.Status >= 400 {
			return ev, syncError(m)
		}
		err = m.Obj.Decode(ev.Graph) // null is empty: what Skydive answers when its filter was reset
	}
	if err != nil {
		return ev, fmt.Errorf("message %s of the server: %w", m.Type, err)
	}
	return ev, nil
}

// syncError makes an Error of a SyncReply with an error status.
func syncError(m *skydive.Message) error {
	e := &Error{Status: m.Status, Method: "WS", Path: skydive.MsgSyncRequest}
	if m.Obj.IsNull() {
		e.Message = "refused without a reason; Skydive does so when it keeps no history"
	} else if m.Obj.Decode(&e.Message) != nil {
		e.Message = string(m.Obj)
	}
	return e
}
