package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// coverage has the parts of the code that the suite ran, or did not.
type coverage map[string][]part // by the file's name, relative to the module's root folder

type part struct {
	from, to [2]int // line and column
	times    int    // that it ran
}

// profile runs the suites of the target's judges without mutants and returns what
// of its package they ran.
func profile(ctx context.Context, dir string, t target) (coverage, error) {
	out := coverage{}
	for i, backend := range t.judges {
		name := filepath.Join(dir, fmt.Sprintf("%d.cover", i))
		if _, err := run(ctx, "go", "test", "-count=1", "-run="+suiteTests, "-covermode=atomic", "-coverprofile="+name, "-coverpkg=./"+t.dir, "./"+backend); err != nil {
			return nil, err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := out.read(t.dir, string(data)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// read adds a profile of a package in the folder.
func (c coverage) read(dir, text string) error {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		file, rest, _ := strings.Cut(line, ":")
		var p part
		var statements int
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &p.from[0], &p.from[1], &p.to[0], &p.to[1], &statements, &p.times); err != nil {
			return fmt.Errorf("the profile has the line %q: %w", line, err)
		}
		name := path.Join(dir, path.Base(file))
		c[name] = append(c[name], p)
	}
	return nil
}

// times returns how often what stands at a place ran, and false if it is outside of
// all parts, as the condition of a case is.
func (c coverage) times(file string, line, column int) (int, bool) {
	at := [2]int{line, column}
	after := func(a, b [2]int) bool { return a[0] > b[0] || a[0] == b[0] && a[1] >= b[1] }
	var inner [2]int
	n, found := 0, false
	for _, p := range c[file] {
		if after(at, p.from) && (!after(at, p.to) || at == p.from) && after(p.from, inner) { // a case may have no statement
			if inner == p.from { // a profile of another judge
				n += p.times
			} else {
				inner, n = p.from, p.times
			}
			found = true
		}
	}
	return n, found
}

// reached reports whether the suite comes to the mistake. A condition of a case is
// reached if fewer cases before it ran than the switch.
func (c coverage) reached(m *mutant) bool {
	times := func(at token.Pos) (int, bool) {
		place := m.in.pkg.fset.Position(at)
		return c.times(m.File, place.Line, place.Column)
	}
	n, found := times(m.change.at)
	if found {
		return n > 0
	}
	whole, before := m.in.caseAt(m.change.at)
	if whole == nil {
		return true
	}
	n, found = times(whole.Pos())
	if !found {
		return true
	}
	for _, clause := range before {
		ran, _ := times(clause.Colon + 1)
		n -= ran
	}
	return n > 0
}

// caseAt returns the innermost switch that has the place in a condition, and the
// cases before that. The default is the last to be tried.
func (f *function) caseAt(at token.Pos) (whole ast.Stmt, before []*ast.CaseClause) {
	ast.Inspect(f.decl.Body, func(n ast.Node) bool {
		var body *ast.BlockStmt
		switch n := n.(type) {
		case *ast.SwitchStmt:
			body = n.Body
		case *ast.TypeSwitchStmt:
			body = n.Body
		default:
			return true
		}
		var earlier []*ast.CaseClause
		for _, s := range body.List {
			clause := s.(*ast.CaseClause)
			if len(clause.List) == 0 {
				continue
			}
			if clause.Pos() <= at && at < clause.Colon {
				whole, before = n.(ast.Stmt), earlier
			}
			earlier = append(earlier, clause)
		}
		return true
	})
	return whole, before
}
