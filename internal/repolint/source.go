package repolint

import (
	"bytes"
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// maxLines bounds a hand-written file.
const maxLines = 800

// minDoc is the least that says what a package is for; a single short line never does.
const minDoc = 120

// checkPackageDocs wants one doc comment a package, on a file that is not a test, and long enough to say something.
func checkPackageDocs(tree *Tree) []Problem {
	var problems []Problem
	for _, pkg := range tree.Packages {
		if pkg.Name == "" {
			continue
		}
		var doc string
		for _, file := range pkg.Files {
			if !file.Test && file.AST.Doc != nil {
				doc = file.AST.Doc.Text()
			}
		}
		switch {
		case doc == "":
			problems = append(problems, Problem{File: pkg.Dir, Text: "no package comment"})
		case pkg.Name != "main" && !strings.HasPrefix(doc, "Package "+pkg.Name+" "):
			problems = append(problems, Problem{File: pkg.Dir, Text: "the package comment starts with 'Package " + pkg.Name + " '"})
		case len(doc) < minDoc:
			problems = append(problems, Problem{File: pkg.Dir, Text: "the package comment does not say what it is for, who may call it and when it ends"})
		}
	}
	return problems
}

func checkFileSize(tree *Tree) []Problem {
	var problems []Problem
	for _, name := range tree.names() {
		switch path.Ext(name) {
		case ".go", ".ts", ".tsx", ".sh", ".py":
		default:
			continue
		}
		data := tree.Files[name]
		if lines := bytes.Count(data, []byte("\n")); lines > maxLines && !generatedLine.Match(data) {
			problems = append(problems, Problem{File: name, Text: fmt.Sprintf("%d lines, more than %d", lines, maxLines)})
		}
	}
	return problems
}

// checkGenerated wants a go:generate line for each directory that holds generated Go files. Whether they are current is for `make check`,
// which makes them again.
func checkGenerated(tree *Tree) []Problem {
	generators := make(map[string]bool) // directories
	for name, data := range tree.Files {
		if path.Ext(name) == ".go" && (bytes.HasPrefix(data, []byte("//go:generate ")) || bytes.Contains(data, []byte("\n//go:generate "))) {
			generators[path.Dir(name)] = true
		}
	}
	var problems []Problem
	for _, pkg := range tree.Packages {
		for _, file := range pkg.Files {
			if file.Generated && !generators[pkg.Dir] {
				problems = append(problems, Problem{File: file.Path, Text: "generated, but no go:generate line in its folder makes it"})
			}
			if !file.Generated && strings.HasSuffix(file.Path, ".pb.go") {
				problems = append(problems, Problem{File: file.Path, Text: "the name says generated, the first lines do not"})
			}
		}
	}
	return problems
}

// checkSleeps looks for time.Sleep in tests.
func checkSleeps(tree *Tree) []Problem {
	return eachTestCall(tree, func(pkg *Package, call *ast.CallExpr, within []ast.Node) string {
		if selector(call) == "time.Sleep" {
			return "time.Sleep in a test"
		}
		return ""
	})
}

// checkSkips looks for skips, other than those under testing.Short and in testenv, which decides for everyone.
func checkSkips(tree *Tree) []Problem {
	return eachTestCall(tree, func(pkg *Package, call *ast.CallExpr, within []ast.Node) string {
		selected, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, selected.Sel.Name) {
			return ""
		}
		receiver, ok := selected.X.(*ast.Ident)
		if !ok || !slices.Contains([]string{"t", "b", "f", "tb"}, receiver.Name) {
			return "" // rapid's T skips a draw, not a test
		}
		if pkg.Dir == "internal/testenv" || slices.ContainsFunc(within, askedFor) {
			return ""
		}
		return "a test is skipped: ask internal/testenv, or testing.Short, or WEFT_SOAK"
	})
}

// askedFor reports whether a node is an if statement on what the caller asked for: testing.Short or a soak.
func askedFor(node ast.Node) bool {
	branch, ok := node.(*ast.IfStmt)
	if !ok {
		return false
	}
	found := false
	for _, part := range []ast.Node{branch.Init, branch.Cond} {
		if part == nil {
			continue
		}
		ast.Inspect(part, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.CallExpr:
				called := selector(node)
				found = found || called == "testing.Short" || called == "testenv.Soak" || called == "testenv.InCI"
			case *ast.BasicLit:
				found = found || node.Value == `"WEFT_SOAK"`
			}
			return true
		})
	}
	return found
}

// eachTestCall visits every call in test files and testenv, with the nodes that surround it.
func eachTestCall(tree *Tree, judge func(*Package, *ast.CallExpr, []ast.Node) string) []Problem {
	var problems []Problem
	for _, pkg := range tree.Packages {
		for _, file := range pkg.Files {
			if !file.Test {
				continue
			}
			var within []ast.Node
			ast.Inspect(file.AST, func(node ast.Node) bool {
				if node == nil {
					within = within[:len(within)-1]
					return true
				}
				if call, ok := node.(*ast.CallExpr); ok {
					if text := judge(pkg, call, within); text != "" {
						problems = append(problems, Problem{File: file.Path, Line: tree.line(call.Pos()), Text: text})
					}
				}
				within = append(within, node)
				return true
			})
		}
	}
	return problems
}

// selector returns "pkg.Name" for a call of that form.
func selector(call *ast.CallExpr) string {
	selected, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	receiver, ok := selected.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return receiver.Name + "." + selected.Sel.Name
}

// checkLeaks wants goleak in the tests of each package whose code starts goroutines.
func checkLeaks(tree *Tree) []Problem {
	var problems []Problem
	for _, pkg := range tree.Packages {
		if !pkg.Own() || pkg.Name == "main" || testSupport(pkg.Dir) {
			continue
		}
		starts, guarded := "", false
		line := 0
		for _, file := range pkg.Files {
			if file.Test {
				guarded = guarded || slices.ContainsFunc(tree.Imports(file), func(i Import) bool { return i.Path == "go.uber.org/goleak" })
				continue
			}
			ast.Inspect(file.AST, func(node ast.Node) bool {
				if statement, ok := node.(*ast.GoStmt); ok && starts == "" {
					starts, line = file.Path, tree.line(statement.Pos())
				}
				return true
			})
		}
		if starts != "" && !guarded {
			problems = append(problems, Problem{File: starts, Line: line, Text: "a goroutine starts here, and no test of the package uses goleak"})
		}
	}
	return problems
}
