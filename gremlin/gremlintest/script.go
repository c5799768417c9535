package gremlintest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/weft-net/weft/graph"
)

// Start is the time at which the clock of every script starts.
var Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Script is a parsed script.
type Script struct {
	Name     string
	commands []command
}

// command is one line that is not indented, with what belongs to it.
type command struct {
	line int
	verb string // load, at, eval, options
	rest string
	body []bodyLine
}

type bodyLine struct {
	line int
	text string
}

// Load reads the scripts (*.script) of a folder and all below it, in the order of their names.
func Load(fsys fs.FS) ([]*Script, error) {
	var names []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path.Ext(name) == ".script" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("scripts: %w", err)
	}
	slices.Sort(names)
	var scripts []*Script
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("script: %w", err)
		}
		s, err := Parse(name, string(data))
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, s)
	}
	return scripts, nil
}

// Parse reads one script.
func Parse(name, text string) (*Script, error) {
	s := &Script{Name: name}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), " \t\r")
		body := strings.TrimLeft(line, " \t")
		switch {
		case body == "" || strings.HasPrefix(body, "#"):
		case body != line:
			if len(s.commands) == 0 {
				return nil, fmt.Errorf("%s:%d: indented line before any command", name, n)
			}
			last := &s.commands[len(s.commands)-1]
			last.body = append(last.body, bodyLine{n, body})
		default:
			verb, rest, _ := strings.Cut(line, " ")
			switch verb {
			case "load", "at", "eval", "options":
			default:
				return nil, fmt.Errorf("%s:%d: unknown command %q: expected load, at, eval or options", name, n, verb)
			}
			s.commands = append(s.commands, command{line: n, verb: verb, rest: strings.TrimSpace(rest)})
		}
	}
	return s, lines.Err()
}

// Queries lists the questions of the scripts, as seeds for fuzzing.
func Queries(scripts []*Script) []string {
	var queries []string
	for _, s := range scripts {
		for _, c := range s.commands {
			if c.verb == "eval" {
				queries = append(queries, c.rest)
			}
		}
	}
	return queries
}

// split cuts a line at spaces that are not within quotes or brackets.
func split(line string) []string {
	var words []string
	depth, quoted, start := 0, false, -1
	for i := 0; i < len(line); i++ {
		c := line[i]
		if start < 0 && c != ' ' {
			start = i
		}
		switch {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ' ' && depth == 0 && start >= 0:
			words = append(words, line[start:i])
			start = -1
		}
	}
	if start >= 0 {
		words = append(words, line[start:])
	}
	return words
}

// field is one key=value of a line.
type field struct {
	key   string
	value graph.Value
}

func parseFields(words []string) ([]field, error) {
	var fields []field
	for _, word := range words {
		key, text, ok := strings.Cut(word, "=")
		if !ok {
			return nil, fmt.Errorf("%q: expected key=value", word)
		}
		value, err := parseValue(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", word, err)
		}
		fields = append(fields, field{key, value})
	}
	return fields, nil
}

// parseValue reads JSON, or takes the text as it is.
func parseValue(text string) (graph.Value, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err == nil && !d.More() {
		return toValue(v)
	}
	return graph.String(text), nil
}

// toValue turns decoded JSON into a value, with whole numbers kept exact.
func toValue(v any) (graph.Value, error) {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return graph.Int(n), nil
		}
		f, err := v.Float64()
		return graph.Float(f), err
	case []any:
		values := make([]graph.Value, len(v))
		for i, e := range v {
			var err error
			if values[i], err = toValue(e); err != nil {
				return graph.Value{}, err
			}
		}
		return graph.List(values...), nil
	case map[string]any:
		fields := make([]graph.Field, 0, len(v))
		for key, e := range v {
			value, err := toValue(e)
			if err != nil {
				return graph.Value{}, err
			}
			fields = append(fields, graph.F(key, value))
		}
		return graph.Object(graph.NewMetadata(fields...)), nil
	}
	return graph.ValueOf(v)
}

// clockTime reads a duration since the start of the clock.
func clockTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q: expected a time since the start of the clock, such as 10s", text)
	}
	return d, nil
}
