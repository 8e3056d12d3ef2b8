package arch

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryTypeHasAnExample checks that each exported type of the packages that
// programs meet first has a runnable example. The example may be of the type, of
// one of its methods, or of a function that returns it.
func TestEveryTypeHasAnExample(t *testing.T) {
	for _, pkg := range []string{"model", "expiry", "expiry/driver", "expiry/driver/driverkit", "backends/memory", "backends/file", "backends/redis", "config"} {
		shown := map[string]bool{}
		p := parse(t, pkg)
		for _, e := range doc.Examples(p.tests...) {
			name, _, _ := strings.Cut(e.Name, "_")
			shown[name] = true
		}
		for _, typ := range p.doc.Types {
			if isAlias(typ) {
				continue // its own package shows it
			}
			ok := shown[typ.Name]
			for _, f := range typ.Funcs {
				ok = ok || shown[f.Name]
			}
			if !ok {
				t.Errorf("%s.%s has no example", pkg, typ.Name)
			}
		}
	}
}

func isAlias(typ *doc.Type) bool {
	for _, s := range typ.Decl.Specs {
		if s, ok := s.(*ast.TypeSpec); ok && s.Name.Name == typ.Name && s.Assign.IsValid() {
			return true
		}
	}
	return false
}

type parsed struct {
	doc   *doc.Package
	tests []*ast.File
}

func parse(t *testing.T, pkg string) parsed {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", pkg, err)
	}
	fset := token.NewFileSet()
	var out parsed
	var code []*ast.File
	for _, f := range files {
		file, err := parser.ParseFile(fset, f, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			out.tests = append(out.tests, file)
		} else {
			code = append(code, file)
		}
	}
	if out.doc, err = doc.NewFromFiles(fset, code, module+"/"+pkg); err != nil {
		t.Fatal(err)
	}
	return out
}
