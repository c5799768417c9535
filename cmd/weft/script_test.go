package main

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata/script run the program as people do: each command is the
// test binary under the name weft or skydive-ws-client, in a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"weft":       func() { os.Exit(mainExit()) },
		wsClientName: func() { os.Exit(mainExit()) },
		"stubborn":   stubborn,
		"hearer":     hearer,
		"talker":     talker,
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[testKey{}] = env.T()
			env.Setenv("WEFT_DATA_DIR", "memory")
			env.Setenv("WEFT_HOST", "testhost")
			// The race detector lets a process sleep for a second before it ends.
			env.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
			return nil
		},
		Cmds:     scriptCommands(),
		Deadline: time.Now().Add(2 * time.Minute),
	})
}

// runWeft runs the program within the test's process.
func runWeft(ctx context.Context, sh *shell, args ...string) int {
	return sh.run(ctx, append([]string{"weft"}, args...))
}
