package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// record is a JSON object with its keys in the order they came.
type record struct {
	keys   []string
	values map[string]jsontext.Value
}

func parseRecord(v jsontext.Value) (record, error) {
	r := record{values: map[string]jsontext.Value{}}
	dec := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return r, errors.New("not an object")
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return r, err
		}
		key := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return r, err
		}
		if _, twice := r.values[key]; !twice {
			r.keys = append(r.keys, key)
		}
		r.values[key] = bytes.Clone(value)
	}
	return r, nil
}

// lookup follows a path such as "Metadata.Neighbors.IP"; through lists it collects
// what it finds in each.
func (r record) lookup(path string) (jsontext.Value, bool) {
	if v, ok := r.values[path]; ok {
		return v, true
	}
	for i := range path {
		if path[i] != '.' {
			continue
		}
		v, ok := r.values[path[:i]]
		if !ok {
			continue
		}
		return lookupIn(v, path[i+1:])
	}
	return nil, false
}

func lookupIn(v jsontext.Value, path string) (jsontext.Value, bool) {
	switch v.Kind() {
	case '{':
		inner, err := parseRecord(v)
		if err != nil {
			return nil, false
		}
		return inner.lookup(path)
	case '[':
		var items, found []jsontext.Value
		if json.Unmarshal(v, &items) != nil {
			return nil, false
		}
		for _, item := range items {
			if one, ok := lookupIn(item, path); ok {
				found = append(found, one)
			}
		}
		if len(found) == 0 {
			return nil, false
		}
		list, err := json.Marshal(found)
		return list, err == nil
	}
	return nil, false
}

// column gives a cell for an element: a field of its own (ID, Host, @Revision), or
// metadata.
func (r record) column(name string) string {
	if field, ok := strings.CutPrefix(name, "@"); ok {
		return text(r.values[field])
	}
	if v, ok := r.values[name]; ok {
		return text(v)
	}
	v, ok := r.lookup("Metadata." + strings.TrimPrefix(name, "Metadata."))
	if !ok {
		return ""
	}
	return text(v)
}

// text is a JSON value for people: texts bare, lists of plain values with commas.
func text(v jsontext.Value) string {
	switch v.Kind() {
	case 0, 'n':
		return ""
	case '"':
		s, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return string(v)
		}
		return string(s)
	case '[':
		var items []jsontext.Value
		if json.Unmarshal(v, &items) != nil {
			return string(v)
		}
		parts := make([]string, len(items))
		for i, item := range items {
			if k := item.Kind(); k == '{' || k == '[' {
				return string(v)
			}
			parts[i] = text(item)
		}
		return strings.Join(parts, ",")
	}
	return string(v)
}

// resultPrinter writes the answer of a query for people.
type resultPrinter struct {
	sh      *shell
	columns []string // of elements; empty: the usual ones
}

// Columns of elements when none are chosen.
func nodeColumns() []string { return []string{"ID", "Name", "Type", "Host", "State"} }
func edgeColumns() []string { return []string{"ID", "RelationType", "Parent", "Child", "Host"} }

// flowFields are the columns of flows: fields as queries name them. Link stands for flows that have no network layer.
func flowFields(records []record) []string {
	columns := []string{"UUID", "Application"}
	if slices.ContainsFunc(records, func(r record) bool { return !has(r, "Network") }) {
		columns = append(columns, "Link.A", "Link.B")
	}
	if slices.ContainsFunc(records, func(r record) bool { return has(r, "Network") }) {
		columns = append(columns, "Network.A", "Transport.A", "Network.B", "Transport.B")
	}
	return append(columns, "Metric.ABPackets", "Metric.ABBytes", "Metric.BAPackets", "Metric.BABytes", "Metric.RTT")
}

// print chooses by what came: numbers and texts a line each, elements and other
// objects as tables, the rest as JSON.
func (p resultPrinter) print(raw jsontext.Value) error {
	raw = bytes.TrimSpace(raw)
	if len(raw) > 0 && !raw.IsValid(jsontext.AllowDuplicateNames(true)) {
		return fmt.Errorf("answer of the analyzer is no JSON: is there another program at that address? It begins %s", quoted(cut(string(raw[:min(len(raw), 160)]), 40)))
	}
	switch raw.Kind() {
	case 0, 'n':
		return p.nothing()
	case '{':
		return p.list([]jsontext.Value{raw})
	case '[':
		var items []jsontext.Value
		if err := json.Unmarshal(raw, &items, jsontext.AllowDuplicateNames(true)); err != nil {
			return fmt.Errorf("answer of the analyzer: %w", err)
		}
		return p.list(items)
	}
	_, err := fmt.Fprintln(p.sh.out, printable(text(raw)))
	return err
}

func (p resultPrinter) nothing() error {
	p.sh.note("nothing found")
	return nil
}

func (p resultPrinter) list(items []jsontext.Value) error {
	if len(items) == 0 {
		return p.nothing()
	}
	if all(items, '[') {
		return p.paths(items)
	}
	if !all(items, '{') {
		for _, item := range items {
			if _, err := fmt.Fprintln(p.sh.out, printable(text(item))); err != nil {
				return err
			}
		}
		return nil
	}
	records := make([]record, len(items))
	for i, item := range items {
		r, err := parseRecord(item)
		if err != nil {
			return fmt.Errorf("answer of the analyzer: %w", err)
		}
		records[i] = r
	}
	return p.records(records)
}

func (p resultPrinter) records(records []record) error {
	switch first := records[0]; {
	case has(first, "Nodes", "Edges") && len(records) == 1:
		return p.graph(first)
	case has(first, "ID", "Metadata", "Parent"):
		return p.elements(records, edgeColumns())
	case has(first, "ID", "Metadata"):
		return p.elements(records, nodeColumns())
	case has(first, "UUID", "LayersPath", "TrackingID") && len(p.columns) == 0:
		p.columns = flowFields(records)
	}
	if keyed, ok := byElement(records); ok {
		return p.objects(keyed)
	}
	return p.objects(records)
}

func (p resultPrinter) graph(g record) error {
	var nodes, edges []jsontext.Value
	if err := errors.Join(json.Unmarshal(g.values["Nodes"], &nodes), json.Unmarshal(g.values["Edges"], &edges)); err != nil {
		return fmt.Errorf("answer of the analyzer: %w", err)
	}
	if len(nodes)+len(edges) == 0 {
		return p.nothing()
	}
	if len(nodes) > 0 {
		if err := p.list(nodes); err != nil {
			return err
		}
	}
	if len(edges) == 0 {
		return nil
	}
	if len(nodes) > 0 {
		fmt.Fprintln(p.sh.out)
	}
	p.columns = nil // those that were chosen are of nodes
	return p.list(edges)
}

// paths are lists of elements, one table each.
func (p resultPrinter) paths(items []jsontext.Value) error {
	for i, item := range items {
		if i > 0 {
			fmt.Fprintln(p.sh.out)
		}
		if err := p.print(item); err != nil {
			return err
		}
	}
	return nil
}

func (p resultPrinter) elements(records []record, columns []string) error {
	chosen := len(p.columns) > 0
	if chosen {
		columns = p.columns
	}
	cells := make([][]string, len(records))
	used := make([]bool, len(columns))
	for i, r := range records {
		cells[i] = make([]string, len(columns))
		for j, name := range columns {
			cells[i][j] = r.column(name)
			used[j] = used[j] || cells[i][j] != ""
		}
	}
	t := new(table)
	for j, name := range columns {
		if chosen || used[j] || j == 0 {
			t.header = append(t.header, name)
		}
	}
	for _, row := range cells {
		var kept []string
		for j, cell := range row {
			if chosen || used[j] || j == 0 {
				kept = append(kept, cell)
			}
		}
		t.add(kept...)
	}
	return t.write(p.sh.out, p.sh.screen)
}

// byElement turns the answers of Metrics, NextHop and Sockets, an object keyed by
// element with a list or an object below each, into one row each value.
func byElement(records []record) ([]record, bool) {
	var rows []record
	for _, r := range records {
		for _, id := range r.keys {
			values := []jsontext.Value{r.values[id]}
			if r.values[id].Kind() == '[' && json.Unmarshal(r.values[id], &values) != nil {
				return nil, false
			}
			for _, v := range values {
				if v.Kind() != '{' {
					return nil, false
				}
				row, err := parseRecord(v)
				if err != nil {
					return nil, false
				}
				row.keys = append([]string{"Element"}, row.keys...)
				row.values["Element"] = quoted(id)
				rows = append(rows, row)
			}
		}
	}
	return rows, len(rows) > 0
}

// objects is a table with a column for each key that occurs, in order of occurrence
// when they agree on it, else by name.
func (p resultPrinter) objects(records []record) error {
	columns := p.columns
	if len(columns) == 0 {
		columns = slices.Clone(records[0].keys)
		var more []string
		for _, r := range records {
			for _, key := range r.keys {
				if !slices.Contains(columns, key) && !slices.Contains(more, key) {
					more = append(more, key)
				}
			}
		}
		sort.Strings(more)
		columns = append(columns, more...)
	}
	t := newTable(columns...)
	for _, r := range records {
		row := make([]string, len(columns))
		for i, name := range columns {
			v, _ := r.lookup(name)
			row[i] = text(v)
		}
		t.add(row...)
	}
	return t.write(p.sh.out, p.sh.screen)
}

func all(items []jsontext.Value, kind jsontext.Kind) bool {
	for _, item := range items {
		if item.Kind() != kind {
			return false
		}
	}
	return true
}

func has(r record, keys ...string) bool {
	for _, key := range keys {
		if _, ok := r.values[key]; !ok {
			return false
		}
	}
	return true
}

// quoted is a text as JSON; what is not UTF-8 in it is replaced.
func quoted(s string) jsontext.Value {
	v, _ := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	return v
}
