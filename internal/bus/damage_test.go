package bus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDamagedStoreIsToldAndSetAside(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"overwritten": func(b []byte) []byte { return []byte(strings.Repeat("x", len(b))) },
		"halved":      func(b []byte) []byte { return b[:len(b)/2] },
		"emptied":     func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			start := func() *Server {
				s := startServer(t, ServerOptions{Dir: dir})
				c := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: s})
				bucket, err := c.Bucket("things", true, 1)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := bucket.Put("a", []byte("b")); err != nil {
					t.Fatal(err)
				}
				c.Close()
				return s
			}
			s := start()
			if s.Damage() != "" {
				t.Errorf("a new store is damaged: %s", s.Damage())
			}
			s.Stop()
			s = start()
			if s.Damage() != "" {
				t.Errorf("a sound store is damaged: %s", s.Damage())
			}
			s.Stop()
			err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				return os.WriteFile(path, spoil(data), 0o600)
			})
			if err != nil {
				t.Fatal(err)
			}
			s = start()
			if !strings.Contains(s.Damage(), "KV_things") || !strings.Contains(s.Damage(), dir) {
				t.Errorf("damage %q", s.Damage())
			}
			if kept, _ := filepath.Glob(filepath.Join(dir, "damaged-*", "KV_things", "meta.inf")); len(kept) != 1 {
				t.Errorf("set aside: %q", kept)
			}
			s.Stop()
			if s = start(); s.Damage() != "" {
				t.Errorf("still damaged: %s", s.Damage())
			}
		})
	}
}
