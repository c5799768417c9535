package main

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weft-net/weft/internal/app"
	"github.com/weft-net/weft/internal/config"
)

// settingFlags are the flags of the server commands; each sets one key.
func settingFlags() map[string]string {
	return map[string]string{
		"listen":      "listen",
		"data-dir":    "data-dir",
		"host":        "host",
		"no-auth":     "no-auth",
		"nats-listen": "nats.listen",
		"nats":        "nats.url",
		"log-level":   "log.level",
		"log-format":  "log.format",
	}
}

// addSettings gives a command --config and the flags of settingFlags, each with the
// description and the default of its setting.
func addSettings(flags *pflag.FlagSet) {
	flags.String("config", "", "YAML file of settings (environment WEFT_CONFIG)")
	docs := map[string]config.Field{}
	for f := range config.Default().Fields() {
		docs[f.Key] = f
	}
	for name, key := range settingFlags() {
		f := docs[key]
		usage := fmt.Sprintf("%s (environment %s)", f.Doc, f.Env())
		switch v := f.Value().(type) {
		case bool:
			flags.Bool(name, v, usage)
		default:
			flags.String(name, fmt.Sprint(v), usage)
		}
	}
}

// loadSettings merges file, environment and the flags that were given, and says what it
// left aside.
func (sh *shell) loadSettings(flags *pflag.FlagSet) (config.Config, error) {
	cfg, warnings, err := sh.mergeSettings(flags)
	for _, w := range warnings {
		sh.note("weft: warning: %s", w)
	}
	return cfg, err
}

// mergeSettings is loadSettings for those who have a log to warn in.
func (sh *shell) mergeSettings(flags *pflag.FlagSet) (cfg config.Config, warnings []string, err error) {
	src := config.Sources{Env: sh.env, Flags: map[string]any{}, FlagNames: map[string]string{}}
	src.File, _ = flags.GetString("config")
	if src.File == "" {
		src.File = sh.getenv("WEFT_CONFIG")
	}
	for name, key := range settingFlags() {
		if f := flags.Lookup(name); f != nil && f.Changed {
			src.Flags[key] = f.Value.String()
			src.FlagNames[key] = name
		}
	}
	if cfg, warnings, err = config.Load(src); err != nil {
		return config.Config{}, warnings, &usageError{err}
	}
	return cfg, warnings, nil
}

func newConfig(sh *shell) *cobra.Command {
	group := groupCommand("config", "Check and show the settings of a server")
	check := &cobra.Command{
		Use:   "check",
		Short: "Say whether a server could start with these settings",
		Long: `Reads the settings as 'weft allinone' would, from the file, the environment and the
flags, and says what is wrong with each, where it was set, and what to write instead.
The exit code is 2 when something is wrong.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := sh.loadSettings(cmd.Flags())
			if err != nil {
				return err
			}
			if _, err := app.New(app.Options{Config: cfg, Role: app.AllInOne}); err != nil {
				return &usageError{err}
			}
			_, err = fmt.Fprintln(sh.out, "ok")
			return err
		},
	}
	addSettings(check.Flags())

	var asJSON, bare bool
	dump := &cobra.Command{
		Use:   "dump",
		Short: "Print every setting as a file that --config takes",
		Long: `Prints all settings with their descriptions, as they are after file, environment and
flags were merged. Secrets are shown as ` + config.Hidden + `.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := sh.loadSettings(cmd.Flags())
			if err != nil {
				return err
			}
			if !asJSON {
				return cfg.WriteYAML(sh.out, !bare)
			}
			all, _ := cfg.Lookup("")
			if err := json.MarshalWrite(sh.out, all, jsontext.WithIndent("  "), json.Deterministic(true)); err != nil {
				return err
			}
			_, err = fmt.Fprintln(sh.out)
			return err
		},
	}
	addSettings(dump.Flags())
	dump.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	dump.Flags().BoolVar(&bare, "bare", false, "leave out the descriptions")
	group.AddCommand(check, dump)
	return group
}
