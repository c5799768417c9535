package repolint

import (
	"path/filepath"
	"testing"
)

// root is this repository, seen from the folder in which its tests run.
const repository = "../.."

func TestRepository(t *testing.T) {
	tree, err := Load(repository)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Packages) < 10 {
		t.Fatalf("found %d packages in %s: not the repository", len(tree.Packages), filepath.Clean(repository))
	}
	why := make(map[string]string)
	for _, rule := range Rules() {
		why[rule.Name] = rule.Why
	}
	for _, problem := range Check(tree) {
		t.Error(problem)
		if reason := why[problem.Rule]; reason != "" {
			t.Logf("%s, because %s", problem.Rule, reason)
			why[problem.Rule] = "" // said once
		}
	}
}
