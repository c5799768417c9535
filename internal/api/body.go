package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"github.com/weft-net/weft/internal/graphjson"
)

// readBody reads the whole body; too large a one is a *http.MaxBytesError.
func readBody(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(r.Body)
	if err == nil {
		return data, nil
	}
	if bodyRefused(err) {
		return nil, err
	}
	return nil, failf(http.StatusBadRequest, "body: %w", err)
}

// readResource reads a body in JSON, or in YAML when Content-Type says so, and returns
// it as JSON that has been checked for depth, duplicates and encoding.
func (s *Server) readResource(r *http.Request) ([]byte, error) {
	data, err := readBody(r)
	if err != nil {
		return nil, err
	}
	if isYAML(r.Header.Get("Content-Type")) {
		if data, err = yamlToJSON(data); err != nil {
			return nil, err
		}
	}
	decoder := graphjson.Decoder{MaxDepth: s.limits.MaxDepth}
	if err := decoder.Valid(data); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return data, nil
}

func isYAML(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/yaml" || kind == "application/x-yaml" || kind == "text/yaml")
}

// maxYAML bounds a YAML body: aliases make its meaning larger than its text, and its
// parser is slower than that of JSON.
const maxYAML = 1 << 20

func yamlToJSON(data []byte) ([]byte, error) {
	if len(data) > maxYAML {
		return nil, failf(http.StatusRequestEntityTooLarge, "YAML body larger than %d bytes: send it as JSON", maxYAML)
	}
	var value any
	if err := yaml.Unmarshal(data, &value); err != nil {
		return nil, failf(http.StatusBadRequest, "malformed YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	text, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		return nil, failf(http.StatusBadRequest, "YAML without an equivalent in JSON: %w", err)
	}
	return text, nil
}

func formError(err error) error {
	if bodyRefused(err) {
		return err
	}
	return failf(http.StatusBadRequest, "malformed form: %w", err)
}

// bodyRefused says whether it was the server that broke a body off.
func bodyRefused(err error) bool {
	var (
		tooBig *http.MaxBytesError
		busy   *busyError
	)
	return errors.As(err, &tooBig) || errors.As(err, &busy)
}

// drainFor is how long a refused body is read on.
const drainFor = 2 * time.Second

// drain reads on of a body that was refused, for a while: many clients look for an answer
// only when they have sent everything.
func drain(control *http.ResponseController, body io.Reader, limit int64) {
	_ = control.SetReadDeadline(time.Now().Add(drainFor))
	_, _ = io.CopyN(io.Discard, body, 2*limit)
}
