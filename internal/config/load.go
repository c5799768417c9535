package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
)

// Sources is where settings are read from, weakest first.
type Sources struct {
	File  string         // path of a YAML file; empty: none
	Env   []string       // as os.Environ gives it; others' variables are left alone
	Flags map[string]any // by key, only those that were given
	// FlagNames gives the flag that set a key, for errors: "nats.listen" is
	// --nats-listen. Absent: the key with "-" for ".".
	FlagNames map[string]string
}

// Load merges the sources over [Default], fills in what only the system knows
// ([Config.Resolve]) and validates the whole. The warnings are of what was left
// aside. The error, if any, joins one [*Error] a wrong setting.
func Load(src Sources) (cfg Config, warnings []string, err error) {
	cfg, m, warnings, err := read(src)
	if err != nil {
		return Config{}, warnings, err
	}
	if err := cfg.Validate(); err != nil {
		return Config{}, warnings, m.place(err)
	}
	return cfg, warnings, nil
}

// Read is [Load] without the validation, for commands that repair what is wrong.
func Read(src Sources) (cfg Config, warnings []string, err error) {
	cfg, _, warnings, err = read(src)
	return cfg, warnings, err
}

func read(src Sources) (cfg Config, m merger, warnings []string, err error) {
	cfg = Default()
	m = merger{k: koanf.New("."), from: map[string]string{}}
	known := map[string]Field{}
	for f := range fieldsOf(&cfg) {
		known[f.Key] = f
	}
	if src.File != "" {
		if err := m.file(src.File, known); err != nil {
			return cfg, m, nil, err
		}
	}
	if warnings, err = m.env(src.Env, known); err != nil {
		return cfg, m, nil, err
	}
	if err := m.flags(src, known); err != nil {
		return cfg, m, nil, err
	}
	var errs []error
	for f := range fieldsOf(&cfg) {
		if !m.k.Exists(f.Key) {
			continue
		}
		if err := f.set(m.k.Get(f.Key)); err != nil {
			errs = append(errs, &Error{Key: f.Key, From: m.from[f.Key], Err: err})
		}
	}
	if len(errs) > 0 {
		return cfg, m, warnings, errors.Join(errs...)
	}
	err = cfg.Resolve(src.Env)
	return cfg, m, warnings, err
}

// merger lays the sources over each other and remembers who said what.
type merger struct {
	k    *koanf.Koanf
	from map[string]string // key → "weft.yaml line 3", "WEFT_LISTEN", "--listen"
}

func (m *merger) file(path string, known map[string]Field) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	places, err := checkFile(path, data, known)
	if err != nil {
		return err
	}
	settings, err := yaml.Parser().Unmarshal(data)
	if err != nil {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	if err := m.k.Load(confmap.Provider(settings, "."), nil); err != nil {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	for key, line := range places {
		m.from[key] = fmt.Sprintf("%s line %d", path, line)
	}
	return nil
}

// clientVariables are read by the client commands, not by a server.
func clientVariables() []string {
	return []string{
		"WEFT_ANALYZER", "WEFT_USERNAME", "WEFT_PASSWORD", "WEFT_CONFIG",
	}
}

func (m *merger) env(environ []string, known map[string]Field) (warnings []string, err error) {
	byName := map[string]string{}
	names := clientVariables()
	for key := range known {
		byName[EnvName(key)] = key
		names = append(names, EnvName(key))
	}
	slices.Sort(names)
	provider := env.Provider(".", env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			key, ok := byName[name]
			if !ok {
				if !slices.Contains(names, name) {
					warnings = append(warnings, fmt.Sprintf("environment variable %s is no setting of weft (nearest: %s)", name, nearest(name, names)))
				}
				return "", nil
			}
			if value == "" {
				return "", nil // NAME= is how people unset a variable
			}
			m.from[key] = name
			return key, value
		},
	})
	if err := m.k.Load(provider, nil); err != nil {
		return warnings, fmt.Errorf("environment: %w", err)
	}
	return warnings, nil
}

func (m *merger) flags(src Sources, known map[string]Field) error {
	for key := range src.Flags {
		if _, ok := known[key]; !ok {
			return fmt.Errorf("flag of unknown setting %q", key)
		}
		name := src.FlagNames[key]
		if name == "" {
			name = strings.ReplaceAll(key, ".", "-")
		}
		m.from[key] = "--" + name
	}
	if err := m.k.Load(confmap.Provider(src.Flags, "."), nil); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	return nil
}

// place adds to the errors of Validate where the wrong values came from.
func (m *merger) place(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	for _, err := range joined.Unwrap() {
		if e := (*Error)(nil); errors.As(err, &e) && e.From == "" {
			e.From = m.from[e.Key]
		}
	}
	return err
}

// Resolve fills in what depends on the system the process runs on: the host's
// name, the data directory, and the users' file in it if there is one.
func (c *Config) Resolve(environ []string) error {
	if c.Host == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("host name: %w: name this host with --host", err)
		}
		c.Host = name
	}
	if c.DataDir == "" {
		dir, err := defaultDataDir(os.Geteuid(), environ)
		if err != nil {
			return err
		}
		c.DataDir = dir
	}
	if c.Auth.UsersFile == "" && c.DataDir != Memory {
		if path := filepath.Join(c.DataDir, "users"); isFile(path) {
			c.Auth.UsersFile = path
		}
	}
	return nil
}

// InMemory says that nothing is to be kept on disk.
func (c Config) InMemory() bool { return c.DataDir == Memory }

func defaultDataDir(uid int, environ []string) (string, error) {
	if uid == 0 {
		return "/var/lib/weft", nil
	}
	if dir := lookupEnv(environ, "XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "weft"), nil
	}
	if home := lookupEnv(environ, "HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "weft"), nil
	}
	return "", &Error{Key: "data-dir", Err: errors.New("neither XDG_STATE_HOME nor HOME is set: name a directory with --data-dir, or 'memory' to keep nothing")}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func lookupEnv(environ []string, name string) string {
	for _, kv := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}
