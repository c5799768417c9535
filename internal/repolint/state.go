package repolint

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"strings"
)

// guards are types that have no use but to guard or hold something that changes.
var guards = []string{"sync.Mutex", "sync.RWMutex", "sync.Map", "sync.WaitGroup", "sync.Cond", "atomic."}

// checkState looks for init functions and for variables of a package that its code writes to. Sentinel errors,
// regular expressions, tables, pools and embedded files are never written to, and so pass.
func checkState(tree *Tree) []Problem {
	var problems []Problem
	for _, pkg := range tree.Packages {
		if !pkg.Own() || pkg.Name == "main" || pkg.Name == "" {
			continue
		}
		problems = append(problems, pkgState(tree, pkg)...)
	}
	return problems
}

func pkgState(tree *Tree, pkg *Package) []Problem {
	var problems []Problem
	var files []*ast.File
	paths := make(map[*ast.File]string)
	for _, file := range pkg.Files {
		if file.Test || file.Generated {
			continue
		}
		files = append(files, file.AST)
		paths[file.AST] = file.Path
	}
	report := func(file *ast.File, pos token.Pos, format string, args ...any) {
		problems = append(problems, Problem{File: paths[file], Line: tree.line(pos), Text: fmt.Sprintf(format, args...)})
	}
	uses := resolve(tree.fset, files)
	for _, file := range files {
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil && decl.Name.Name == "init" {
					report(file, decl.Pos(), "init function")
				}
			case *ast.GenDecl:
				for _, name := range guarded(decl) {
					report(file, name.Pos(), "the package keeps state in %s", name.Name)
				}
			}
		}
		ast.Inspect(file, func(node ast.Node) bool {
			for _, target := range written(node) {
				if name := root(target); name != nil && uses[name] {
					report(file, name.Pos(), "the package keeps state in %s: it is written to here", name.Name)
				}
			}
			return true
		})
	}
	return problems
}

// resolve tells which identifiers stand for a variable of the package. Imports are not looked at: names of the
// package itself are resolved without them, and whatever cannot be typed then does not matter here.
func resolve(fset *token.FileSet, files []*ast.File) map[*ast.Ident]bool {
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: hollow{}, Error: func(error) {}, IgnoreFuncBodies: false}
	pkg, _ := config.Check("p", fset, files, info) // the errors are those of the hollow imports
	found := make(map[*ast.Ident]bool)
	for ident, object := range info.Uses {
		if _, ok := object.(*types.Var); ok && pkg != nil && object.Parent() == pkg.Scope() {
			found[ident] = true
		}
	}
	return found
}

// hollow is an importer of empty packages.
type hollow struct{}

func (hollow) Import(name string) (*types.Package, error) {
	pkg := types.NewPackage(name, path.Base(name))
	pkg.MarkComplete()
	return pkg, nil
}

// guarded returns the variables of a declaration whose type says that they change.
func guarded(decl *ast.GenDecl) []*ast.Ident {
	if decl.Tok != token.VAR {
		return nil
	}
	var names []*ast.Ident
	for _, spec := range decl.Specs {
		value, ok := spec.(*ast.ValueSpec)
		if !ok || value.Type == nil {
			continue
		}
		text := types.ExprString(value.Type)
		for _, guard := range guards {
			if strings.HasPrefix(strings.TrimPrefix(text, "*"), guard) {
				names = append(names, value.Names...)
			}
		}
	}
	return names
}

// written returns the expressions that a statement writes to.
func written(node ast.Node) []ast.Expr {
	switch node := node.(type) {
	case *ast.AssignStmt:
		if node.Tok != token.DEFINE {
			return node.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{node.X}
	case *ast.CallExpr:
		if name, ok := node.Fun.(*ast.Ident); ok && (name.Name == "delete" || name.Name == "clear") && len(node.Args) > 0 {
			return node.Args[:1]
		}
	}
	return nil
}

// root returns the identifier at the left end of x, x.f, x[i], *x and (x).
func root(expr ast.Expr) *ast.Ident {
	for {
		switch at := expr.(type) {
		case *ast.Ident:
			return at
		case *ast.SelectorExpr:
			expr = at.X
		case *ast.IndexExpr:
			expr = at.X
		case *ast.StarExpr:
			expr = at.X
		case *ast.ParenExpr:
			expr = at.X
		default:
			return nil
		}
	}
}
