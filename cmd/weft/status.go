package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weft-net/weft/skydive"
)

func newStatus(conn *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show who is connected to the analyzer, and how it is",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := conn.get(cmd.Context(), skydive.PathStatus, "")
			if err != nil {
				return fmt.Errorf("status: %w", err)
			}
			if asJSON {
				return conn.sh.printJSON(text)
			}
			info, err := conn.get(cmd.Context(), skydive.PathAPI, "")
			if err != nil {
				return fmt.Errorf("status: %w", err)
			}
			about, err := parseRecord(info)
			if err != nil {
				return fmt.Errorf("status: answer of the analyzer: %w", err)
			}
			status, err := parseRecord(text)
			if err != nil {
				return fmt.Errorf("status: answer of the analyzer: %w", err)
			}
			fmt.Fprintf(conn.sh.out, "%s %s on %s at %s\n", text1(about, "Service"), text1(about, "Version"), text1(about, "Host"), conn.address())
			return printStatus(conn.sh, status)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func text1(r record, key string) string { return printable(text(r.values[key])) }

// printStatus shows plain values first, one a line, then a table for each part whose
// entries are objects by name (Agents, Publishers, Probes, …). Parts without entries
// are one line, so that one sees at a glance who is not there.
func printStatus(sh *shell, status record) error {
	facts := newTable("Part", "State")
	var parts []string
	for _, key := range status.keys {
		v := status.values[key]
		if v.Kind() != '{' {
			facts.add(key, text(v))
			continue
		}
		inner, err := parseRecord(v)
		if err != nil {
			return fmt.Errorf("status: %s: %w", key, err)
		}
		switch {
		case len(inner.keys) == 0:
			facts.add(key, "none")
		case objectsByName(inner):
			parts = append(parts, key)
		default:
			addFields(facts, key+".", inner)
		}
	}
	fmt.Fprintln(sh.out)
	if err := facts.write(sh.out, sh.screen); err != nil {
		return err
	}
	for _, key := range parts {
		inner, err := parseRecord(status.values[key])
		if err != nil {
			return err
		}
		rows := make([]record, 0, len(inner.keys))
		for _, name := range inner.keys {
			row, err := parseRecord(inner.values[name])
			if err != nil {
				return fmt.Errorf("status: %s %s: %w", key, name, err)
			}
			row.keys = append([]string{key}, row.keys...)
			row.values[key] = quoted(name)
			rows = append(rows, row)
		}
		fmt.Fprintln(sh.out)
		if err := (resultPrinter{sh: sh}).objects(rows); err != nil {
			return err
		}
	}
	return nil
}

// objectsByName says whether all values are objects with plain values in them, which
// is a table, and not one object with objects in it, such as Peers.
func objectsByName(r record) bool {
	for _, v := range r.values {
		if v.Kind() != '{' {
			return false
		}
		inner, err := parseRecord(v)
		if err != nil {
			return false
		}
		plain := false
		for _, deep := range inner.values {
			plain = plain || deep.Kind() != '{'
		}
		if !plain {
			return false
		}
	}
	return true
}
