package probe

import (
	"testing"

	"github.com/google/uuid"
)

func TestIDsAreUUIDv5InTheOIDNamespace(t *testing.T) {
	if got, want := GenID("a", "b"), uuid.NewSHA1(uuid.NameSpaceOID, []byte("a/b")).String(); got != want {
		t.Errorf("GenID is %s, want %s", got, want)
	}
	if got, want := TID("host"), uuid.NewSHA1(uuid.NameSpaceOID, []byte("host")).String(); got != want {
		t.Errorf("TID is %s, want %s", got, want)
	}
	if TID("a", "b", "c") != TID("abc") {
		t.Error("TID separates its parts")
	}
}

func TestEnvHasDefaults(t *testing.T) {
	e := Env{Host: "h"}.WithDefaults()
	if e.Logger == nil || e.Now == nil || e.Settings.Linux.MetricInterval == 0 || len(e.Settings.Linux.NamespaceDirs) == 0 {
		t.Errorf("%+v", e)
	}
	e.Settings.Linux.RouteLimit = 7
	if again := e.WithDefaults(); again.Settings.Linux.RouteLimit != 7 {
		t.Error("a setting was overwritten")
	}
}
