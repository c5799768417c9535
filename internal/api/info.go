package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weft-net/weft/skydive"
)

// info answers GET /api.
func (s *Server) info(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, r, skydive.APIInfo{Host: s.deps.Host, Version: s.deps.Version, Service: s.deps.Service})
}

// status answers GET /api/status: what the program says of itself, and the connections
// that this server knows better.
func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	merged := make(map[string]jsontext.Value)
	if s.deps.Status != nil {
		text, err := json.Marshal(s.deps.Status())
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		if err := json.Unmarshal(text, &merged); err != nil {
			return fmt.Errorf("status: %w", err)
		}
	}
	publishers, subscribers := s.sockets.status()
	for key, value := range map[string]any{"Publishers": publishers, "Subscribers": subscribers} {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		merged[key] = text
	}
	for key, empty := range emptyStatus {
		if _, there := merged[key]; !there {
			merged[key] = jsontext.Value(empty)
		}
	}
	return writeJSON(w, r, merged)
}

// emptyStatus is what Skydive's clients expect to find at least.
var emptyStatus = map[string]string{
	"Agents":   `{}`,
	"Peers":    `{"Incomers":{},"Outgoers":{}}`,
	"Alerts":   `{"IsMaster":true}`,
	"Captures": `{"IsMaster":true}`,
	"Probes":   `{}`,
}

// config answers GET /api/config/{key}. An unknown key gives "", as in Skydive, and a warning that names the nearest one.
func (s *Server) config(w http.ResponseWriter, r *http.Request) error {
	key := r.PathValue("key")
	if s.deps.Config != nil {
		if found, ok := s.deps.Config(key); ok {
			return writeJSON(w, r, found)
		}
	}
	text := fmt.Sprintf("unknown setting %q", key)
	if s.deps.Config != nil {
		tree, _ := s.deps.Config("")
		if near := nearestWord(key, settings("", tree)); near != "" {
			text += fmt.Sprintf(": did you mean %q?", near)
		}
	}
	w.Header().Add(skydive.HeaderWarning, headerText(text))
	return writeJSON(w, r, "")
}

// settings lists the dotted keys of a tree of settings, sorted.
func settings(prefix string, tree any) (keys []string) {
	below, is := tree.(map[string]any)
	if !is {
		return []string{strings.TrimSuffix(prefix, ".")}
	}
	for _, key := range slices.Sorted(maps.Keys(below)) {
		keys = append(keys, settings(prefix+key+".", below[key])...)
	}
	return keys
}

// health answers GET /healthz.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	_, err := fmt.Fprintln(w, "ok")
	return err
}

// ready answers GET /readyz.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) error {
	if err := s.commits.stalled(); err != nil {
		return failf(http.StatusServiceUnavailable, "not ready: %w", err)
	}
	if s.deps.Ready != nil {
		if err := s.deps.Ready(); err != nil {
			return failf(http.StatusServiceUnavailable, "not ready: %w", err)
		}
	}
	text := "ok"
	if s.deps.Notes != nil {
		for _, note := range s.deps.Notes() {
			text += ", " + note
		}
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// openAPI answers GET /api/openapi.json.
func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, err := w.Write(s.description)
	return err
}

// metricsText answers GET /metrics.
func (s *Server) metricsText(w http.ResponseWriter, r *http.Request) error {
	s.metrics.handler.ServeHTTP(w, r)
	return nil
}

const contentJSON = "application/json; charset=UTF-8"

// writeJSON answers with a value and a line feed, as Skydive's encoder does.
func writeJSON(w http.ResponseWriter, _ *http.Request, value any) error {
	text, err := json.Marshal(value, json.Deterministic(true), json.FormatNilSliceAsNull(true))
	if err != nil {
		return fmt.Errorf("JSON of the answer: %w", err)
	}
	w.Header().Set("Content-Type", contentJSON)
	_, err = w.Write(append(text, '\n'))
	return err
}

// jsonContentType is what to call an answer in JSON to a client that sent this Accept
// header: Skydive echoes it; where it leaves a choice, the answer says what it is.
func jsonContentType(accept string) string {
	accept = strings.TrimSpace(accept)
	switch {
	case accept == "", strings.Contains(accept, "*"), strings.Contains(accept, ","), strings.Contains(accept, "json"):
		return contentJSON
	}
	for _, c := range accept { // nothing that could break the header or a parser of it
		if c <= ' ' || c > '~' {
			return contentJSON
		}
	}
	return clip(accept) + "; charset=UTF-8"
}
