package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weft-net/weft/skydive"
)

func newListen(conn *connection) *cobra.Command {
	var filter string
	var sync, asJSON bool
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Print every change of the graph as it happens",
		Long: `Prints a line of JSON for each message of the analyzer, as it is on the wire:
{"Namespace":"Graph","Type":"NodeUpdated","UUID":…,"Status":200,"Obj":{…}}. It goes on until
it is interrupted; when the connection is lost it says so, connects again and goes on
with what changed meanwhile.`,
		Example: `  weft listen --sync-request
  weft listen --gremlin "G.V().Has('Type','veth').SubGraph()"`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return conn.listen(cmd.Context(), filter, sync)
		},
	}
	cmd.Flags().StringVar(&filter, "gremlin", "", "only the nodes of G.V().Has(…), the edges of G.E().Has(…), or the graph of a query that ends in SubGraph()")
	cmd.Flags().BoolVar(&sync, "sync-request", false, "begin with the whole graph, in a SyncReply")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, which is what listen always does")
	return cmd
}

// lineWriter prints messages, each at once and whole.
type lineWriter struct{ out *bufio.Writer }

func (w lineWriter) message(m *skydive.Message) error {
	text, err := m.MarshalJSON()
	if err != nil {
		return err
	}
	w.out.Write(text)
	w.out.WriteByte('\n')
	return w.out.Flush()
}

func newDump(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "dump [FILE]",
		Short: "Write the whole graph to a file",
		Long: `Writes the whole graph, {"Nodes":[…],"Edges":[…]}, to the file or to standard output.
'weft add' and 'skydive-ws-client add' take it back. The file appears only when it is
complete.`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "-" {
				return conn.dump(cmd.Context(), conn.sh.out)
			}
			return dumpFile(cmd.Context(), conn, args[0])
		},
	}
}

// dumpFile writes beside the file and puts it in place at the end; what is no plain
// file (a pipe, a device) is written to directly.
func dumpFile(ctx context.Context, conn *connection, path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("dump: %w", err)
		}
		return errors.Join(conn.dump(ctx, f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	defer os.Remove(f.Name()) // fails once renamed
	err = conn.dump(ctx, f)
	if closeErr := errors.Join(f.Chmod(0o644), f.Close()); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	return nil
}
