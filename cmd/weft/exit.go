package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

// Exit codes, as docs/cli.md promises them.
const (
	exitOK          = 0
	exitFailed      = 1 // or done in part
	exitUsage       = 2
	exitUnreachable = 3
	exitRefused     = 4
	exitNotFound    = 5
)

// exitError is an error that chooses the exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usageError is a mistake in the arguments or the settings.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// exit says what went wrong, once, and gives the code.
func (sh *shell) exit(ctx context.Context, cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitFailed // the user ended it and knows
	}
	name := "weft"
	if cmd != nil {
		name = cmd.CommandPath()
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if strings.HasPrefix(line, "  ") { // goes on with the line above
			sh.note("%s", line)
			continue
		}
		sh.note("%s: %s", name, line)
	}
	var usage *usageError
	var chosen *exitError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &chosen):
		return chosen.code
	}
	return exitFailed
}

// writeJSON writes a value as indented JSON and a newline.
func (sh *shell) writeJSON(v any) error {
	text, err := json.Marshal(v, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = sh.out.Write(append(text, '\n'))
	return err
}
