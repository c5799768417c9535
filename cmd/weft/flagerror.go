package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture/filter"
	"github.com/weft-net/weft/internal/spelling"
)

// flagError says what is wrong with a flag in the words of its user, and what to write.
func flagError(cmd *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &value):
		return usagef("--%s %s: %s", value.GetFlag().Name, value.GetValue(), flagRemedy(value))
	case errors.As(err, &missing):
		return usagef("--%s: a value is missing: %s", missing.GetFlag().Name, missing.GetFlag().Usage)
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := spelling.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			return usagef("%w: did you mean --%s?", err, near)
		}
		return usagef("%w: see %s --help", err, cmd.CommandPath())
	}
	return &usageError{err}
}

// flagRemedy says what the value of a flag has to be.
func flagRemedy(e *pflag.InvalidValueError) string {
	kind, number := e.GetFlag().Value.Type(), false
	if _, err := strconv.ParseFloat(e.GetValue(), 64); err == nil {
		number = true
	}
	switch {
	case errors.Is(e, strconv.ErrRange):
		return "that is out of range"
	case kind == "duration" && number:
		return "give a unit, such as 5s or 10m"
	case kind == "duration":
		return "give a time, such as 5s or 10m"
	case strings.HasPrefix(kind, "uint"):
		return "give a whole number from 0 on"
	case strings.HasPrefix(kind, "int"):
		return "give a whole number"
	case strings.HasPrefix(kind, "float"):
		return "give a number"
	case kind == "bool":
		return "give true or false, or the flag alone"
	}
	return e.Unwrap().Error()
}

// pointed shows where an expression of tcpdump is wrong: the expression, and below it a caret at the place.
func pointed(what string, err error) error {
	var syntax *filter.SyntaxError
	if !errors.As(err, &syntax) || strings.ContainsAny(syntax.Expression, "\n\r\t") || syntax.Position > len(syntax.Expression) {
		return fmt.Errorf("%s: %w", what, err)
	}
	before := []rune(printable(syntax.Expression[:syntax.Position]))
	return fmt.Errorf("%s: %w\n  %s\n  %s^", what, err, printable(syntax.Expression), strings.Repeat(" ", len(before)))
}

// pointedBPF shows the place in what an analyzer refused, if it is one that this program would refuse too.
func pointedBPF(expression string, headerSize int, err error) error {
	if usage := new(usageError); !errors.As(err, &usage) || !strings.Contains(err.Error(), "BPFFilter: ") {
		return err
	}
	if _, local := filter.Compile(expression, flow.LinkEthernet, headerSize); local != nil {
		return &usageError{pointed("--bpf", local)}
	}
	return err
}
