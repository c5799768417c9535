package skydive

import (
	"bytes"
	stdjson "encoding/json"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/txtar"
)

// maker makes a value for each type of the corpus.
var maker = map[string]func() any{
	"Node":            func() any { return new(Node) },
	"Edge":            func() any { return new(Edge) },
	"Graph":           func() any { return new(Graph) },
	"SyncRequest":     func() any { return new(SyncRequest) },
	"PartialUpdate":   func() any { return new(PartialUpdate) },
	"Message":         func() any { return new(Message) },
	"APIInfo":         func() any { return new(APIInfo) },
	"LoginReply":      func() any { return new(LoginReply) },
	"TopologyParams":  func() any { return new(TopologyParams) },
	"Status":          func() any { return new(Status) },
	"AgentStatus":     func() any { return new(AgentStatus) },
	"NodeRule":        func() any { return new(NodeRule) },
	"EdgeRule":        func() any { return new(EdgeRule) },
	"Capture":         func() any { return new(Capture) },
	"Alert":           func() any { return new(Alert) },
	"PacketInjection": func() any { return new(PacketInjection) },
	"Workflow":        func() any { return new(Workflow) },
	"WorkflowCall":    func() any { return new(WorkflowCall) },
}

// objectOf makes a value for the object of each type of message.
var objectOf = map[string]func() any{
	MsgSyncRequest:          maker["SyncRequest"],
	MsgSyncReply:            maker["Graph"],
	MsgSync:                 maker["Graph"],
	MsgNodeAdded:            maker["Node"],
	MsgNodeUpdated:          maker["Node"],
	MsgNodeDeleted:          maker["Node"],
	MsgNodePartiallyUpdated: maker["PartialUpdate"],
	MsgEdgeAdded:            maker["Edge"],
	MsgEdgeUpdated:          maker["Edge"],
	MsgEdgeDeleted:          maker["Edge"],
	MsgEdgePartiallyUpdated: maker["PartialUpdate"],
	MsgError:                func() any { return new(ErrorReport) },
	MsgFlushReply:           func() any { return new(FlushReply) },
	MsgAlert:                func() any { return new(AlertReport) },
	MsgFlowStats:            func() any { return new(CaptureStats) },
}

func corpus(t testing.TB) map[string][]byte {
	archive, err := txtar.ParseFile("testdata/corpus.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, f := range archive.Files {
		files[f.Name] = bytes.TrimSuffix(f.Data, []byte("\n"))
	}
	return files
}

// Both JSON libraries that users have must agree on every type.
var codecs = map[string]struct {
	decode func([]byte, any) error
	encode func(any) ([]byte, error)
}{
	"encoding/json": {stdjson.Unmarshal, func(v any) ([]byte, error) {
		var b bytes.Buffer
		enc := stdjson.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		err := enc.Encode(v)
		return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
	}},
	"RawJSON": {func(data []byte, v any) error { return RawJSON(data).Decode(v) }, func(v any) ([]byte, error) { return Raw(v) }},
}

func TestCorpusIsReadAndWrittenBack(t *testing.T) {
	files := corpus(t)
	seen := make(map[string]bool)
	for name, text := range files {
		if strings.HasSuffix(name, ".want") {
			continue
		}
		want := text
		if strings.HasPrefix(name, "accept/") {
			want = files[strings.TrimSuffix(name, ".json")+".want"]
		}
		kind := strings.Split(name, "/")[1]
		seen[kind] = true
		if maker[kind] == nil {
			t.Errorf("%s: unknown type", name)
			continue
		}
		for codec, c := range codecs {
			v := maker[kind]()
			if err := c.decode(text, v); err != nil {
				t.Errorf("%s with %s: %v", name, codec, err)
				continue
			}
			got, err := c.encode(v)
			if err != nil {
				t.Errorf("%s with %s: %v", name, codec, err)
			} else if !bytes.Equal(got, want) {
				t.Errorf("%s with %s\ngot  %s\nwant %s", name, codec, got, want)
			}
		}
	}
	for kind := range maker {
		if !seen[kind] {
			t.Errorf("the corpus has no %s", kind)
		}
	}
}

func TestObjectOfEachMessageIsReadAndWrittenBack(t *testing.T) {
	seen := make(map[string]bool)
	for name, text := range corpus(t) {
		if !strings.HasPrefix(name, "exact/Message/") {
			continue
		}
		for _, protocol := range []string{ProtocolJSON, ProtocolProtobuf} {
			m, err := DecodeMessage(text, ProtocolJSON)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			seen[m.Type] = true
			frame, err := m.Append(nil, protocol)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if m, err = DecodeMessage(frame, protocol); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if m.Status != StatusOK && m.Type == MsgSyncReply || m.Obj.IsNull() {
				continue // an error's text, or nothing
			}
			v := objectOf[m.Type]()
			if err := m.Obj.Decode(v); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			again, err := NewMessage(m.Namespace, m.Type, m.UUID, v)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			again.Status = m.Status
			if back, err := again.AppendJSON(nil); err != nil || !bytes.Equal(back, text) {
				t.Errorf("%s over %s: %v\ngot  %s\nwant %s", name, protocol, err, back, text)
			}
		}
	}
	for typ := range objectOf {
		if !seen[typ] {
			t.Errorf("the corpus has no message %s", typ)
		}
	}
}

func TestBrokenMessagesAreRefusedWithTheirPlace(t *testing.T) {
	for text, want := range map[string]string{
		``:                    "EOF",
		`{`:                   "EOF",
		`[]`:                  "message",
		`{"Namespace":7}`:     "Namespace",
		`{"Status":"200"}`:    "Status",
		`{"Obj":{"a":}}`:      "Obj",
		`{"Obj":1} {"Obj":2}`: "after top-level value",
		"{\"UUID\":\"\xff\"}": "UTF-8",
		`{"Obj":` + strings.Repeat("[", 10001) + strings.Repeat("]", 10001) + `}`: "depth",
	} {
		_, err := DecodeMessage([]byte(text), ProtocolJSON)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %.300v, want …%s…", text, err, want)
		}
	}
}

func TestProtobufObjectCannotBeSentAsJSON(t *testing.T) {
	m := &Message{Namespace: NamespaceFlow, Type: MsgFlowStore, Format: FormatProtobuf, Obj: RawJSON{10, 0}}
	if _, err := m.AppendJSON(nil); err == nil {
		t.Error("bytes of protobuf were written as JSON")
	}
	if _, err := json.Marshal(m); err == nil {
		t.Error("bytes of protobuf were written as JSON")
	}
}

// What is read as a message is written and read again as the same.
func FuzzMessageJSON(f *testing.F) {
	for name, text := range corpus(f) {
		if strings.Contains(name, "/Message/") {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := DecodeMessage(data, ProtocolJSON)
		if err != nil {
			return
		}
		text, err := m.AppendJSON(nil)
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", data, err)
		}
		back, err := DecodeMessage(text, ProtocolJSON)
		if err != nil {
			t.Fatalf("%q was written and cannot be read: %v", text, err)
		}
		if back.Namespace != m.Namespace || back.Type != m.Type || back.UUID != m.UUID || back.Status != m.Status || !bytes.Equal(back.Obj, m.Obj) {
			t.Fatalf("%+v became %+v", m, back)
		}
		if decode := objectOf[m.Type]; decode != nil && m.Obj != nil {
			_ = m.Obj.Decode(decode()) // must return
		}
	})
}
