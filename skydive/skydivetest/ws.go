package skydivetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/coder/websocket"
)

// WSOptions are the arguments of the Python WSClient.
type WSOptions struct {
	HostID             string       // "Test" when empty, as the tool's default
	Type               string       // "skydive-python-client" when empty
	Filter             string       // X-Gremlin-Filter, when not empty
	DeleteOnDisconnect bool         // else Persistent: the header is always sent
	Cookies            []string     // "authtoken=…"
	HTTP               *http.Client // http.DefaultClient when nil
}

// WSClient is the Python WSClient.
type WSClient struct {
	conn *websocket.Conn
	// Header is that of the handshake's answer.
	Header http.Header
}

// Refused is a handshake that was not answered with 101.
type Refused struct {
	Status int
	Body   string
}

func (e *Refused) Error() string {
	return fmt.Sprintf("WebSocket refused: status %d: %s", e.Status, e.Body)
}

// DialWS connects to an endpoint such as ws://127.0.0.1:8082/ws/publisher.
func DialWS(ctx context.Context, endpoint string, o WSOptions) (*WSClient, error) {
	h := http.Header{}
	h.Set("User-Agent", "AutobahnPython/22.7.1")
	h.Set("Pragma", "no-cache")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Host-ID", or(o.HostID, "Test"))
	h.Set("X-Client-Type", or(o.Type, "skydive-python-client"))
	h.Set("X-Client-Protocol", "json")
	h.Set("X-Persistence-Policy", "Persistent")
	if o.DeleteOnDisconnect {
		h.Set("X-Persistence-Policy", "DeleteOnDisconnect")
	}
	if o.Filter != "" {
		h.Set("X-Gremlin-Filter", o.Filter)
	}
	if len(o.Cookies) > 0 {
		h.Set("Cookie", strings.Join(o.Cookies, ";"))
	}
	conn, res, err := websocket.Dial(ctx, endpoint, &websocket.DialOptions{HTTPHeader: h, HTTPClient: o.HTTP})
	if err != nil {
		if res != nil && res.StatusCode != http.StatusSwitchingProtocols && res.Body != nil {
			var body bytes.Buffer
			_, _ = body.ReadFrom(res.Body)
			return nil, &Refused{Status: res.StatusCode, Body: body.String()}
		}
		return nil, err
	}
	conn.SetReadLimit(-1)
	return &WSClient{conn: conn, Header: res.Header}, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Send sends one message as a text frame, status 200, and gives its UUID: 32 hex digits.
func (c *WSClient) Send(ctx context.Context, namespace, typ string, obj any) (string, error) {
	var id [16]byte
	_, _ = rand.Read(id[:])
	uuid := hex.EncodeToString(id[:])
	frame := PythonJSON(Object{"UUID": uuid, "Namespace": namespace, "Type": typ, "Obj": obj, "Status": 200})
	return uuid, c.conn.Write(ctx, websocket.MessageText, frame)
}

// SendText sends a text frame as it is, valid or not.
func (c *WSClient) SendText(ctx context.Context, text string) error {
	return c.conn.Write(ctx, websocket.MessageText, []byte(text))
}

// SyncRequest asks for the graph; the client always names a filter, and "" resets it.
func (c *WSClient) SyncRequest(ctx context.Context, filter string) (string, error) {
	return c.Send(ctx, "Graph", "SyncRequest", Object{"GremlinFilter": filter})
}

// Message is a received message.
type Message struct {
	Namespace, Type, UUID string
	Status                int
	Obj                   any
}

// Receive waits for the next message. Pings are answered in here and nowhere else; binary frames are an error. When
// ctx ends the connection is closed, as nothing else can interrupt a read.
func (c *WSClient) Receive(ctx context.Context) (*Message, error) {
	kind, frame, err := c.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		return nil, errors.New("binary message received: a client of protocol json gets text frames")
	}
	m := new(Message)
	if err := decodeNumbers(frame, m); err != nil {
		return nil, fmt.Errorf("JSONDecodeError: %w in %.200q", err, frame)
	}
	return m, nil
}

// ReceiveType waits for a message of one of the types and drops the others.
func (c *WSClient) ReceiveType(ctx context.Context, types ...string) (*Message, error) {
	for {
		m, err := c.Receive(ctx)
		if err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", strings.Join(types, " or "), err)
		}
		for _, t := range types {
			if m.Type == t {
				return m, nil
			}
		}
	}
}

// Stop ends the connection as the tool does: the socket is closed, without a closing frame.
func (c *WSClient) Stop() { _ = c.conn.CloseNow() }

// Modes of SendFile, the commands of skydive-ws-client.
const (
	ModeAdd    = "add"
	ModeUpdate = "update"
	ModeDelete = "delete"
)

// SendFile does what skydive-ws-client does with a file of Nodes and Edges: one message for each element, nodes
// first, elements as the file has them, without reading in between; then it stops at once.
func SendFile(ctx context.Context, endpoint string, o WSOptions, mode, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var data struct{ Nodes, Edges []any }
	if err := decodeNumbers(text, &data); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	verb, ok := map[string]string{ModeAdd: "Added", ModeUpdate: "Updated", ModeDelete: "Deleted"}[mode]
	if !ok {
		return fmt.Errorf("mode %q: choose add, update or delete", mode)
	}
	c, err := DialWS(ctx, endpoint, o)
	if err != nil {
		return err
	}
	defer c.Stop()
	for _, n := range data.Nodes {
		if _, err := c.Send(ctx, "Graph", "Node"+verb, n); err != nil {
			return err
		}
	}
	for _, e := range data.Edges {
		if _, err := c.Send(ctx, "Graph", "Edge"+verb, e); err != nil {
			return err
		}
	}
	return nil
}

// decodeNumbers decodes with numbers as they are written, as Python keeps 1 and 1.0 apart.
func decodeNumbers(text []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return dec.Decode(v)
}
