package main

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/gremlin"
)

func newFlows(conn *connection) *cobra.Command {
	var (
		file   flowsFileOptions
		asJSON bool
		follow bool
		limit  int
	)
	known := newFlowNames()
	cmd := &cobra.Command{
		Use:   "flows [FILTER…|FILE…]",
		Short: "Show flows: those of now, as they come, or those in capture files",
		Long: `Shows the flows that captures count now; with --follow every report of a flow as it comes,
until it is interrupted. FILTER is any number of terms, all of which have to hold:

  KEY=VALUE  KEY!=VALUE  KEY>N  KEY>=N  KEY<N  KEY<=N  KEY~REGEX

KEY is a field of a flow, as below; ip, mac and port match either end, and app, capture, node,
uuid, bytes and packets are short for the fields they name. ip takes networks too (ip=10.0.0.0/8).
A term that begins with a dot is appended as Gremlin (".Sort('Metric.ABBytes').Limit(5)").

An argument that is a file, ends in .pcap or .pcapng (.gz, .zst), or is '-' is a capture file:
its packets are turned into flows here, without an analyzer.

Fields, for terms and --columns:
` + known.list(),
		Example: `  weft flows ip=10.0.0.1 port=443
  weft flows app=DNS "Metric.ABBytes>1000" ".Sort(DESC, 'Metric.ABBytes').Limit(10)"
  weft flows --follow capture=$(weft capture create "G.V().Has('Name','eth0')")
  weft flows trace.pcap.zst --filter "tcp port 443" --format csv
  weft flows trace.pcapng --defragment --extra-layers dns --json
  weft flows trace.pcapng --columns Network.A,Network.B,TCPMetric.BASegmentOutOfOrder`,
		Args: rangeArgs(0, 1000),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON {
				if file.format != "" && file.format != "json" {
					return usagef("--json and --format %s: give one of them", file.format)
				}
				file.format = "json"
			}
			if limit < 0 {
				return usagef("--limit %d: give a number from 1 on", limit)
			}
			files := 0
			for _, arg := range args {
				if isCaptureFile(arg) {
					files++
				}
			}
			switch {
			case files > 0 && files < len(args):
				return usagef("files and filters together: filter the packets of files with --filter")
			case files > 0 && (follow || limit > 0):
				return usagef("--follow and --limit are for flows of an analyzer, not for files")
			case files > 0:
				return runFlowsFile(cmd, conn.sh, args, file)
			case file.filter != "" || file.maxFlows != 0:
				return usagef("--filter and --max-flows are for capture files: write terms such as port=443 for flows of an analyzer")
			}
			if file.decode.asked() {
				return usagef("--defragment, --reassemble, --extra-layers and --application are for capture files: give the first three to 'weft capture create', and names of ports to the setting flow.application-ports")
			}
			terms, tail, err := parseTerms(args)
			if err != nil {
				return err
			}
			f := flowsCommand{
				conn: conn, rows: flowRows{format: file.format, columns: file.columns, nodes: true}, terms: terms, tail: tail, limit: limit,
			}
			if follow {
				return f.follow(cmd)
			}
			return f.query(cmd)
		},
	}
	cmd.Flags().StringVar(&file.format, "format", "", "table (default), json (a flow a line) or csv")
	cmd.Flags().BoolVar(&asJSON, "json", false, "short for --format json")
	cmd.Flags().StringSliceVar(&file.columns, "columns", nil, "columns of table and csv: fields such as Network.A,Metric.ABBytes")
	cmd.Flags().BoolVar(&follow, "follow", false, "print each report of a flow as it comes")
	cmd.Flags().IntVar(&limit, "limit", 0, "end after so many flows (0: all)")
	cmd.Flags().StringVar(&file.filter, "filter", "", "of files: only packets that this expression of tcpdump takes")
	cmd.Flags().IntVar(&file.maxFlows, "max-flows", 0, "of files: flows held at one time (0: as many as memory allows)")
	file.decode.flags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("columns", func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return known.complete(typed), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "json", "csv"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

type flowsCommand struct {
	conn  *connection
	rows  flowRows
	terms []flowTerm
	tail  string
	limit int
}

// expression is the query for the flows of now.
func (f flowsCommand) expression() string {
	expr := "G.Flows()"
	for _, t := range f.terms {
		expr += t.gremlin()
	}
	expr += f.tail
	if f.limit > 0 {
		expr += fmt.Sprintf(".Limit(%d)", f.limit)
	}
	return expr
}

// query prints the flows of now as they come; a tail may give anything.
func (f flowsCommand) query(cmd *cobra.Command) error {
	expr := f.expression()
	if q, err := gremlin.Parse(expr); f.tail != "" && (err != nil || q.Kind() != gremlin.KindFlows) {
		if err == nil && f.rows.format == "csv" {
			return usagef("--format csv is for flows, and %s gives something else: write json or table", f.tail)
		}
		if err == nil && len(f.rows.columns) > 0 {
			return usagef("--columns is for flows, and %s gives something else", f.tail)
		}
		answer, err := f.conn.query(cmd.Context(), expr)
		switch {
		case err != nil:
			return err
		case f.rows.format == "json":
			return errors.Join(f.conn.sh.printJSON(answer), f.conn.whole())
		}
		return errors.Join(resultPrinter{sh: f.conn.sh}.print(answer), f.conn.whole())
	}
	out := bufio.NewWriter(f.conn.sh.out)
	rows, err := f.rows.writer(out, f.conn.sh.screen)
	if err != nil {
		return err
	}
	var failed error // of the output
	printed := false
	err = f.conn.ask(expr, func(cl *client.Client) error {
		for one, err := range cl.QueryFlows(cmd.Context(), expr) {
			if err != nil {
				return err
			}
			if printed, failed = true, rows.flow(one); failed != nil {
				return nil
			}
		}
		return nil
	})
	// What came before an error is shown: the flows were there.
	if failed == nil && (err == nil || printed) {
		failed = errors.Join(rows.settle(), out.Flush())
	}
	return errors.Join(err, failed, f.conn.whole())
}

func (f flowsCommand) follow(cmd *cobra.Command) error {
	if f.tail != "" {
		return usagef("%s with --follow: reports are filtered one by one, write terms such as port=443", f.tail)
	}
	out := bufio.NewWriter(f.conn.sh.out)
	rows, err := f.rows.writer(out, f.conn.sh.screen)
	if err != nil {
		return err
	}
	ctx, sh := cmd.Context(), f.conn.sh
	cl, err := f.conn.open(func(cfg *client.Config) { cfg.Logger = slog.New(sideHandler{sh: sh, name: "weft flows"}) })
	if err != nil {
		return err
	}
	defer cl.Close()
	stream, err := cl.Flows(ctx, client.FlowOptions{Captures: capturesOf(f.terms)})
	if err != nil {
		return f.conn.explainError(err)
	}
	defer stream.Close()
	for printed := 0; ; {
		ev, err := stream.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return f.conn.explainError(err)
		case ev.Lost != nil && ev.Lost.Flows == 0:
			sh.note("weft flows: flows may be missing here, as this end or the connection did not keep up")
		case ev.Lost != nil:
			sh.note("weft flows: %d flows were lost here, as this end or the connection did not keep up", ev.Lost.Flows)
		}
		for _, one := range ev.Flows {
			if !matchAll(f.terms, one) {
				continue
			}
			if err := rows.flow(one); err != nil {
				return err
			}
			if printed++; printed == f.limit {
				return errors.Join(rows.settle(), out.Flush())
			}
		}
		if err := errors.Join(rows.settle(), out.Flush()); err != nil {
			return err
		}
	}
}
