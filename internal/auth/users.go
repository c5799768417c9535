package auth

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// reloadEvery is how often a users file is looked at, at most.
const reloadEvery = time.Second

// decoyHash is compared with when the user is unknown, so that the answer takes as long
// as for a known one. It is the hash of a random password that nobody has.
const decoyHash = "$2a$10$cKYoyC9IA7QijL4Q/o8aK.N8mrO5wVFLkRMygQMg6elMjK4BdBaU2"

type user struct {
	hash string
	role Role
}

// userFile is a file of users, read again when it changes.
type userFile struct {
	path string

	mu      sync.RWMutex
	users   map[string]user
	stamp   fileStamp
	checked time.Time
}

type fileStamp struct {
	modified time.Time
	size     int64
}

func openUserFile(path string) (*userFile, error) {
	f := &userFile{path: path}
	users, stamp, err := readUsers(path)
	if err != nil {
		return nil, err
	}
	f.users, f.stamp = users, stamp
	return f, nil
}

// reload returns the names of the users that changed or went, empty when nothing did.
func (f *userFile) reload(now time.Time) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.checked); since >= 0 && since < reloadEvery {
		return nil, nil
	}
	f.checked = now
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	if stampOf(info) == f.stamp {
		return nil, nil
	}
	users, stamp, err := readUsers(f.path)
	if err != nil {
		return nil, err
	}
	var changed []string
	for name, old := range f.users {
		if users[name] != old {
			changed = append(changed, name)
		}
	}
	f.users, f.stamp = users, stamp
	return changed, nil
}

// check compares a password, in constant time for a given cost of the hash.
func (f *userFile) check(name, password string) (Role, bool) {
	f.mu.RLock()
	u, known := f.users[name]
	f.mu.RUnlock()
	if !known {
		u.hash = decoyHash
	}
	err := bcrypt.CompareHashAndPassword([]byte(u.hash), []byte(password))
	return u.role, known && err == nil
}

func stampOf(info os.FileInfo) fileStamp {
	return fileStamp{modified: info.ModTime(), size: info.Size()}
}

// readUsers parses lines of name:hash or name:hash:role, as htpasswd -B writes them; a
// user without a role is a guest. Empty lines and those after # are left out.
func readUsers(path string) (map[string]user, fileStamp, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fileStamp{}, fmt.Errorf("users file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fileStamp{}, fmt.Errorf("users file: %w", err)
	}
	users := make(map[string]user)
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, u, err := parseUser(line)
		if err != nil {
			return nil, fileStamp{}, fmt.Errorf("users file %s line %d: %w", path, number, err)
		}
		if _, twice := users[name]; twice {
			return nil, fileStamp{}, fmt.Errorf("users file %s line %d: user %q is there twice: remove one", path, number, name)
		}
		users[name] = u
	}
	if err := lines.Err(); err != nil {
		return nil, fileStamp{}, fmt.Errorf("users file %s: %w", path, err)
	}
	if len(users) == 0 {
		return nil, fileStamp{}, fmt.Errorf("users file %s: no user in it: add a line made with htpasswd -nB NAME, followed by :admin", path)
	}
	return users, stampOf(info), nil
}

func parseUser(line string) (string, user, error) {
	parts := strings.Split(line, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" {
		return "", user{}, fmt.Errorf("not of the form name:hash:role")
	}
	u := user{hash: parts[1], role: RoleGuest}
	if _, err := bcrypt.Cost([]byte(u.hash)); err != nil {
		return "", user{}, fmt.Errorf("user %q: not a bcrypt hash: make one with htpasswd -nB %s", parts[0], parts[0])
	}
	if len(parts) == 3 {
		role, err := ParseRole(strings.TrimSpace(parts[2]))
		if err != nil {
			return "", user{}, fmt.Errorf("user %q: %w", parts[0], err)
		}
		u.role = role
	}
	return parts[0], u, nil
}

// HashPassword returns a hash for a users file.
func HashPassword(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("password hash: %w", err)
	}
	return string(hash), nil
}
