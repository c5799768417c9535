package repolint

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one place where the tree breaks a rule.
type Problem struct {
	Rule string
	File string
	Line int // 0 for the file or directory as a whole
	Text string
}

func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s: %s", p.Rule, p.File, p.Text)
	}
	return fmt.Sprintf("%s: %s:%d: %s", p.Rule, p.File, p.Line, p.Text)
}

// Rule is one thing that holds for the whole tree, with the reason for it.
type Rule struct {
	Name  string
	Why   string
	check func(*Tree) []Problem
}

// Rules lists every rule. A new one needs a tree in testdata that breaks it.
func Rules() []Rule {
	return []Rule{
		{"imports", "imports point one way, so that a part can be read, tested and used without the rest", checkImports},
		{"dependencies", "each foreign package has one home, so that it can be replaced there; leaves stay light for those who import them", checkDependencies},
		{"docs", "a package says what it is for, who may call it, and when it ends", checkPackageDocs},
		{"size", "a file is one subject that fits in a head", checkFileSize},
		{"generated", "a generated file says so and names its generator", checkGenerated},
		{"state", "New is inert and dependencies are passed in: no init, no variable of a package that is written to", checkState},
		{"waits", "a test waits for a condition, never for a time", checkSleeps},
		{"skips", "a test that is skipped in silence proves nothing: only testenv decides, and it fails in CI", checkSkips},
		{"leaks", "a package that starts goroutines proves that they end", checkLeaks},
		{"words", "unfinished marks and paths of one machine mean nothing to a reader", checkWords},
		{"links", "what the documentation names exists", checkLinks},
	}
}

// Check applies every rule and returns the problems in the order of rules, files and lines.
func Check(tree *Tree) []Problem {
	var all []Problem
	for _, rule := range Rules() {
		problems := rule.check(tree)
		for i := range problems {
			problems[i].Rule = rule.Name
		}
		slices.SortFunc(problems, func(a, b Problem) int {
			if c := strings.Compare(a.File, b.File); c != 0 {
				return c
			}
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return strings.Compare(a.Text, b.Text)
		})
		all = append(all, problems...)
	}
	return all
}
