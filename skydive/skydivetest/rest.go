package skydivetest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// BadRequest is what the Python client raises for each answer outside 2xx.
type BadRequest struct {
	Status int
	Body   string
}

func (e *BadRequest) Error() string {
	return fmt.Sprintf("BadRequest(%q), status %d", e.Body, e.Status)
}

// KeyError is what the Python client raises when an object lacks a member that it needs.
type KeyError string

func (e KeyError) Error() string { return fmt.Sprintf("KeyError: '%s'", string(e)) }

// REST is the Python RESTClient.
type REST struct {
	Endpoint string // host:port
	Scheme   string // http when empty
	Username string // none: no login
	Password string
	HTTP     *http.Client // http.DefaultClient when nil

	cookie string // authtoken, after login
}

// Object is a JSON object as Python sees it.
type Object = map[string]any

// Login posts the form and keeps the cookie authtoken; false when the server set none.
func (r *REST) Login(ctx context.Context) (bool, error) {
	form := url.Values{"username": {r.Username}, "password": {r.Password}}.Encode()
	req, err := r.newRequest(ctx, http.MethodPost, "/login", []byte(form))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, body, err := r.do(req)
	if err != nil {
		return false, err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return false, &BadRequest{Status: res.StatusCode, Body: string(body)}
	}
	for _, c := range res.Cookies() {
		if c.Name == "authtoken" {
			r.cookie = c.Value
			return true, nil
		}
	}
	return false, nil
}

// Cookie gives "authtoken=…", as WSClient takes it, once logged in.
func (r *REST) Cookie() string {
	if r.cookie == "" {
		return ""
	}
	return "authtoken=" + r.cookie
}

// Request does one call. The result is what Python's json.loads gives when the answer is application/json (an answer
// to DELETE excepted), and []byte otherwise. data nil sends no body.
func (r *REST) Request(ctx context.Context, path, method string, data any) (any, error) {
	if r.Username != "" && r.cookie == "" {
		if _, err := r.Login(ctx); err != nil {
			return nil, err
		}
	}
	var body []byte
	if data != nil {
		body = PythonJSON(data)
	}
	req, err := r.newRequest(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if r.cookie != "" {
		req.Header.Set("Cookie", r.Cookie())
	}
	res, text, err := r.do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		r.cookie = "" // it logs in again next time
		return nil, &BadRequest{Status: res.StatusCode, Body: string(text)}
	}
	if method == http.MethodDelete {
		return text, nil
	}
	if kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return text, nil
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("JSONDecodeError: %w in %.200q", err, text)
	}
	return v, nil
}

func (r *REST) newRequest(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	scheme := r.Scheme
	if scheme == "" {
		scheme = "http"
	}
	var reader io.Reader
	if body != nil {
		reader = strings.NewReader(string(body))
	}
	req, err := http.NewRequestWithContext(ctx, method, scheme+"://"+r.Endpoint+path, reader)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "Python-urllib/3.11")
	req.Header.Set("Accept-Encoding", "identity")
	req.Close = true // urllib keeps no connection
	return req, nil
}

func (r *REST) do(req *http.Request) (*http.Response, []byte, error) {
	client := r.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return res, body, err
}

// Lookup posts a query and gives the list that it answers.
func (r *REST) Lookup(ctx context.Context, gremlin string) (any, error) {
	return r.Request(ctx, "/api/topology", http.MethodPost, Object{"GremlinQuery": gremlin})
}

// LookupNodes gives the nodes of a query; each must have ID and Host.
func (r *REST) LookupNodes(ctx context.Context, gremlin string) ([]Object, error) {
	return r.lookupObjects(ctx, gremlin, "ID", "Host")
}

// LookupEdges gives the edges of a query; each must have ID, Host, Parent and Child.
func (r *REST) LookupEdges(ctx context.Context, gremlin string) ([]Object, error) {
	return r.lookupObjects(ctx, gremlin, "ID", "Host", "Parent", "Child")
}

func (r *REST) lookupObjects(ctx context.Context, gremlin string, keys ...string) ([]Object, error) {
	v, err := r.Lookup(ctx, gremlin)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("TypeError: %T is not a list of objects", v)
	}
	objects := make([]Object, 0, len(list))
	for _, item := range list {
		o, err := fromObject(item, keys...)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// fromObject checks what the Python classes' from_object reads without a default.
func fromObject(v any, keys ...string) (Object, error) {
	o, ok := v.(Object)
	if !ok {
		return nil, fmt.Errorf("TypeError: %T is not an object", v)
	}
	for _, k := range keys {
		if _, ok := o[k]; !ok {
			return nil, KeyError(k)
		}
	}
	return o, nil
}

// required lists, for each resource, the members that the Python class reads without a default.
var required = map[string][]string{
	"node":         {"ID", "Host"},
	"edge":         {"ID", "Host", "Parent", "Child"},
	"capture":      {"UUID", "GremlinQuery"},
	"alert":        {"UUID", "Action", "Expression"},
	"noderule":     {"UUID", "Action", "Metadata"},
	"edgerule":     {"UUID", "Src", "Dst", "Metadata"},
	"injectpacket": {"UUID"},
}

// Create posts a resource ("node", "capture", …), as capture_create and its like do.
func (r *REST) Create(ctx context.Context, resource string, data Object) (Object, error) {
	v, err := r.Request(ctx, "/api/"+resource, http.MethodPost, data)
	if err != nil {
		return nil, err
	}
	return fromObject(v, required[resource]...)
}

// List gives the resources by id, as capture_list and its like do.
func (r *REST) List(ctx context.Context, resource string) (map[string]Object, error) {
	v, err := r.Request(ctx, "/api/"+resource, http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	all, ok := v.(Object)
	if !ok {
		return nil, fmt.Errorf("AttributeError: %T has no values()", v)
	}
	out := make(map[string]Object, len(all))
	for id, item := range all {
		if out[id], err = fromObject(item, required[resource]...); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Update sends a JSON patch, as node_update and edge_update do. A patch that changes nothing is a BadRequest with
// status 304 and no body.
func (r *REST) Update(ctx context.Context, resource, id string, patch []Object) (Object, error) {
	list := make([]any, len(patch))
	for i, p := range patch {
		list[i] = p
	}
	v, err := r.Request(ctx, "/api/"+resource+"/"+id, http.MethodPatch, list)
	if err != nil {
		return nil, err
	}
	return fromObject(v, required[resource]...)
}

// Delete removes a resource and gives the raw answer.
func (r *REST) Delete(ctx context.Context, resource, id string) ([]byte, error) {
	v, err := r.Request(ctx, "/api/"+resource+"/"+id, http.MethodDelete, nil)
	if err != nil {
		return nil, err
	}
	return v.([]byte), nil
}
