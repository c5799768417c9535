package repolint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestEveryRuleFires reads testdata/rules/NAME.txtar for each rule: a small tree, and above it the problems that
// the rule finds there, one a line. A fixture whose expectations are not met, or a rule without one, is an error.
func TestEveryRuleFires(t *testing.T) {
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			archive, err := txtar.ParseFile(filepath.Join("testdata", "rules", rule.Name+".txtar"))
			if err != nil {
				t.Fatal(err)
			}
			tree := unpack(t, archive)
			var got strings.Builder
			for _, problem := range Check(tree) {
				if problem.Rule == rule.Name {
					got.WriteString(strings.TrimPrefix(problem.String(), rule.Name+": ") + "\n")
				}
			}
			want := string(archive.Comment)
			if want == "" {
				t.Fatal("the fixture expects no problem, so it does not show that the rule finds any")
			}
			if got.String() != want {
				t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
			}
		})
	}
}

func TestLoadRefusesWhatDoesNotParse(t *testing.T) {
	_, err := load(t, &txtar.Archive{Files: []txtar.File{{Name: "graph/a.go", Data: []byte("package graph\nfunc {")}}})
	if err == nil || !strings.Contains(err.Error(), "graph/a.go:2") {
		t.Fatalf("got %v, want an error that names the file and the line", err)
	}
}

func TestAnchorsAreGitHubs(t *testing.T) {
	got := anchors([]byte("# The life of a link-down event\n```sh\n# no heading\n```\n## `weft query`: rows & time\n"))
	want := "the-life-of-a-link-down-event weft-query-rows--time"
	if strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func unpack(t *testing.T, archive *txtar.Archive) *Tree {
	t.Helper()
	tree, err := load(t, archive)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func load(t *testing.T, archive *txtar.Archive) (*Tree, error) {
	t.Helper()
	root := t.TempDir()
	for _, file := range archive.Files {
		name := filepath.Join(root, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		// A fixture may say %%800 for a file of that many more lines.
		data := strings.ReplaceAll(string(file.Data), "%%800\n", strings.Repeat("//\n", 800))
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Load(root)
}
