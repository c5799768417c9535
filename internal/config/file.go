package config

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fieldsOf gives the fields of *c so that set writes into it.
func fieldsOf(c *Config) iter.Seq[Field] {
	return func(yield func(Field) bool) { walk(reflect.ValueOf(c).Elem(), "", yield) }
}

// checkFile finds the line of each setting in a YAML file, and refuses keys that
// are none. koanf merges values but forgets where they stood.
func checkFile(path string, data []byte, known map[string]Field) (map[string]int, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	places := map[string]int{}
	if len(doc.Content) == 0 {
		return places, nil // empty, or comments only
	}
	c := fileCheck{path: path, known: known, places: places}
	for key := range known {
		for i, r := range key {
			if r == '.' {
				c.sections = append(c.sections, key[:i])
			}
		}
	}
	c.mapping(doc.Content[0], "")
	return places, errors.Join(c.errs...)
}

type fileCheck struct {
	path     string
	known    map[string]Field
	sections []string
	places   map[string]int
	errs     []error
}

func (c *fileCheck) fail(line int, key, format string, args ...any) {
	c.errs = append(c.errs, &Error{Key: key, From: fmt.Sprintf("%s line %d", c.path, line), Err: fmt.Errorf(format, args...)})
}

func (c *fileCheck) mapping(n *yaml.Node, prefix string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // "graph:" with nothing below it
	}
	if n.Kind != yaml.MappingNode {
		c.fail(n.Line, strings.TrimSuffix(prefix, "."), "settings expected below it, as in 'key: value'")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := prefix + name.Value
		if _, ok := c.known[key]; ok {
			c.places[key] = name.Line
			continue
		}
		if c.isSection(key) {
			c.mapping(value, key+".")
			continue
		}
		c.fail(name.Line, key, "unknown setting; the nearest known one is %s", c.nearest(key))
	}
}

func (c *fileCheck) isSection(key string) bool {
	for _, s := range c.sections {
		if s == key {
			return true
		}
	}
	return false
}

func (c *fileCheck) nearest(key string) string {
	names := append([]string(nil), c.sections...)
	for name := range c.known {
		names = append(names, name)
	}
	return nearest(key, names)
}

// nearest gives the name with the smallest edit distance to what was written;
// of equals the first in the alphabet.
func nearest(to string, names []string) string {
	best, bestDistance := "", -1
	for _, name := range names {
		d := distance(to, name)
		if bestDistance < 0 || d < bestDistance || d == bestDistance && name < best {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance is Levenshtein's, with "-", "_" and letter case taken as equal.
func distance(a, b string) int {
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "-") }
	a, b = fold(a), fold(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(diagonal+cost, row[j]+1, row[j+1]+1)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
