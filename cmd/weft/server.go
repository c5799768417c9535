package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-net/weft/internal/app"
	"github.com/weft-net/weft/internal/config"
)

// stopWithin is how long a server may take to stop after the first signal.
const stopWithin = 20 * time.Second

func newServers(sh *shell) []*cobra.Command {
	return []*cobra.Command{
		newServer(sh, app.AllInOne, "allinone", "Show this host: analyzer and agent in one process",
			`Starts an analyzer and an agent for this host in one process, and serves the API at
127.0.0.1:8082. No configuration, no other service and no file is needed. As root it
sees all network namespaces; otherwise its own only.`),
		newServer(sh, app.Analyzer, "analyzer", "Serve the graph that agents on other hosts send",
			`Starts an analyzer without an agent. Agents join with --nats-listen here and --nats
there, or both use an existing NATS with --nats.`),
		newServer(sh, app.Agent, "agent", "Send this host's part of the graph to an analyzer",
			`Starts an agent. --nats names the analyzer's --nats-listen address, or the NATS that
the analyzers use.`),
	}
}

// runOptions are the flags of a server that are no settings.
type runOptions struct {
	addressFile, cpuProfile, memProfile string
}

func newServer(sh *shell, role app.Role, use, short, long string) *cobra.Command {
	var opts runOptions
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long: long + `

SIGTERM or SIGINT stops it cleanly; a second one at once. Every flag that is a setting
can also be given as a variable or in the file of --config; 'weft config dump' lists all.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := sh.mergeSettings(cmd.Flags())
			logger := newLogger(sh.err, cfg.Log)
			for _, w := range warnings {
				logger.Warn(w)
			}
			if err != nil {
				return err
			}
			return sh.serve(cmd.Context(), role, cfg, logger, opts)
		},
	}
	addSettings(cmd.Flags())
	cmd.Flags().StringVar(&opts.addressFile, "address-file", "", "write the API's HOST:PORT to this file when it is ready, for scripts that listen on port 0")
	cmd.Flags().StringVar(&opts.cpuProfile, "cpuprofile", "", "write a CPU profile of the whole run to this file")
	cmd.Flags().StringVar(&opts.memProfile, "memprofile", "", "write a heap profile to this file at the end")
	_ = cmd.Flags().MarkHidden("cpuprofile")
	_ = cmd.Flags().MarkHidden("memprofile")
	return cmd
}

func (sh *shell) serve(ctx context.Context, role app.Role, cfg config.Config, logger *slog.Logger, opts runOptions) (err error) {
	stopProfile, err := startProfiles(opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopProfile()) }()
	name, _ := versionInfo()
	a, err := app.New(app.Options{Config: cfg, Logger: logger, Role: role, Version: name})
	if err != nil {
		return &usageError{err}
	}
	defer paceGC(sh.env, logger)()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()

	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	case <-a.Ready():
		logger.Info("ready", "address", a.Addr(), "host", cfg.Host)
		if opts.addressFile != "" {
			if err := writeAtomically(opts.addressFile, a.Addr()+"\n"); err != nil {
				logger.Error("address file not written", "error", err)
			}
			defer os.Remove(opts.addressFile)
		}
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	logger.Info("stopping", "within", stopWithin)
	select {
	case err := <-ended:
		return err
	case <-time.After(stopWithin):
		return fmt.Errorf("stop: not done within %s; what was not yet written is lost", stopWithin)
	}
}

func newLogger(w io.Writer, cfg config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // validated with the other settings
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// writeAtomically lets a reader see the whole text or no file.
func writeAtomically(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".weft-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once renamed
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// startProfiles begins what the hidden profile flags ask for and gives its end.
func startProfiles(opts runOptions) (stop func() error, err error) {
	var cpu *os.File
	if opts.cpuProfile != "" {
		if cpu, err = os.Create(opts.cpuProfile); err != nil {
			return nil, fmt.Errorf("CPU profile: %w", err)
		}
		if err := pprof.StartCPUProfile(cpu); err != nil {
			cpu.Close()
			return nil, fmt.Errorf("CPU profile: %w", err)
		}
	}
	return func() error {
		var errs []error
		if cpu != nil {
			pprof.StopCPUProfile()
			errs = append(errs, cpu.Close())
		}
		if opts.memProfile != "" {
			heap, err := os.Create(opts.memProfile)
			if err != nil {
				return errors.Join(append(errs, err)...)
			}
			runtime.GC()
			errs = append(errs, pprof.WriteHeapProfile(heap), heap.Close())
		}
		return errors.Join(errs...)
	}, nil
}
