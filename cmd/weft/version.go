package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases; otherwise the build information has it.
var version string

// versionInfo gives the version and the commit that the binary was built from.
func versionInfo() (name, commit string) {
	name = version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return orElse(name, "unknown"), ""
	}
	if name == "" && info.Main.Version != "(devel)" {
		name = info.Main.Version
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if commit != "" && dirty {
		commit += " with changes"
	}
	return orElse(name, "devel"), commit
}

func newVersion(sh *shell) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			name, commit := versionInfo()
			if asJSON {
				return sh.writeJSON(struct{ Version, Commit, Go, Platform string }{name, commit, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
			}
			fmt.Fprintf(sh.out, "weft %s\n", name)
			if commit != "" {
				fmt.Fprintf(sh.out, "commit %s\n", commit)
			}
			_, err := fmt.Fprintf(sh.out, "%s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
