package main

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// source is a package whose functions get mutants.
type source struct {
	dir   string // relative to the module's root folder
	fset  *token.FileSet
	files []*file
	types *types.Package
	info  *types.Info
}

type file struct {
	name string // relative to the module's root folder
	text []byte
	tree *ast.File
	skip bool // it gets no mutants
}

// parse reads the files of a package and checks their types. Open returns what
// the compiler exports of an imported package.
func parse(dir, path string, names []string, open func(path string) (io.ReadCloser, error)) (*source, error) {
	s := &source{dir: dir, fset: token.NewFileSet()}
	trees := make([]*ast.File, 0, len(names))
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		tree, err := parser.ParseFile(s.fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, &file{name: filepath.ToSlash(filepath.Join(dir, name)), text: text, tree: tree})
		trees = append(trees, tree)
	}
	s.info = &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{},
	}
	config := types.Config{Importer: importer.ForCompiler(s.fset, "gc", open)}
	var err error
	s.types, err = config.Check(path, s.fset, trees, s.info)
	return s, err
}

// function is a declared function, with what the operators ask about it.
type function struct {
	pkg      *source
	file     *file
	decl     *ast.FuncDecl
	branches map[ast.Node]bool // the blocks that an if, an else or a case runs
	returns  map[*ast.ReturnStmt]*types.Signature
}

func newFunction(pkg *source, in *file, decl *ast.FuncDecl) *function {
	f := &function{pkg: pkg, file: in, decl: decl, branches: map[ast.Node]bool{}, returns: map[*ast.ReturnStmt]*types.Signature{}}
	signatures := []*types.Signature{pkg.info.Defs[decl.Name].Type().(*types.Signature)}
	var visit func(ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			f.branches[n.Body] = true
			if n.Else != nil {
				f.branches[n.Else] = true
			}
		case *ast.CaseClause:
			f.branches[n] = true
		case *ast.ReturnStmt:
			f.returns[n] = signatures[len(signatures)-1]
		case *ast.FuncLit:
			signatures = append(signatures, pkg.info.TypeOf(n).(*types.Signature))
			ast.Inspect(n.Body, visit)
			signatures = signatures[:len(signatures)-1]
			return false
		}
		return true
	}
	ast.Inspect(decl.Body, visit)
	return f
}

// name returns the function's name, with the type of its receiver.
func (f *function) name() string {
	if f.decl.Recv == nil {
		return f.decl.Name.Name
	}
	t := f.decl.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	} else if list, ok := t.(*ast.IndexListExpr); ok {
		t = list.X
	}
	return f.text(t) + "." + f.decl.Name.Name
}

func (f *function) text(n ast.Node) string { return f.between(n.Pos(), n.End()) }

func (f *function) between(from, to token.Pos) string {
	return string(f.file.text[f.offset(from):f.offset(to)])
}

func (f *function) offset(p token.Pos) int { return f.pkg.fset.Position(p).Offset }

// results returns the results of the function that the statement returns from.
func (f *function) results(ret *ast.ReturnStmt) *types.Tuple { return f.returns[ret].Results() }

func (f *function) isBool(e ast.Expr) bool   { return isBasic(f.pkg.info.TypeOf(e), types.IsBoolean) }
func (f *function) isNumber(e ast.Expr) bool { return isBasic(f.pkg.info.TypeOf(e), types.IsNumeric) }

func isBasic(t types.Type, info types.BasicInfo) bool {
	if t == nil {
		return false
	}
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&info != 0
}

func isError(t types.Type) bool { return types.Identical(t, types.Universe.Lookup("error").Type()) }

// uses returns an assignment to nothing of the variables that the nodes use and
// do not declare. Without it, what uses a variable last could not be left out.
func (f *function) uses(nodes ...ast.Node) string {
	var names []string
	for _, n := range nodes {
		ast.Inspect(n, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			v, ok := f.pkg.info.Uses[id].(*types.Var)
			inside := func(n ast.Node) bool { return n.Pos() <= v.Pos() && v.Pos() < n.End() }
			if ok && !v.IsField() && v.Parent() != f.pkg.types.Scope() && inside(f.decl) &&
				!slices.ContainsFunc(nodes, inside) && !slices.Contains(names, id.Name) {
				names = append(names, id.Name)
			}
			return true
		})
	}
	if len(names) == 0 {
		return ""
	}
	return strings.Repeat("_, ", len(names)-1) + "_ = " + strings.Join(names, ", ")
}

// mutants returns all changes of the function, in the order of the source.
func (f *function) mutants() []*mutant {
	var out []*mutant
	seen := map[string]int{}
	ast.Inspect(f.decl.Body, func(n ast.Node) bool {
		if n == nil {
			return false
		}
		for _, op := range operators {
			for _, c := range op.find(f, n) {
				m := &mutant{in: f, change: c}
				m.File, m.Function, m.Operator = f.file.name, f.name(), op.name
				m.Change = shown(c.old, c.new)
				seen[m.Operator+m.Change]++
				if k := seen[m.Operator+m.Change]; k > 1 {
					m.Change += fmt.Sprintf(" #%d", k)
				}
				out = append(out, m)
			}
		}
		return true
	})
	return out
}

// maxShown bounds each side of a change as a reader sees it.
const maxShown = 90

// shown returns a change in one line. Its two sides differ in what it shows.
func shown(old, text string) string {
	old, text = strings.Join(strings.Fields(old), " "), strings.Join(strings.Fields(text), " ")
	if text == "" {
		return "without " + cut(old, 0)
	}
	same := 0
	for same < min(len(old), len(text)) && old[same] == text[same] {
		same++
	}
	return cut(old, same) + " → " + cut(text, same)
}

// cut shortens a text to what is around the byte at an index.
func cut(text string, around int) string {
	r := []rune(text)
	if len(r) <= maxShown {
		return text
	}
	from := max(0, min(len([]rune(text[:around]))-maxShown/2, len(r)-maxShown))
	out := string(r[from : from+maxShown])
	if from > 0 {
		out = "…" + out
	}
	if from+maxShown < len(r) {
		out += "…"
	}
	return out
}
