package api

import (
	_ "embed"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weft-net/weft/skydive"
)

// schemas holds the components of the description: the shapes of bodies and answers.
//
//go:embed openapi.json
var schemas []byte

// operation is what the description says of a route.
type operation struct {
	summary      string
	body         string // schema of the request's body
	bodyOptional bool
	bodyType     string      // other than JSON
	form         []string    // fields of a form as the body
	yaml         bool        // the body may be YAML
	ttl          bool        // X-Resource-TTL is taken
	query        []parameter // of the URL
	answer       string      // schema; "Text" for plain text, "" for none
	answerMap    bool        // the answer is an object of them by id
	graphviz     bool        // the answer may be a drawing
	pcap         bool        // or a capture file
	empty        int         // a further status without content
	fails        []int
	websocket    bool
	flows        bool // the WebSocket sends flows, and takes nothing
}

// parameter is what a request may have, and what that is for.
type parameter struct{ name, text string }

type object = map[string]any

// describe builds the OpenAPI description of the table.
func describe(table []route, version string) ([]byte, error) {
	var components jsontext.Value
	if err := json.Unmarshal(schemas, &components); err != nil {
		return nil, err
	}
	paths := make(map[string]object)
	for _, entry := range table {
		methods := paths[entry.path]
		if methods == nil {
			methods = object{}
			paths[entry.path] = methods
		}
		methods[strings.ToLower(entry.method)] = entry.describe()
	}
	if version == "" {
		version = "unknown"
	}
	text, err := json.Marshal(object{
		"openapi": "3.0.3",
		"info": object{
			"title": "weft", "version": version,
			"description": "A live graph of a network, over Skydive's API. Times are milliseconds since the epoch.",
			"license":     object{"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
		},
		"paths":      paths,
		"components": components,
		"security":   []object{{}, {"cookie": []string{}}, {"header": []string{}}, {"bearer": []string{}}, {"basic": []string{}}},
	}, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

func (r route) describe() object {
	op := object{"summary": r.doc.summary, "operationId": operationID(r), "responses": r.answers()}
	if tag := strings.Split(strings.TrimPrefix(strings.TrimPrefix(r.path, "/"), "api/"), "/")[0]; tag != "" {
		op["tags"] = []string{tag}
	}
	if r.public {
		op["security"] = []object{{}}
	}
	if list := r.parameters(); len(list) > 0 {
		op["parameters"] = list
	}
	if body := r.requestBody(); body != nil {
		op["requestBody"] = body
	}
	return op
}

func operationID(r route) string {
	words := strings.FieldsFunc(r.path, func(c rune) bool { return c == '/' || c == '{' || c == '}' || c == '.' })
	return strings.ToLower(r.method) + "-" + strings.Join(words, "-")
}

func (r route) parameters() []object {
	var list []object
	if _, rest, ok := strings.Cut(r.path, "{"); ok {
		name, _, _ := strings.Cut(rest, "}")
		list = append(list, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	header := func(name, text string, values ...string) {
		schema := object{"type": "string"}
		if len(values) > 0 {
			schema["enum"] = values
		}
		list = append(list, object{"name": name, "in": "header", "description": text, "schema": schema})
	}
	if r.doc.ttl {
		header(skydive.HeaderResourceTTL, "A Go duration such as 1h30m after which the resource is deleted")
	}
	for _, q := range r.doc.query {
		list = append(list, object{"name": q.name, "in": "query", "description": q.text, "schema": object{"type": "string"}})
	}
	if r.doc.websocket {
		header(skydive.HeaderClientType, "Required, here or as a query parameter in lower case: the kind of client")
		header(skydive.HeaderHostID, "Who connects; the remote address when absent")
		header(skydive.HeaderClientProtocol, "Encoding of messages", skydive.ProtocolJSON, skydive.ProtocolProtobuf)
		if r.doc.flows {
			header(skydive.HeaderNamespace, "Repeatable: flow, flow/ID for those of one capture, stats; flow and stats when absent")
			return list
		}
		header(skydive.HeaderNamespace, "Namespaces the server may send; all when absent or *")
		header(skydive.HeaderGremlinFilter, "A Gremlin expression that gives a graph")
		header(skydive.HeaderUpdatePolicy, "How updates are sent", skydive.UpdateFull, skydive.UpdatePartial)
		header(skydive.HeaderPersistencePolicy, "What becomes of what was published", skydive.Persistent, skydive.DeleteOnDisconnect)
	}
	return list
}

func (r route) requestBody() object {
	switch {
	case r.doc.form != nil:
		properties := object{}
		for _, name := range r.doc.form {
			properties[name] = object{"type": "string"}
		}
		return object{"content": object{skydive.ContentForm: object{"schema": object{"type": "object", "properties": properties}}}}
	case r.doc.body == "":
		return nil
	}
	content := object{"schema": object{"$ref": "#/components/schemas/" + r.doc.body}}
	types := object{skydive.ContentJSON: content}
	if r.doc.bodyType != "" {
		types = object{r.doc.bodyType: content, "application/octet-stream": content}
	}
	if r.doc.yaml {
		types[skydive.ContentYAML] = content
	}
	return object{"required": !r.doc.bodyOptional, "content": types}
}

func (r route) answers() object {
	answers := object{}
	text := object{"text/plain": object{"schema": object{"type": "string"}}}
	plain := func(status int, content object) {
		answer := object{"description": http.StatusText(status)}
		if content != nil {
			answer["content"] = content
		}
		answers[strconv.Itoa(status)] = answer
	}
	if !r.public {
		plain(http.StatusUnauthorized, text)
		if !r.doc.websocket && r.object != "" {
			plain(http.StatusMethodNotAllowed, text)
		}
	}
	for _, status := range r.doc.fails {
		content := text
		if status == http.StatusNotModified {
			content = nil
		}
		plain(status, content)
	}
	if r.doc.empty != 0 {
		plain(r.doc.empty, nil)
	}
	if r.doc.websocket {
		return answers
	}
	schema := object{"$ref": "#/components/schemas/" + r.doc.answer}
	content := object{skydive.ContentJSON: object{"schema": schema}}
	switch {
	case r.doc.answer == "":
		content = nil
	case r.doc.answer == "Text":
		content = text
	case r.doc.answerMap:
		content = object{skydive.ContentJSON: object{"schema": object{"type": "object", "additionalProperties": schema}}}
	case r.doc.graphviz:
		content[skydive.ContentGraphviz] = object{"schema": object{"type": "string"}}
	}
	if r.doc.pcap {
		content[skydive.ContentPcap] = object{"schema": object{"$ref": "#/components/schemas/Pcap"}}
	}
	if r.doc.empty == http.StatusAccepted {
		return answers
	}
	plain(http.StatusOK, content)
	return answers
}
