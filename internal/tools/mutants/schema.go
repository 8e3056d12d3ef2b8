package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"slices"
	"strings"

	"github.com/sojourn-go/sojourn/internal/tools/mutants/outcome"
)

// mutant is a copy of a function with one mistake.
type mutant struct {
	outcome.Mutant
	in     *function
	change change
	number int // in its package, from 1
}

// switchFile declares what the functions of a package with mutants use.
// mutantOn is the number of the mutant that runs, or zero. A mutant may loop and
// take all memory, so the program ends if it takes too much.
const switchFile = `package %s

import (
	"errors"
	"os"
	"runtime/metrics"
	"strconv"
	"time"
)

var errMutant = errors.New("a mutant's error")

var mutantOn = func() int {
	on, _ := strconv.Atoi(os.Getenv(%q))
	if on != 0 {
		go func() {
			heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
			for ; ; time.Sleep(50 * time.Millisecond) {
				if metrics.Read(heap); heap[0].Value.Uint64() > 2<<30 {
					os.Exit(%d)
				}
			}
		}()
	}
	return on
}()

var _ = errMutant
`

// switchImports are the packages that switchFile imports.
var switchImports = []string{"errors", "os", "runtime/metrics", "strconv", "time"}

// tooMuch is the status of a program that a mutant ended because of its memory.
const tooMuch = 77

// variable is the name of the environment variable with the number for mutantOn.
func variable(pkg string) string { return "SOJOURN_MUTANT_" + strings.ToUpper(pkg) }

// functions returns the functions of the package that may get mutants.
func (s *source) functions() (out []*function) {
	for _, in := range s.files {
		if in.skip {
			continue
		}
		for _, d := range in.tree.Decls {
			decl, ok := d.(*ast.FuncDecl)
			if ok && decl.Body != nil && decl.Name.Name != "init" && decl.Name.Name != "_" {
				out = append(out, newFunction(s, in, decl))
			}
		}
	}
	return out
}

// schema returns the package's mutants and its files with all of them: each
// function begins with a switch to its copies. A mutant that does not compile is
// left out.
func (s *source) schema(path string, open func(path string) (io.ReadCloser, error)) ([]*mutant, map[string][]byte, error) {
	var all []*mutant
	for _, f := range s.functions() {
		all = append(all, f.mutants()...)
	}
	for i, m := range all {
		m.number = i + 1
	}
	for range 10 { // an error may hide others
		files, copies := s.write(all)
		failed, err := s.check(path, files, copies, open)
		if err != nil {
			return nil, nil, err
		}
		if len(failed) == 0 {
			return all, files, nil
		}
		all = slices.DeleteFunc(all, func(m *mutant) bool { return failed[m] })
	}
	return nil, nil, fmt.Errorf("%s: some mutants still do not compile", s.dir)
}

// span is the part of a written file that has the copy of a mutant.
type span struct {
	from, to int
	m        *mutant
}

// write returns the package's files with the mutants, and where these are.
func (s *source) write(all []*mutant) (files map[string][]byte, copies map[string][]span) {
	files, copies = map[string][]byte{}, map[string][]span{}
	for _, in := range s.files {
		var out, tail bytes.Buffer
		end := 0
		var spans []span
		var of []*mutant
		flush := func(f *function) {
			if len(of) == 0 {
				return
			}
			body := f.offset(f.decl.Body.Lbrace) + 1
			out.Write(in.text[end:f.offset(f.decl.Pos())])
			out.WriteString(f.header(f.decl.Name.Name, true) + dispatch(f, of))
			end = body
			of = nil
		}
		var current *function
		for _, m := range all {
			if m.in.file != in {
				continue
			}
			if current != nil && m.in.decl != current.decl {
				flush(current)
			}
			current, of = m.in, append(of, m)
			from := tail.Len()
			tail.WriteString("\n" + m.copied() + "\n")
			spans = append(spans, span{from, tail.Len(), m})
		}
		if current != nil {
			flush(current)
		}
		out.Write(in.text[end:])
		for i := range spans {
			spans[i].from += out.Len()
			spans[i].to += out.Len()
		}
		out.Write(tail.Bytes())
		files[in.name], copies[in.name] = out.Bytes(), spans
	}
	name := s.types.Name()
	files[s.dir+"/mutant_switch.go"] = fmt.Appendf(nil, switchFile, name, variable(name), tooMuch)
	return files, copies
}

// params returns the function's parameters with a name for each, and the
// arguments that pass them on.
func (f *function) params() (params, args string) {
	var list, names []string
	for _, field := range f.decl.Type.Params.List {
		all := field.Names
		if len(all) == 0 {
			all = []*ast.Ident{{Name: "_"}}
		}
		for _, id := range all {
			name := id.Name
			if name == "_" {
				name = fmt.Sprintf("mutantParam%d", len(names))
			}
			list = append(list, name+" "+f.text(field.Type))
			if _, more := field.Type.(*ast.Ellipsis); more {
				name += "..."
			}
			names = append(names, name)
		}
	}
	return strings.Join(list, ", "), strings.Join(names, ", ")
}

// header returns the beginning of the function under a name, up to its brace.
func (f *function) header(name string, named bool) string {
	out := "func "
	if f.decl.Recv != nil {
		out += "(" + f.receiver() + " " + f.text(f.decl.Recv.List[0].Type) + ") "
	}
	out += name
	if p := f.decl.Type.TypeParams; p != nil {
		out += f.text(p)
	}
	if params, _ := f.params(); named {
		out += "(" + params + ")"
	} else {
		out += f.text(f.decl.Type.Params)
	}
	if r := f.decl.Type.Results; r != nil {
		out += " " + f.text(r)
	}
	return out + " {"
}

func (f *function) receiver() string {
	if names := f.decl.Recv.List[0].Names; len(names) > 0 && names[0].Name != "_" {
		return names[0].Name
	}
	return "mutantReceiver"
}

// dispatch returns the switch from a function to its mutants.
func dispatch(f *function, of []*mutant) string {
	var out strings.Builder
	out.WriteString("\nswitch mutantOn {\n")
	_, args := f.params()
	for _, m := range of {
		call := m.function()
		if f.decl.Recv != nil {
			call = f.receiver() + "." + call
		} else if p := f.decl.Type.TypeParams; p != nil {
			var names []string
			for _, field := range p.List {
				for _, id := range field.Names {
					names = append(names, id.Name)
				}
			}
			call += "[" + strings.Join(names, ", ") + "]"
		}
		call += "(" + args + ")"
		if f.decl.Type.Results != nil {
			call = "return " + call
		} else {
			call += "; return"
		}
		fmt.Fprintf(&out, "case %d: %s\n", m.number, call)
	}
	out.WriteString("}\n")
	return out.String()
}

func (m *mutant) function() string { return fmt.Sprintf("mutant%d", m.number) }

// copied returns the function with the mistake, under the mutant's name.
func (m *mutant) copied() string {
	f := m.in
	at := f.decl.Body.Lbrace + 1
	out := f.header(m.function(), false)
	edits := slices.Clone(m.change.edits)
	slices.SortFunc(edits, func(a, b edit) int { return int(a.from - b.from) })
	for _, e := range edits {
		out += f.between(at, e.from) + e.text
		at = e.to
	}
	return out + f.between(at, f.decl.End())
}

// check returns the mutants that do not compile.
func (s *source) check(path string, files map[string][]byte, copies map[string][]span, open func(path string) (io.ReadCloser, error)) (map[*mutant]bool, error) {
	fset := token.NewFileSet()
	var trees []*ast.File
	for name, text := range files {
		tree, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("the file with mutants: %w", err)
		}
		trees = append(trees, tree)
	}
	failed := map[*mutant]bool{}
	var other []error
	config := types.Config{
		Importer: importer.ForCompiler(fset, "gc", open),
		Error: func(err error) {
			var e types.Error
			if !errors.As(err, &e) {
				other = append(other, err)
				return
			}
			at := fset.Position(e.Pos)
			i := slices.IndexFunc(copies[at.Filename], func(sp span) bool { return sp.from <= at.Offset && at.Offset < sp.to })
			if i < 0 {
				other = append(other, err)
				return
			}
			failed[copies[at.Filename][i].m] = true
		},
	}
	_, _ = config.Check(path, fset, trees, nil) // its first error is among the others
	if len(failed) > 0 {
		return failed, nil // the others may follow from these
	}
	return nil, errors.Join(other...)
}
