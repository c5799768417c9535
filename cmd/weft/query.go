package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/skydive"
)

// maxQueryText bounds a query read from standard input.
const maxQueryText = 1 << 20

func newQuery(conn *connection) *cobra.Command {
	var format, columns string
	var asJSON, explain bool
	cmd := &cobra.Command{
		Use:   "query EXPR",
		Short: "Ask the graph in Gremlin",
		Long: `Asks the graph in Gremlin and prints the answer: a table for people, JSON for programs.
EXPR is one argument (quote it); '-' reads it from standard input.`,
		Example: `  weft query "G.V().Has('Type','netns')"
  weft query "G.V().Has('Name','eth0')" --columns Name,MTU,IPV4
  weft query "G.At('-5m').V().Has('Name','eth0').In()" --json
  weft query "G.V().Has('Type','host').Out().Count()" --explain
  weft query "G.Flows().Has('Network','10.0.0.1').RawPackets()" --format pcap > some.pcap`,
		Args:              rangeArgs(1, 1),
		ValidArgsFunction: completeGremlin,
		RunE: func(cmd *cobra.Command, args []string) error {
			expr, err := conn.sh.queryText(args[0])
			if err != nil {
				return err
			}
			if asJSON && format != "" && format != "json" {
				return usagef("--json and --format %s: give one of them", format)
			}
			if asJSON {
				format = "json"
			}
			if format == "dot" && explain {
				return usagef("--explain with --format dot: a plan is shown as table or json")
			}
			var chosen []string
			if columns != "" {
				chosen = strings.Split(columns, ",")
			}
			q := queryCommand{conn: conn, expr: expr, columns: chosen}
			switch format {
			case "", "table":
				if explain {
					return q.explain(cmd, false)
				}
				return q.table(cmd)
			case "json":
				if explain {
					return q.explain(cmd, true)
				}
				return q.raw(cmd, skydive.ContentJSON)
			case "dot":
				return q.raw(cmd, skydive.ContentGraphviz)
			case "pcap":
				if explain {
					return usagef("--explain with --format pcap: a plan is shown as table or json")
				}
				if conn.sh.screen.terminal {
					return usagef("--format pcap writes bytes that are not for a terminal: redirect it to a file, or pipe it into tshark -r -")
				}
				return q.raw(cmd, skydive.ContentPcap)
			}
			return usagef("--format %s: write json, dot, pcap or table", format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "table (default), json, dot (graphs only: end the query with SubGraph()), or pcap (end it with RawPackets())")
	cmd.Flags().BoolVar(&asJSON, "json", false, "short for --format json")
	cmd.Flags().BoolVar(&explain, "explain", false, "print how the query was answered: the steps with rows and time each")
	cmd.Flags().StringVar(&columns, "columns", "", "columns of the table: metadata keys, or ID, Host, @Revision, … with commas between")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "json", "dot", "pcap"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// queryText is the argument, or standard input for "-".
func (sh *shell) queryText(arg string) (string, error) {
	text := arg
	if arg == "-" {
		data, err := io.ReadAll(io.LimitReader(sh.in, maxQueryText+1))
		if err != nil {
			return "", fmt.Errorf("query from standard input: %w", err)
		}
		if len(data) > maxQueryText {
			return "", usagef("query from standard input: over %d bytes", maxQueryText)
		}
		text = string(data)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", usagef("empty query: write one such as G.V().Has('Type','host')")
	}
	return text, nil
}

type queryCommand struct {
	conn    *connection
	expr    string
	columns []string
}

func (q queryCommand) table(cmd *cobra.Command) error {
	answer, err := q.conn.query(cmd.Context(), q.expr)
	if err != nil {
		return err
	}
	return errors.Join(resultPrinter{sh: q.conn.sh, columns: q.columns}.print(answer), q.conn.whole())
}

// raw copies the answer as it comes.
func (q queryCommand) raw(cmd *cobra.Command, accept string) error {
	n, err := q.conn.queryTo(cmd.Context(), q.conn.sh.out, q.expr, accept)
	if err == nil && accept == skydive.ContentPcap && n <= emptyPcap {
		q.conn.sh.note("%s: no packets: the flows keep none (see 'weft capture create --raw-packets'), or have ended: ask for a while ago, as in G.At(NOW, \"5m\").Flows()", cmd.CommandPath())
	}
	return errors.Join(err, q.conn.whole())
}

// emptyPcap is how many bytes a capture file without a packet has: those of its header.
const emptyPcap = 24

func (q queryCommand) explain(cmd *cobra.Command, asJSON bool) error {
	plan, err := q.conn.explain(cmd.Context(), q.expr)
	if err != nil {
		return err
	}
	if asJSON {
		return errors.Join(q.conn.sh.writeJSON(plan), q.conn.whole())
	}
	return errors.Join(printPlan(q.conn.sh, plan), q.conn.whole())
}

func printPlan(sh *shell, plan gremlin.Explanation) error {
	t := newTable("Step", "Gives", "Found by", "Estimate", "Rows in", "Rows out", "Time")
	for _, s := range plan.Steps {
		estimate := ""
		if s.Index != "" && s.Index != "scan" {
			estimate = fmt.Sprint(s.Estimate)
		}
		t.add(s.Text, s.Kind, s.Index, estimate, fmt.Sprint(s.RowsIn), fmt.Sprint(s.RowsOut), took(time.Duration(s.Ns)))
	}
	if err := t.write(sh.out, sh.screen); err != nil {
		return err
	}
	_, err := fmt.Fprintf(sh.out, "\n%d rows in %s\n", plan.Rows, took(plan.Total()))
	return err
}

// took is a duration with three digits, which is all that a single run can say.
func took(d time.Duration) string {
	switch {
	case d >= time.Second:
		d = d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		d = d.Round(10 * time.Microsecond)
	case d >= time.Microsecond:
		d = d.Round(10 * time.Nanosecond)
	}
	return d.String()
}

// completeGremlin offers the steps that may follow the last dot.
func completeGremlin(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	const still = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	dot := strings.LastIndexByte(typed, '.')
	if dot < 0 {
		return []string{"G"}, still
	}
	before, word := typed[:dot+1], strings.ToLower(typed[dot+1:])
	if strings.ContainsAny(word, "('\"") {
		return nil, still
	}
	var offers []string
	for _, name := range gremlin.StepNames() {
		if name != "G" && strings.HasPrefix(strings.ToLower(name), word) {
			offers = append(offers, before+name+"(")
		}
	}
	return offers, still
}
