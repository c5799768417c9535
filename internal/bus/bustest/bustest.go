// Package bustest starts the NATS servers that tests of the bus need. It is for tests only, and
// called from the goroutine of the test that it is for; what it starts ends with that test.
package bustest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weft-net/weft/internal/testenv"
)

// Debian runs Debian's nats-server 2.9 with JetStream on a free port of loopback and returns
// its URL. The config is appended to its configuration. A machine without it skips the
// test, and fails it in CI.
func Debian(t testing.TB, config string) string {
	t.Helper()
	address := FreeAddress(t)
	path := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, max_mem: 64M, max_file: 2G }\n%s\n", address, filepath.Dir(path), config)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := testenv.Command(t.Context(), t, "nats-server", "-c", path)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // killed
		if t.Failed() {
			t.Log(out.String())
		}
	})
	testenv.Eventually(t, 10*time.Second, func() string {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err.Error()
		}
		conn.Close()
		return ""
	})
	return "nats://" + address
}

// FreeAddress is a HOST:PORT of loopback that nothing listens on. The port is none of those that the kernel gives to
// connections, so that it stays free while the process that listens on it is started anew.
func FreeAddress(t testing.TB) string {
	t.Helper()
	const lowest, given = 10_000, 32_768 // the kernel's begin here
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(given-lowest)) //nolint:gosec // no secret
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
