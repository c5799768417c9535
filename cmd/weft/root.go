package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Groups of commands in the help.
const (
	groupServer = "server"
	groupGraph  = "graph"
	groupAdmin  = "admin"
)

func newRoot(sh *shell) *cobra.Command {
	root := groupCommand("weft", "A live graph of a network, now and in the past")
	root.Long = `weft is one live graph of a network. 'weft allinone' keeps that of this host and serves
Skydive's API at http://127.0.0.1:8082; the other commands ask it, or a Skydive analyzer,
and change it.

Exit codes: 0 done, 1 failed or done in part, 2 wrong usage, 3 the analyzer does not
answer, 4 refused for lack of rights, 5 not found.`
	root.Version, _ = versionInfo()
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: groupServer, Title: "Servers:"},
		&cobra.Group{ID: groupGraph, Title: "The graph:"},
		&cobra.Group{ID: groupAdmin, Title: "Around it:"},
	)
	conn := &connection{sh: sh}
	conn.addFlags(root.PersistentFlags())
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupServer, newServers(sh)...)
	add(groupGraph, newQuery(conn), newListen(conn), newDump(conn))
	add(groupGraph, newLoads(conn)...)
	add(groupGraph, newResources(conn)...)
	add(groupGraph, newCapture(conn), newFlows(conn))
	add(groupAdmin, newStatus(conn), newConfig(sh), newUser(sh), newVersion(sh))
	root.SetHelpCommandGroupID(groupAdmin)
	root.SetCompletionCommandGroupID(groupAdmin)
	withoutConnection(root)
	return root
}

// groupCommand is a command that only holds others; alone it prints its help, and an
// unknown word below it is answered with the nearest known one.
func groupCommand(use, short string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return usagef("%s: did you mean %s?", text, strings.Join(near, " or "))
		}
		return usagef("%s: see %s --help", text, cmd.CommandPath())
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// withoutConnection hides the flags that say which analyzer from the help of commands
// that speak to none, and refuses them there.
func withoutConnection(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "allinone", "analyzer", "agent", "config", "user", "version", "completion", "help":
		default:
			continue
		}
		cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), ".HasAvailableInheritedFlags", ".HasHelpSubCommands"))
		cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
			for _, name := range connectionFlags() {
				if f := root.PersistentFlags().Lookup(name); f.Changed {
					return usagef("--%s is for commands that ask an analyzer, not for %s", name, cmd.CommandPath())
				}
			}
			return nil
		}
	}
}

// exactArgs, rangeArgs: cobra's checks, as usage errors that show the right form.
func exactArgs(n int) cobra.PositionalArgs { return rangeArgs(n, n) }

func rangeArgs(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("too few arguments: write %s", cmd.UseLine())
		case len(args) > most && most == 0:
			return usagef("%q is too much: write %s", args[0], cmd.UseLine())
		case len(args) > most:
			return usagef("%q is too much: write %s (quote an argument that has spaces)", args[most], cmd.UseLine())
		}
		return nil
	}
}
