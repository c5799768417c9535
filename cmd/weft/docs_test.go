package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// docs/cli.md names every command and every flag that is not hidden.
func TestDocsNameEveryCommandAndFlag(t *testing.T) {
	data, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if !strings.Contains(page, cmd.Name()) {
			t.Errorf("command %q is not in docs/cli.md", cmd.CommandPath())
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" && !strings.Contains(page, "--"+f.Name) {
				t.Errorf("flag --%s of %q is not in docs/cli.md", f.Name, cmd.CommandPath())
			}
		})
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	sh := &shell{out: io.Discard, err: io.Discard}
	visit(newRoot(sh))
	visit(newWSClient(sh))
}
