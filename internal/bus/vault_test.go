package bus

import (
	"bytes"
	"context"
	"testing"
	"time"
)

// contents are what the vault holds, by name.
func contents(t *testing.T, v *Vault) map[string][]byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	all := map[string][]byte{}
	err := v.Load(ctx, func(name string, data []byte, err error) {
		if err != nil {
			t.Fatal(err)
		}
		all[name] = data
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestVaultReplacesValuesWhole(t *testing.T) {
	conn := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: startServer(t, ServerOptions{Dir: t.TempDir()})})
	v, err := conn.Vault("test", true, 1)
	if err != nil {
		t.Fatal(err)
	}
	large, small := bytes.Repeat([]byte("0123456789"), 100_000), []byte("small")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, put := range []struct {
		name string
		data []byte
	}{{"a/b c", large}, {"empty", nil}, {"a/b c", small}, {"other", large}} {
		if err := v.Save(ctx, put.name, put.data); err != nil {
			t.Fatal(err)
		}
	}
	got := contents(t, v)
	if len(got) != 3 || !bytes.Equal(got["a/b c"], small) || len(got["empty"]) != 0 || !bytes.Equal(got["other"], large) {
		t.Fatalf("the vault holds %d values, not the three that were saved last", len(got))
	}
	// The chunks of the first large value are gone: 1 + 8 chunks and 3 entries.
	info, err := v.js.StreamInfo("OBJ_test")
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != 12 {
		t.Errorf("%d messages on disk, want 12", info.State.Msgs)
	}
	if err := v.Delete("other"); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, v); len(got) != 2 {
		t.Errorf("%d values after a delete, want 2", len(got))
	}
}

func TestVaultEndsWithItsContext(t *testing.T) {
	conn := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: startServer(t, ServerOptions{Dir: t.TempDir()})})
	v, err := conn.Vault("test", true, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.Save(ctx, "a", []byte("data")); err == nil {
		t.Error("saved with a context that has ended")
	}
}
