package api

import (
	"strings"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/skydive"
)

// flowChunk is how many bytes of flows go into one message, about: large enough that the
// envelope is nothing, small enough that a client can begin.
const flowChunk = 128 << 10

// flowFrames are the messages that a batch gives for a namespace and a protocol.
type flowFrames struct {
	frames []frame
	size   int64
	flows  int
}

// flowEncoder makes messages of batches. The JSON of a flow is made once a batch, its
// protobuf once, whoever asks; and so are the messages of each namespace. It belongs to
// one goroutine.
type flowEncoder struct {
	ids   *encoder
	batch *FlowBatch

	text   []byte // JSON of all flows of the batch, one behind the other
	ends   []int  // where each ends in text
	proto  []byte // the same as fields of a flow.Message
	pends  []int
	shared map[flowKey]flowFrames
	one    flow.Message
	obj    []byte
}

// flowKey names the messages that clients share.
type flowKey struct {
	capture  string // "" = all flows
	protobuf bool
	stats    bool
}

func (e *flowEncoder) begin(batch *FlowBatch) {
	e.batch = batch
	e.text, e.ends, e.proto, e.pends = e.text[:0], e.ends[:0], e.proto[:0], e.pends[:0]
	if e.shared == nil {
		e.shared = make(map[flowKey]flowFrames)
	}
	clear(e.shared)
}

// flows gives the messages with the flows of one capture, or of all for "".
func (e *flowEncoder) flows(capture string, protobuf bool) flowFrames {
	key := flowKey{capture: capture, protobuf: protobuf}
	if made, ok := e.shared[key]; ok {
		return made
	}
	namespace := skydive.NamespaceFlow
	if capture != "" {
		namespace = flowNamespace(capture)
	}
	var run flowFrames
	if protobuf {
		run = e.protoFlows(namespace, capture)
	} else {
		run = e.jsonFlows(namespace, capture)
	}
	e.shared[key] = run
	return run
}

func (e *flowEncoder) jsonFlows(namespace, capture string) (run flowFrames) {
	if len(e.ends) == 0 {
		for _, f := range e.batch.Flows {
			e.text = f.AppendJSON(e.text)
			e.ends = append(e.ends, len(e.text))
		}
	}
	var data []byte
	finish := func() {
		if data != nil {
			data = append(data, "]}"...)
			run.frames, run.size = append(run.frames, data), run.size+int64(len(data))
			data = nil
		}
	}
	start := 0
	for i, f := range e.batch.Flows {
		text := e.text[start:e.ends[i]]
		start = e.ends[i]
		if capture != "" && f.CaptureID != capture {
			continue
		}
		if data == nil {
			data = make([]byte, 0, min(flowChunk+flowChunk/8, len(e.text)+256))
			// Nothing in the envelope can fail: the id in the namespace was checked.
			data, _ = skydive.AppendEnvelope(data, namespace, skydive.MsgFlowStore, e.ids.uuid(), skydive.StatusOK)
			data = append(data, '[')
		} else {
			data = append(data, ',')
		}
		data = append(data, text...)
		run.flows++
		if len(data) >= flowChunk {
			finish()
		}
	}
	finish()
	return run
}

func (e *flowEncoder) protoFlows(namespace, capture string) (run flowFrames) {
	if len(e.pends) == 0 {
		for _, f := range e.batch.Flows {
			e.one.Flows = append(e.one.Flows[:0], f)
			e.proto = e.one.AppendProto(e.proto)
			e.pends = append(e.pends, len(e.proto))
		}
	}
	e.obj = e.obj[:0]
	finish := func() {
		if len(e.obj) > 0 {
			run.add(e.protoMessage(namespace, skydive.MsgFlowStore, e.obj))
			e.obj = e.obj[:0]
		}
	}
	start := 0
	for i, f := range e.batch.Flows {
		field := e.proto[start:e.pends[i]]
		start = e.pends[i]
		if capture != "" && f.CaptureID != capture {
			continue
		}
		e.obj = append(e.obj, field...)
		run.flows++
		if len(e.obj) >= flowChunk {
			finish()
		}
	}
	finish()
	return run
}

// stats gives a message for each capture's counters.
func (e *flowEncoder) stats(protobuf bool) flowFrames {
	key := flowKey{protobuf: protobuf, stats: true}
	if made, ok := e.shared[key]; ok {
		return made
	}
	var run flowFrames
	for i := range e.batch.Stats {
		if protobuf {
			m := flow.Message{Stats: e.batch.Stats[i : i+1]}
			run.add(e.protoMessage(skydive.NamespaceStats, skydive.MsgFlowStats, m.AppendProto(nil)))
		} else {
			run.add(e.jsonMessage(skydive.NamespaceStats, skydive.MsgFlowStats, statsOf(&e.batch.Stats[i])))
		}
	}
	e.shared[key] = run
	return run
}

// lost gives the message that tells a client what it did not get.
func (e *flowEncoder) lost(flows uint64, protobuf bool) frame {
	word := skydive.FlowsLost{Flows: flows}
	if !protobuf {
		return e.jsonMessage(skydive.NamespaceFlow, skydive.MsgFlowLost, word)
	}
	obj, err := skydive.Raw(word)
	if err != nil { // a number does not fail
		return nil
	}
	m := skydive.Message{Namespace: skydive.NamespaceFlow, Type: skydive.MsgFlowLost, UUID: e.ids.uuid(), Status: skydive.StatusOK, Obj: obj}
	return m.AppendProto(nil)
}

func (e *flowEncoder) jsonMessage(namespace, kind string, obj any) frame {
	m, err := skydive.NewMessage(namespace, kind, e.ids.uuid(), obj)
	if err != nil { // what it is made of here does not fail
		return nil
	}
	data, err := m.AppendJSON(nil)
	if err != nil {
		return nil
	}
	return data
}

func (e *flowEncoder) protoMessage(namespace, kind string, obj []byte) frame {
	m := skydive.Message{
		Namespace: namespace, Type: kind, UUID: e.ids.uuid(), Status: skydive.StatusOK,
		Format: skydive.FormatProtobuf, Obj: obj,
	}
	return m.AppendProto(make([]byte, 0, len(obj)+128))
}

func (r *flowFrames) add(data frame) {
	r.frames, r.size = append(r.frames, data), r.size+int64(len(data))
}

// flowNamespace is the namespace of the flows of one capture.
func flowNamespace(capture string) string { return skydive.NamespaceFlow + "/" + capture }

// cutFlowNamespace gives the capture that a namespace is for.
func cutFlowNamespace(namespace string) (capture string, ok bool) {
	return strings.CutPrefix(namespace, skydive.NamespaceFlow+"/")
}
