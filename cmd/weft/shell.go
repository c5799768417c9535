package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
	"golang.org/x/term"
)

// shell is what a command may know of the world around it.
type shell struct {
	in        io.Reader
	out, err  io.Writer
	env       []string
	screen    screen // what standard output is shown on
	errScreen screen // what standard error is shown on
}

// screen describes a terminal; the zero screen is a file or a pipe.
type screen struct {
	terminal bool
	colour   bool
	width    int // columns; 0: no bound
}

// screenOf asks the file what it is. Colours are for terminals only, and not for
// those of people who set NO_COLOR (https://no-color.org).
func screenOf(f *os.File, env []string) screen {
	if !isatty.IsTerminal(f.Fd()) {
		return screen{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return screen{
		terminal: true,
		colour:   getenv(env, "NO_COLOR") == "" && getenv(env, "TERM") != "dumb",
		width:    width,
	}
}

// getenv gives the last setting of the first name that has one that is not empty.
func (sh *shell) getenv(names ...string) string { return getenv(sh.env, names...) }

func getenv(env []string, names ...string) string {
	for _, name := range names {
		for _, kv := range slices.Backward(env) {
			if value, ok := strings.CutPrefix(kv, name+"="); ok {
				if value != "" {
					return value
				}
				break
			}
		}
	}
	return ""
}

// note says something on the side.
func (sh *shell) note(format string, args ...any) {
	fmt.Fprintf(sh.err, format+"\n", args...)
}

// openInput gives the named file, or standard input for "-".
func (sh *shell) openInput(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(sh.in), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	if info.IsDir() {
		f.Close()
		return nil, 0, fmt.Errorf("open %s: is a directory", name)
	}
	size := int64(0)
	if info.Mode().IsRegular() {
		size = info.Size()
	}
	return f, size, nil
}

// orElse is s, or the other when it is empty.
func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// sideHandler shows what a library logs, as one more thing said on the side.
type sideHandler struct {
	sh    *shell
	name  string
	attrs []slog.Attr
}

func (h sideHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h sideHandler) Handle(_ context.Context, r slog.Record) error {
	line := h.name + ": " + r.Message
	show := func(a slog.Attr) bool {
		if a.Key == "error" {
			line += ": " + a.Value.String()
		}
		return true
	}
	for _, a := range h.attrs {
		show(a)
	}
	r.Attrs(show)
	h.sh.note("%s", printable(line))
	return nil
}

func (h sideHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return h
}

func (h sideHandler) WithGroup(string) slog.Handler { return h }

// isTerminal says whether people type into it.
func isTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
