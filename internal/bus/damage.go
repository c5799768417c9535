package bus

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// storedStreams are the directories of streams below that of JetStream.
func storedStreams(dir string) []string {
	list, _ := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "[^.]*")) // the pattern is right
	return list
}

// setAside moves away the streams that NATS found on the disk and did not load. It only
// remarks on them in its log, and a new stream of that name would be written over them.
func (s *Server) setAside(dir string, found []string) error {
	if free := s.Free(); len(found) == 0 || free < spareBytes { // in memory, or full, which is no damage
		return nil
	}
	info, err := s.ns.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return fmt.Errorf("JetStream in %s: %w", dir, err)
	}
	var loaded []string
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			loaded = append(loaded, filepath.Join(dir, "jetstream", account.Id, "streams", stream.Name))
		}
	}
	aside := filepath.Join(dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000"))
	var lost []string
	for _, path := range found {
		if slices.Contains(loaded, path) {
			continue
		}
		if err := os.MkdirAll(aside, 0o700); err != nil {
			return fmt.Errorf("damaged store: %w", err)
		}
		if err := os.Rename(path, filepath.Join(aside, filepath.Base(path))); err != nil {
			return fmt.Errorf("damaged store: %w", err)
		}
		lost = append(lost, filepath.Base(path))
	}
	if len(lost) == 0 {
		return nil
	}
	s.damage = fmt.Sprintf("%s could not be read and began anew: its files are in %s; stop weft and restore %s from a backup, or delete them",
		strings.Join(lost, ", "), aside, dir)
	s.opts.Logger.Error("what was kept on disk is damaged", "directory", dir, "remedy", s.damage)
	return nil
}

// Damage says what of the store could not be read when the server started, and what to do;
// "" when there is nothing to say.
func (s *Server) Damage() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.damage
}

// Damage says what the embedded server, if there is one, could not read: see [Server.Damage].
func (c *Conn) Damage() string {
	if c.opts.Server == nil {
		return ""
	}
	return c.opts.Server.Damage()
}
