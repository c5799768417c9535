package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-net/weft/internal/config"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/probe/linux"
)

// The test binary is also the processes that the tests of resilience kill: with these
// variables it is one of them.
const (
	roleVariable   = "WEFT_TEST_ROLE"
	hostVariable   = "WEFT_TEST_HOST"
	listenVariable = "WEFT_TEST_LISTEN"
	dirVariable    = "WEFT_TEST_DIR"
	busVariable    = "WEFT_TEST_BUS"    // of an analyzer: where it listens; of an agent, or with nats://: where it connects
	kernelVariable = "WEFT_TEST_KERNEL" // where an agent's probe hears of the world; "" = it sees this host
)

func TestMain(m *testing.M) {
	if role := Role(os.Getenv(roleVariable)); role != "" {
		if err := child(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child runs one process of the tests of resilience.
func child(role Role) error {
	cfg := config.Default()
	cfg.Host, cfg.Listen, cfg.DataDir = os.Getenv(hostVariable), os.Getenv(listenVariable), os.Getenv(dirVariable)
	opts := Options{
		Role: role, Version: "test", Probes: []probe.Spec{},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if role == Agent {
		cfg.NATS.URL = "nats://" + os.Getenv(busVariable)
		if kernel := os.Getenv(kernelVariable); kernel != "" {
			opts.Probes = []probe.Spec{{Name: "fake", Default: true, New: func(env probe.Env) (probe.Probe, error) {
				return &fakeProbe{host: env.Host, kernel: kernel}, nil
			}}}
		} else {
			opts.Probes = []probe.Spec{{Name: linux.Name, Default: true, New: linux.New}}
			cfg.Flow.Update, cfg.Capture.Checkpoint = time.Second, 250*time.Millisecond
		}
	} else if at := os.Getenv(busVariable); strings.HasPrefix(at, "nats://") {
		cfg.NATS.URL = at
	} else {
		cfg.NATS.Listen = at
	}
	opts.Config = cfg
	a, err := New(opts)
	if err != nil {
		return err
	}
	// A test that dies does not leave its processes behind for long.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	return a.Run(ctx)
}
