package repolint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// modulePath is the module that the import rules speak of.
const modulePath = "github.com/weft-net/weft"

// Tree is a source tree as read from disk: every text file, and its Go files parsed and grouped by package.
type Tree struct {
	Files    map[string][]byte // by slash-separated path below the root
	Packages []*Package        // sorted by directory
	fset     *token.FileSet
}

// Package is the Go files of one directory. Fixtures under testdata are files of the tree, but not packages.
type Package struct {
	Dir    string // slash-separated, "." for the root
	Name   string // of the files that are not tests; "" where there are only tests
	Module string // the directory of the go.mod it belongs to, "." for weft's own
	Files  []*GoFile
}

// GoFile is one parsed Go file.
type GoFile struct {
	Path      string
	Test      bool
	Generated bool
	AST       *ast.File
}

// Import is one import of a Go file.
type Import struct {
	Path string
	Line int
}

var generatedLine = regexp.MustCompile(`(?m)^(//|#|<!--) Code generated .* DO NOT EDIT`)

// skippedDirs are never part of the source: what git, builds and package managers leave.
var skippedDirs = []string{".git", ".cache", "bin", "node_modules", "dist"}

// Load reads the tree below root. A Go file that does not parse is an error, since no rule could be trusted then.
func Load(root string) (*Tree, error) {
	tree := &Tree{Files: make(map[string][]byte), fset: token.NewFileSet()}
	modules := make(map[string]bool)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if entry.IsDir() {
			if slices.Contains(skippedDirs, entry.Name()) && relative != "." {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if bytes.IndexByte(data, 0) >= 0 {
			return nil // not text
		}
		tree.Files[relative] = data
		if entry.Name() == "go.mod" {
			modules[path.Dir(relative)] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", root, err)
	}
	if err := tree.parse(modules); err != nil {
		return nil, err
	}
	return tree, nil
}

func (t *Tree) parse(modules map[string]bool) error {
	byDir := make(map[string]*Package)
	for name, data := range t.Files {
		if path.Ext(name) != ".go" || inTestdata(name) {
			continue
		}
		file, err := parser.ParseFile(t.fset, name, data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("go file: %w", err)
		}
		dir := path.Dir(name)
		pkg := byDir[dir]
		if pkg == nil {
			pkg = &Package{Dir: dir, Module: moduleOf(dir, modules)}
			byDir[dir] = pkg
			t.Packages = append(t.Packages, pkg)
		}
		source := &GoFile{
			Path:      name,
			Test:      strings.HasSuffix(name, "_test.go"),
			Generated: generatedLine.Match(data),
			AST:       file,
		}
		if !source.Test {
			pkg.Name = file.Name.Name
		}
		pkg.Files = append(pkg.Files, source)
	}
	slices.SortFunc(t.Packages, func(a, b *Package) int { return strings.Compare(a.Dir, b.Dir) })
	for _, pkg := range t.Packages {
		slices.SortFunc(pkg.Files, func(a, b *GoFile) int { return strings.Compare(a.Path, b.Path) })
	}
	return nil
}

func moduleOf(dir string, modules map[string]bool) string {
	for ; dir != "."; dir = path.Dir(dir) {
		if modules[dir] {
			return dir
		}
	}
	return "."
}

func inTestdata(name string) bool {
	return slices.Contains(strings.Split(name, "/"), "testdata")
}

// Own reports whether the package belongs to weft's module, not to tools or bench.
func (p *Package) Own() bool { return p.Module == "." }

// Imports lists the imports of a file in the order of its source.
func (t *Tree) Imports(file *GoFile) []Import {
	var imports []Import
	for _, spec := range file.AST.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser takes no import that is not a string
		}
		imports = append(imports, Import{Path: name, Line: t.line(spec.Pos())})
	}
	return imports
}

func (t *Tree) line(pos token.Pos) int { return t.fset.Position(pos).Line }

// names returns the paths of all files in order.
func (t *Tree) names() []string {
	names := make([]string, 0, len(t.Files))
	for name := range t.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
