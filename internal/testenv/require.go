package testenv

import (
	"os"
	"testing"
)

// InCI reports whether the tests run where everything must be at hand.
func InCI() bool { return os.Getenv("CI") != "" }

// Soak reports whether tests may take minutes (make soak sets WEFT_SOAK=1).
func Soak() bool { return os.Getenv("WEFT_SOAK") != "" }

// Missing ends the test because something it needs is not there: it is skipped on a
// laptop and fails in CI.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if InCI() {
		t.Fatalf("missing in CI: "+format, args...)
	}
	t.Skipf("missing: "+format, args...)
}

// Root ends the test unless it runs as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "root: run the tests with sudo, or in a container with --privileged")
	}
}
