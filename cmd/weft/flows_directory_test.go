package main

import (
	"os/exec"
	"strings"
	"testing"
)

// A directory is told to be one, rather than taken for a filter.
func TestFlowsOfADirectory(t *testing.T) {
	path, err := exec.LookPath("weft")
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(path, "flows", t.TempDir()+"/").CombinedOutput()
	if err == nil || !strings.Contains(string(said), "is a directory") {
		t.Errorf("%v: %s", err, said)
	}
}
