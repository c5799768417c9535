package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/weft-net/weft/skydive"
)

// resource describes one kind of thing that the REST API keeps. The commands of all
// kinds come from these descriptions.
type resource struct {
	name, title string
	path        string
	id          string // the field that identifies it
	columns     []string
	fields      []resourceField
	short       string
	example     string
}

// resourceField is a field of the resource that create has a flag for.
type resourceField struct {
	flag, field, usage string
	metadata           bool // the field is a metadata key
	required           bool
}

func resources() []resource {
	return []resource{
		{
			name: "node", title: "node", path: skydive.PathNode, id: "ID",
			columns: []string{"ID", "Name", "Type", "Host", "Origin"},
			fields: []resourceField{
				{flag: "id", field: "ID", usage: "id of the node (default: a new UUID)"},
				{flag: "name", field: skydive.KeyName, usage: "its name", metadata: true, required: true},
				{flag: "type", field: skydive.KeyType, usage: "its type, such as host or device", metadata: true, required: true},
				{flag: "node-host", field: "Host", usage: "host that it belongs to"},
			},
			short:   "Show, create and delete nodes",
			example: "  weft node create --name rack7 --type rack --metadata Row=4",
		},
		{
			name: "edge", title: "edge", path: skydive.PathEdge, id: "ID",
			columns: []string{"ID", "RelationType", "Parent", "Child", "Host"},
			fields: []resourceField{
				{flag: "id", field: "ID", usage: "id of the edge (default: a new UUID)"},
				{flag: "parent", field: "Parent", usage: "id of the parent node", required: true},
				{flag: "child", field: "Child", usage: "id of the child node", required: true},
				{flag: "relation", field: skydive.KeyRelationType, usage: "relation, such as layer2 or ownership", metadata: true, required: true},
				{flag: "edge-host", field: "Host", usage: "host that it belongs to"},
			},
			short:   "Show, create and delete edges",
			example: "  weft edge create --parent $RACK --child $HOST --relation ownership",
		},
		{
			name: "noderule", title: "node rule", path: skydive.PathNodeRule, id: "UUID",
			columns: []string{"UUID", "Name", "Action", "Query", "Metadata", "Description"},
			fields: []resourceField{
				{flag: "name", field: "Name", usage: "what people call it"},
				{flag: "description", field: "Description", usage: "what it is for"},
				{flag: "action", field: "Action", usage: "create a node, or update the metadata of those that the query gives", required: true},
				{flag: "query", field: "Query", usage: "Gremlin that gives the nodes to update"},
			},
			short:   "Manage rules that create nodes or write metadata on them",
			example: `  weft noderule create --action update --query "G.V().Has('Name','eth0')" --metadata Uplink=true`,
		},
		{
			name: "edgerule", title: "edge rule", path: skydive.PathEdgeRule, id: "UUID",
			columns: []string{"UUID", "Name", "Src", "Dst", "Metadata", "Description"},
			fields: []resourceField{
				{flag: "name", field: "Name", usage: "what people call it"},
				{flag: "description", field: "Description", usage: "what it is for"},
				{flag: "src", field: "Src", usage: "Gremlin that gives the parents", required: true},
				{flag: "dst", field: "Dst", usage: "Gremlin that gives the children", required: true},
				{flag: "relation", field: skydive.KeyRelationType, usage: "relation, such as layer2 or ownership", metadata: true},
			},
			short:   "Manage rules that keep edges between the nodes of two queries",
			example: `  weft edgerule create --src "G.V().Has('Name','eth0')" --dst "G.V().Has('Name','leaf1')" --relation layer2`,
		},
	}
}

// one is the title with its article.
func (r resource) one() string {
	if strings.HasPrefix(r.title, "e") {
		return "an " + r.title
	}
	return "a " + r.title
}

func newResources(conn *connection) []*cobra.Command {
	var commands []*cobra.Command
	for _, r := range resources() {
		group := groupCommand(r.name, r.short)
		group.AddCommand(r.list(conn), r.get(conn), r.create(conn), r.delete(conn))
		commands = append(commands, group)
	}
	return commands
}

func (r resource) list(conn *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List every " + r.title,
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := conn.get(cmd.Context(), r.path, "")
			if err != nil {
				return err
			}
			if asJSON {
				return conn.sh.printJSON(text)
			}
			byID, err := parseRecord(text)
			if err != nil {
				return fmt.Errorf("list of %ss: %w", r.title, err)
			}
			p := resultPrinter{sh: conn.sh, columns: r.columns}
			if len(byID.keys) == 0 {
				return p.nothing()
			}
			slices.Sort(byID.keys)
			records := make([]record, 0, len(byID.keys))
			for _, id := range byID.keys {
				one, err := parseRecord(byID.values[id])
				if err != nil {
					return fmt.Errorf("%s %s: %w", r.title, id, err)
				}
				records = append(records, one)
			}
			return p.elements(records, nil)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: an object by id")
	return cmd
}

func (r resource) get(conn *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Show one " + r.title,
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := conn.get(cmd.Context(), r.path, args[0])
			if err != nil {
				return naming(args[0], err)
			}
			if asJSON {
				return conn.sh.printJSON(text)
			}
			one, err := parseRecord(text)
			if err != nil {
				return fmt.Errorf("%s %s: %w", r.title, args[0], err)
			}
			t := newTable("Field", "Value")
			addFields(t, "", one)
			return t.write(conn.sh.out, conn.sh.screen)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// momentText shows milliseconds since the epoch, as CreatedAt has them, as a time.
func momentText(ms string) string {
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return ms
	}
	return time.UnixMilli(n).UTC().Format("2006-01-02T15:04:05.000Z")
}

// naming puts the id before an error that does not have it.
func naming(id string, err error) error {
	if strings.Contains(err.Error(), id) {
		return err
	}
	return fmt.Errorf("%s: %w", id, err)
}

// addFields gives a row for each field, with the path of those inside of others.
func addFields(t *table, prefix string, r record) {
	for _, key := range r.keys {
		v := r.values[key]
		if v.Kind() == '{' {
			if inner, err := parseRecord(v); err == nil && len(inner.keys) > 0 {
				addFields(t, prefix+key+".", inner)
				continue
			}
		}
		value := text(v)
		if prefix == "" && strings.HasSuffix(key, "edAt") {
			value = momentText(value)
		}
		t.add(prefix+key, value)
	}
}

func (r resource) delete(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "delete ID…",
		Short: "Delete one " + r.title + " or several",
		Args:  rangeArgs(1, 1000),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, id := range args {
				if err := conn.delete(cmd.Context(), r.path, id); err != nil {
					errs = append(errs, naming(id, err))
				}
			}
			return errors.Join(errs...)
		},
	}
}

// maxResource bounds the file of a resource.
const maxResource = 16 << 20

func (r resource) create(conn *connection) *cobra.Command {
	var asJSON bool
	var file string
	var ttl time.Duration
	var metadata []string
	cmd := &cobra.Command{
		Use:     "create",
		Short:   "Create " + r.one() + " and print its id",
		Example: r.example,
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			body := map[string]any{}
			if file != "" {
				var err error
				if body, err = conn.sh.readResource(file); err != nil {
					return err
				}
			}
			if ttl < 0 {
				return usagef("--ttl %s is in the past", ttl)
			}
			if err := r.fill(cmd, body, metadata); err != nil {
				return err
			}
			return r.post(cmd.Context(), conn, body, ttl, asJSON)
		},
	}
	for _, f := range r.fields {
		cmd.Flags().String(f.flag, "", f.usage)
	}
	cmd.Flags().StringArrayVar(&metadata, "metadata", nil, "KEY=VALUE, any number of times; KEY may be a path (A.B), VALUE is JSON where it can be, else text")
	cmd.Flags().StringVar(&file, "file", "", "JSON or YAML file of the whole, '-' for standard input; flags go over it")
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "delete it after this time, such as 10m (0: keep it)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the whole as JSON, not the id only")
	return cmd
}

// fill puts what the flags say over the body, and names what is missing.
func (r resource) fill(cmd *cobra.Command, body map[string]any, metadata []string) error {
	meta, _ := body["Metadata"].(map[string]any)
	if body["Metadata"] != nil && meta == nil {
		return usagef("Metadata is not an object in the file")
	}
	if meta == nil {
		meta = map[string]any{}
	}
	for _, kv := range metadata {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" {
			return usagef("--metadata %q: write it as KEY=VALUE", kv)
		}
		if err := setPath(meta, key, flagValue(value)); err != nil {
			return err
		}
	}
	var missing []string
	for _, f := range r.fields {
		target := body
		if f.metadata {
			target = meta
		}
		if flag := cmd.Flags().Lookup(f.flag); flag.Changed {
			target[f.field] = flag.Value.String()
		}
		if f.required && (target[f.field] == nil || target[f.field] == "") {
			missing = append(missing, "--"+f.flag)
		}
	}
	if len(missing) > 0 {
		return usagef("%s missing: %s needs it", strings.Join(missing, ", "), r.one())
	}
	body["Metadata"] = meta
	if r.id == "ID" && (body["ID"] == nil || body["ID"] == "") {
		body["ID"] = uuid.NewString()
	}
	return nil
}

// flagValue takes JSON for what it is and everything else as text.
func flagValue(text string) any {
	var v any
	if json.Unmarshal([]byte(text), &v) == nil {
		return v
	}
	return text
}

// setPath sets "A.B" in nested objects.
func setPath(m map[string]any, path string, v any) error {
	key, rest, nested := strings.Cut(path, ".")
	if !nested {
		m[key] = v
		return nil
	}
	inner, ok := m[key].(map[string]any)
	if !ok {
		if _, taken := m[key]; taken {
			return usagef("--metadata %s: %s is a value already, not an object", path, key)
		}
		inner = map[string]any{}
		m[key] = inner
	}
	return setPath(inner, rest, v)
}

func (r resource) post(ctx context.Context, conn *connection, body map[string]any, ttl time.Duration, asJSON bool) error {
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("%s: %w", r.title, err)
	}
	answer, err := conn.create(ctx, r.path, text, ttl)
	if err != nil {
		return err
	}
	if asJSON {
		return conn.sh.printJSON(answer)
	}
	made, err := parseRecord(answer)
	if err != nil {
		return fmt.Errorf("answer of the analyzer: %w", err)
	}
	_, err = fmt.Fprintln(conn.sh.out, printable(made.column("@"+r.id)))
	return err
}

// readResource reads one object of JSON or YAML (of which JSON is a part).
func (sh *shell) readResource(file string) (map[string]any, error) {
	in, _, err := sh.openInput(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxResource+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(data) > maxResource {
		return nil, usagef("%s: over %d bytes", file, maxResource)
	}
	body := map[string]any{}
	if jsontext.Value(bytes.TrimSpace(data)).IsValid() {
		err = json.Unmarshal(data, &body)
	} else {
		err = yaml.Unmarshal(data, &body)
	}
	if err != nil {
		return nil, usagef("%s: one object of JSON or YAML is needed: %w", file, err)
	}
	if body == nil {
		body = map[string]any{}
	}
	return body, nil
}

// printJSON writes JSON that came from the analyzer, indented for people on a
// terminal and as it came for programs.
func (sh *shell) printJSON(text jsontext.Value) error {
	text = bytes.TrimSpace(text)
	if sh.screen.terminal {
		if err := text.Indent(jsontext.WithIndent("  ")); err != nil {
			return fmt.Errorf("answer of the analyzer: %w", err)
		}
	}
	_, err := sh.out.Write(append(text[:len(text):len(text)], '\n'))
	return err
}
