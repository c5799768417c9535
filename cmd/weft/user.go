package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/weft-net/weft/internal/auth"
	"github.com/weft-net/weft/internal/config"
)

func newUser(sh *shell) *cobra.Command {
	group := groupCommand("user", "Manage the file of users that a server asks")
	group.Long = `Manages the users' file: a line NAME:HASH:ROLE each, hashed by bcrypt. A running server
reads a change within a second. The file is --file, else the setting auth.users-file,
else 'users' in the data directory.`
	flags := group.PersistentFlags()
	flags.String("file", "", "the users' file")
	flags.String("config", "", "YAML file of settings (environment WEFT_CONFIG)")
	flags.String("data-dir", "", "data directory of the server (environment WEFT_DATA_DIR)")

	var role string
	add := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user; the password is asked for, or read from standard input",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := auth.ParseRole(role)
			if err != nil {
				return &usageError{err}
			}
			return sh.editUsers(cmd, func(u *userLines) error {
				if u.index(args[0]) >= 0 {
					return fmt.Errorf("user %s is in %s already: change the password with 'weft user passwd %s'", args[0], u.path, args[0])
				}
				hash, err := sh.newPassword(args[0])
				if err != nil {
					return err
				}
				return u.set(args[0], hash, string(r))
			})
		},
	}
	add.Flags().StringVar(&role, "role", string(auth.RoleAdmin), "admin, or guest (may look, not change)")
	list := &cobra.Command{
		Use:   "list",
		Short: "List the users and their roles",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := sh.usersFile(cmd)
			if err != nil {
				return err
			}
			u, err := readUserLines(path)
			if err != nil {
				return err
			}
			asJSON, _ := cmd.Flags().GetBool("json")
			return u.print(sh, asJSON)
		},
	}
	list.Flags().Bool("json", false, "print JSON")
	remove := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a user",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.editUsers(cmd, func(u *userLines) error { return u.remove(args[0]) })
		},
	}
	passwd := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Change a user's password; it is asked for, or read from standard input",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.editUsers(cmd, func(u *userLines) error {
				if u.index(args[0]) < 0 {
					return u.unknown(args[0])
				}
				hash, err := sh.newPassword(args[0])
				if err != nil {
					return err
				}
				return u.set(args[0], hash, "")
			})
		},
	}
	group.AddCommand(add, list, remove, passwd)
	return group
}

// usersFile finds the file. The settings are not validated: they may be wrong for
// lack of the very user that is to be added.
func (sh *shell) usersFile(cmd *cobra.Command) (string, error) {
	if path, _ := cmd.Flags().GetString("file"); path != "" {
		return path, nil
	}
	src := config.Sources{Env: sh.env, Flags: map[string]any{}}
	src.File, _ = cmd.Flags().GetString("config")
	if src.File == "" {
		src.File = sh.getenv("WEFT_CONFIG")
	}
	if dir, _ := cmd.Flags().GetString("data-dir"); dir != "" {
		src.Flags["data-dir"] = dir
	}
	cfg, _, err := config.Read(src)
	if err != nil {
		return "", &usageError{err}
	}
	if cfg.Auth.UsersFile != "" {
		return cfg.Auth.UsersFile, nil
	}
	if cfg.InMemory() {
		return "", usagef("the data directory is 'memory': name the users' file with --file")
	}
	return filepath.Join(cfg.DataDir, "users"), nil
}

// editUsers changes the file as a whole: one editor at a time, and a reader sees the
// old file or the new one.
func (sh *shell) editUsers(cmd *cobra.Command, edit func(*userLines) error) error {
	path, err := sh.usersFile(cmd)
	if err != nil {
		return err
	}
	dir, err := lockDir(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("users file %s: %w", path, err)
	}
	defer dir.Close() // gives up the lock
	u, err := readUserLines(path)
	if errors.Is(err, fs.ErrNotExist) {
		u, err = &userLines{path: path}, nil
	}
	if err != nil {
		return err
	}
	if err := edit(u); err != nil {
		return err
	}
	return u.write()
}

func lockDir(path string) (*os.File, error) {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		dir.Close()
		return nil, fmt.Errorf("lock: %w", err)
	}
	return dir, nil
}

// newPassword asks twice on a terminal, and takes one line of anything else.
func (sh *shell) newPassword(name string) (hash string, err error) {
	password, err := sh.askPassword(fmt.Sprintf("Password for %s: ", name))
	if err != nil {
		return "", err
	}
	if password == "" {
		return "", errors.New("empty password: nothing was changed")
	}
	if f, ok := sh.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		again, err := sh.askPassword("Once more: ")
		if err != nil {
			return "", err
		}
		if again != password {
			return "", errors.New("the two passwords differ: nothing was changed")
		}
	}
	return auth.HashPassword(password)
}

func (sh *shell) askPassword(prompt string) (string, error) {
	if f, ok := sh.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(sh.err, prompt)
		password, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(sh.err)
		return string(password), err
	}
	line, err := bufio.NewReader(io.LimitReader(sh.in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("password from standard input: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// userLines is the file with its comments.
type userLines struct {
	path  string
	lines []string
}

func readUserLines(path string) (*userLines, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("users file %s: %w: add a user with 'weft user add NAME'", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	text := strings.TrimSuffix(string(data), "\n")
	u := &userLines{path: path}
	if text != "" {
		u.lines = strings.Split(text, "\n")
	}
	return u, nil
}

// fields gives name, hash and role of a line; no name: it holds no user.
func (u *userLines) fields(i int) (name, hash, role string) {
	line := strings.TrimSpace(u.lines[i])
	if line == "" || strings.HasPrefix(line, "#") {
		return "", "", ""
	}
	parts := append(strings.SplitN(line, ":", 3), "", "")
	return parts[0], parts[1], orElse(strings.TrimSpace(parts[2]), string(auth.RoleGuest))
}

func (u *userLines) index(name string) int {
	for i := range u.lines {
		if have, _, _ := u.fields(i); have == name {
			return i
		}
	}
	return -1
}

func (u *userLines) unknown(name string) error {
	return &exitError{exitNotFound, fmt.Errorf("no user %s in %s: see 'weft user list'", name, u.path)}
}

// set writes a user's line; an empty role keeps the one that is there.
func (u *userLines) set(name, hash, role string) error {
	if name == "" || strings.ContainsAny(name, ":\r\n\t #") {
		return usagef("user name %q: no spaces, ':' or '#'", name)
	}
	i := u.index(name)
	if i < 0 {
		u.lines = append(u.lines, name+":"+hash+":"+role)
		return nil
	}
	if role == "" {
		_, _, role = u.fields(i)
	}
	u.lines[i] = name + ":" + hash + ":" + role
	return nil
}

func (u *userLines) remove(name string) error {
	i := u.index(name)
	if i < 0 {
		return u.unknown(name)
	}
	u.lines = append(u.lines[:i:i], u.lines[i+1:]...)
	for j := range u.lines {
		if other, _, _ := u.fields(j); other != "" {
			return nil
		}
	}
	return fmt.Errorf("%s is the last user, and a server without users serves everyone: add another first, or delete %s", name, u.path)
}

func (u *userLines) write() error {
	f, err := os.CreateTemp(filepath.Dir(u.path), ".users-*")
	if err != nil {
		return fmt.Errorf("users file: %w", err)
	}
	defer os.Remove(f.Name()) // fails once renamed
	keepOwner(f, u.path)
	_, err = f.WriteString(strings.Join(u.lines, "\n") + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("users file %s: %w", u.path, err)
	}
	if err := os.Rename(f.Name(), u.path); err != nil {
		return fmt.Errorf("users file: %w", err)
	}
	return nil
}

// keepOwner gives a new file the owner and mode of the one it replaces, as far as
// this process may; a file that only its writer can read is the safe other end.
func keepOwner(f *os.File, old string) {
	var st unix.Stat_t
	if unix.Stat(old, &st) != nil {
		return
	}
	if f.Chown(int(st.Uid), int(st.Gid)) == nil {
		_ = f.Chmod(fs.FileMode(st.Mode).Perm())
	}
}

func (u *userLines) print(sh *shell, asJSON bool) error {
	type entry struct{ Name, Role string }
	list := []entry{}
	for i := range u.lines {
		if name, _, role := u.fields(i); name != "" {
			list = append(list, entry{name, role})
		}
	}
	if asJSON {
		return sh.writeJSON(list)
	}
	t := newTable("Name", "Role")
	for _, e := range list {
		t.add(e.Name, e.Role)
	}
	return t.write(sh.out, sh.screen)
}
