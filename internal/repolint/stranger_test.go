package repolint

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// strangers are programs of someone who imports one public package from a module of his own: what each prints, and
// the foreign modules that come along with it. A longer list is a price that every such program pays.
var strangers = []struct {
	leaf    string
	prints  string
	modules []string
}{
	{"graph", "UP\nDOWN\n", nil},
	{"gremlin", "2\n", nil},
	{"skydive", "NodeAdded n1 eth0 1500\n", []string{"github.com/go-json-experiment/json", "google.golang.org/protobuf"}},
	{"flow", "UDP 10.0.0.1 10.0.0.2\n", []string{
		"github.com/cespare/xxhash/v2", "github.com/go-json-experiment/json", "github.com/gopacket/gopacket", "google.golang.org/protobuf",
	}},
	{"flow/pcapfile", "1 packets of link type 1\n", []string{
		"github.com/cespare/xxhash/v2", "github.com/go-json-experiment/json", "github.com/gopacket/gopacket", "github.com/klauspost/compress",
		"google.golang.org/protobuf",
	}},
	{"client", "weft at stranger\nn1\n", []string{
		"github.com/cespare/xxhash/v2", "github.com/coder/websocket", "github.com/go-json-experiment/json", "github.com/gopacket/gopacket",
		"golang.org/x/time", "google.golang.org/protobuf",
	}},
}

// TestStranger builds and runs each of those programs in a module outside the tree.
func TestStranger(t *testing.T) {
	for _, stranger := range strangers {
		t.Run(stranger.leaf, func(t *testing.T) {
			dir := strangerModule(t, stranger.leaf)
			program := filepath.Join(dir, "program")
			goTool(t, dir, "build", "-o", program, ".")
			var stderr bytes.Buffer
			run := exec.CommandContext(t.Context(), program)
			run.Stderr = &stderr
			out, err := run.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			if got := string(out); strings.TrimSpace(got) != strings.TrimSpace(stranger.prints) {
				t.Errorf("printed %q, want %q", got, stranger.prints)
			}
			modules := strings.Fields(goTool(t, dir, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "."))
			slices.Sort(modules)
			modules = slices.DeleteFunc(slices.Compact(modules), func(module string) bool {
				return module == "stranger.example" || module == modulePath
			})
			if !slices.Equal(modules, stranger.modules) {
				t.Errorf("brings along %v, want %v", modules, stranger.modules)
			}
		})
	}
}

// strangerModule makes a module that replaces weft by this tree, with the program of one leaf.
func strangerModule(t *testing.T, leaf string) string {
	t.Helper()
	top, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copyFile(t, filepath.Join("testdata", "stranger", leaf, "main.go"), filepath.Join(dir, "main.go"))
	copyFile(t, filepath.Join(top, "go.sum"), filepath.Join(dir, "go.sum"))
	module := fmt.Sprintf("module stranger.example\n\ngo 1.26\n\nrequire %s v0.0.0\n\nreplace %[1]s => %s\n", modulePath, top)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(module), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// goTool runs the go command in a stranger's module, whose go.mod it may complete, and returns what it prints.
func goTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod -buildvcs=false", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}
