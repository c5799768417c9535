package config

import (
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// WriteYAML writes the settings as a file that [Load] reads, secrets hidden, each
// under its description. With docs false it writes the bare keys.
func (c Config) WriteYAML(w io.Writer, docs bool) error {
	var out strings.Builder
	var section []string
	for f := range c.Fields() {
		parts := strings.Split(f.Key, ".")
		depth := len(parts) - 1
		for i := range depth {
			if i < len(section) && section[i] == parts[i] {
				continue
			}
			if docs {
				out.WriteString("\n")
			}
			fmt.Fprintf(&out, "%s%s:\n", strings.Repeat("  ", i), parts[i])
			section = append(section[:i:i], parts[i])
		}
		section = section[:depth]
		indent := strings.Repeat("  ", depth)
		if docs {
			fmt.Fprintf(&out, "%s# %s\n", indent, f.Doc)
		}
		value, err := flowYAML(f.Value())
		if err != nil {
			return fmt.Errorf("setting %s: %w", f.Key, err)
		}
		fmt.Fprintf(&out, "%s%s: %s\n", indent, parts[depth], value)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// flowYAML is a value on one line.
func flowYAML(v any) (string, error) {
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		return "", err
	}
	n.Style = yaml.FlowStyle
	if n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	data, err := yaml.Marshal(&n)
	return strings.TrimSpace(string(data)), err
}
