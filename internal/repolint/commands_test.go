package repolint

import (
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedCommands asks the program for help on every command line of weft that a page shows in a block of
// shell: a command or a flag that is gone, or never was, is found here.
func TestDocumentedCommands(t *testing.T) {
	tree, err := Load(repository)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "weft")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/weft")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	asked := 0
	for _, name := range tree.names() {
		if path.Ext(name) != ".md" || inTestdata(name) {
			continue
		}
		for _, line := range shellLines(string(tree.Files[name])) {
			words, err := splitShell(line)
			if err != nil {
				t.Errorf("%s: %q: %v", name, line, err)
				continue
			}
			args := weftArguments(words)
			if len(args) == 0 {
				continue
			}
			asked++
			out, err := exec.CommandContext(t.Context(), program, append(args, "--help")...).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %q: %v\n%s", name, line, err, out)
				continue
			}
			command := firstWord(args)
			if command != "" && !strings.Contains(string(out), "\n  weft "+command) {
				t.Errorf("%s: %q: there is no command %q", name, line, command)
			}
		}
	}
	if asked < 10 {
		t.Fatalf("only %d commands were found in the documentation", asked)
	}
	t.Logf("%d commands", asked)
}

func TestShellLines(t *testing.T) {
	page := "text `weft gone`\n```sh\n# a comment\n$ weft query \"G.V()\" \\\n  --json   # why\nsudo ip link\n```\n```json\nweft no\n```\n"
	got := strings.Join(shellLines(page), "|")
	if want := `weft query "G.V()"    --json|sudo ip link`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	words, err := splitShell(`sudo bin/weft query "G.V().Has('a')" | jq .`)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(weftArguments(words), "|"); got != "query|G.V().Has('a')" {
		t.Errorf("arguments %q", got)
	}
	if _, err := splitShell(`weft query "G`); err == nil {
		t.Error("an open quote was accepted")
	}
}

var comment = regexp.MustCompile(`(^|\s)#( .*)?$`)

// shellLines returns the commands of the blocks marked sh: prompts, comments and continued lines taken care of.
func shellLines(page string) []string {
	var lines []string
	inside, joined := false, ""
	for line := range strings.SplitSeq(page, "\n") {
		if strings.HasPrefix(line, "```") {
			inside = !inside && strings.TrimPrefix(line, "```") == "sh"
			continue
		}
		if !inside {
			continue
		}
		line = strings.TrimPrefix(line, "$ ")
		if before, continued := strings.CutSuffix(line, `\`); continued {
			joined += before + " "
			continue
		}
		line = strings.TrimSpace(comment.ReplaceAllString(joined+line, ""))
		joined = ""
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

type openQuote struct{}

func (openQuote) Error() string { return "a quote is not closed" }

// splitShell splits a command line at spaces that no quote protects.
func splitShell(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, started := rune(0), false
	flush := func() {
		if started {
			words = append(words, word.String())
		}
		word.Reset()
		started = false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, started = r, true
		case r == ' ' || r == '\t':
			flush()
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if quote != 0 {
		return nil, openQuote{}
	}
	flush()
	return words, nil
}

// weftArguments returns what a command line gives to weft, if it runs it.
func weftArguments(words []string) []string {
	for len(words) > 0 && (words[0] == "sudo" || strings.Contains(words[0], "=") || strings.HasPrefix(words[0], "-")) {
		words = words[1:]
	}
	if len(words) == 0 || words[0] != "weft" && words[0] != "bin/weft" {
		return nil
	}
	args := words[1:]
	for i, word := range args {
		if word == "|" || word == ">" || word == "<" || word == "&" || word == "&&" || word == ";" {
			return args[:i]
		}
	}
	return args
}

// firstWord is the command among the arguments: flags before it take a value.
func firstWord(args []string) string {
	for i := 0; i < len(args); i++ {
		switch {
		case !strings.HasPrefix(args[i], "-"):
			return args[i]
		case !strings.Contains(args[i], "="):
			i++
		}
	}
	return ""
}
