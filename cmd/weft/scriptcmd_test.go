package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weft-net/weft/internal/testenv"
	"github.com/weft-net/weft/skydive"
)

// scriptCommands are what the scripts have beside testscript's own.
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"exits":        cmdExits,
		"mode":         cmdMode,
		"eventually":   cmdEventually,
		"analyzer":     cmdAnalyzer,
		"samegraph":    cmdSameGraph,
		"terminate":    cmdTerminate,
		"certificates": cmdCertificates,
		"request":      cmdRequest,
		"capture":      cmdCapture,
		"publish":      cmdPublish,
		"wire":         cmdWire,
		"tracefile":    cmdTraceFile,
	}
}

// exits CODE COMMAND…: runs the command and wants that exit code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), code, want)
	}
}

// mode PERM FILE: wants the file's permissions.
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode PERM FILE")
	}
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if info.Mode().Perm() != fs.FileMode(want) {
		ts.Fatalf("%s has mode %o, want %o", args[1], info.Mode().Perm(), want)
	}
}

// scriptPatience bounds every wait of the scripts.
const scriptPatience = 20 * time.Second

// eventually REGEXP COMMAND…: runs the command again and again until its standard
// output matches. eventually REGEXP < FILE: reads a file instead. With ! before it, until it
// does not match.
func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] eventually REGEXP COMMAND…")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	got := ""
	deadline := time.After(scriptPatience)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		if args[1] == "<" {
			data, _ := os.ReadFile(ts.MkAbs(args[2]))
			got = string(data)
		} else {
			_ = ts.Exec(args[1], args[2:]...)
			got = ts.ReadFile("stdout")
		}
		if want.MatchString(got) != neg {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			ts.Fatalf("%q not settled within %s; last:\n%s", args[0], scriptPatience, got)
		}
	}
}

// terminate: sends SIGTERM to every background process; wait then wants its end.
func cmdTerminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: terminate")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// samegraph FILE FILE: wants the same elements in both, in any order, equal in ID,
// Host, Metadata, Parent and Child.
func cmdSameGraph(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: samegraph FILE FILE")
	}
	var graphs [2]map[string]any
	for i, name := range args {
		elements := map[string]any{}
		err := readElements(strings.NewReader(ts.ReadFile(name)), func(el element) error {
			var e struct {
				ID, Host, Parent, Child string
				Metadata                skydive.Metadata // with whole numbers exact
			}
			elements[el.id] = &e
			return json.Unmarshal(el.text, &e)
		}, func(bad *badElement) error { return bad })
		ts.Check(err)
		graphs[i] = elements
	}
	if diff := cmp.Diff(graphs[0], graphs[1]); diff != "" {
		ts.Fatalf("%s and %s differ (-first +second):\n%s", args[0], args[1], diff)
	}
}

// analyzer FILE VARIABLE: waits until a server started in the background with
// --address-file FILE is ready, and puts its address into the variable.
func cmdAnalyzer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: analyzer ADDRESS-FILE VARIABLE")
	}
	deadline := time.After(scriptPatience)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		if data, err := os.ReadFile(ts.MkAbs(args[0])); err == nil {
			ts.Setenv(args[1], strings.TrimSpace(string(data)))
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			ts.Fatalf("%s", fmt.Sprintf("no analyzer ready within %s: %s not written", scriptPatience, args[0]))
		}
	}
}

// certificates DIR NAME…: makes an authority in the directory (authority.pem) and
// certificates that it signed for loopback (NAME.pem, NAME.key).
func cmdCertificates(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: certificates DIR NAME…")
	}
	ca, err := testenv.NewAuthority(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, name := range args[1:] {
		_, _, err := ca.Issue(name)
		ts.Check(err)
	}
}
