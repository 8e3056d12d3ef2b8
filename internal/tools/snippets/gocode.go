package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// parameters are what statements may use without a declaration.
const parameters = "ctx context.Context, w http.ResponseWriter, r *http.Request, svc *session.Service, s *session.Session, " +
	"m *sessionhttp.Middleware, mux *http.ServeMux, backend expiry.ModelExpirySupport, keyring *expiry.Keyring, t *testing.T, err error"

const module = "github.com/sojourn-go/sojourn/"

// imports has the packages by the names under which pages use them.
var imports = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "httptest": "net/http/httptest", "slog": "log/slog",
	"time": "time", "testing": "testing", "os": "os", "strings": "strings", "json": "encoding/json", "log": "log", "sql": "database/sql",
	"netip": "net/netip", "httputil": "net/http/httputil", "rand": "crypto/rand", "url": "net/url",
	"session": module + "session", "sessionhttp": module + "session/sessionhttp", "sessiontest": module + "session/sessiontest",
	"expiry": module + "expiry", "model": module + "model", "driver": module + "expiry/driver", "config": module + "config",
	"conformance": module + "conformance", "sessions": module + "conformance/sessions",
	"backends": module + "backends", "redis": module + "backends/redis", "mongo": module + "backends/mongo",
	"dynamodb": module + "backends/dynamodb", "elasticsearch": module + "backends/elasticsearch", "s3": module + "backends/s3",
	"file": module + "backends/file", "memory": module + "backends/memory",
	"postgres": module + "backends/postgres", "sqlite": module + "backends/sqlite", "bbolt": module + "backends/bbolt",
	"goredis": "github.com/redis/go-redis/v9", "websocket": "github.com/coder/websocket",
	"mongodriver": "go.mongodb.org/mongo-driver/v2/mongo", "pgxpool": "github.com/jackc/pgx/v5/pgxpool", "bolt": "go.etcd.io/bbolt",
	"chi": "github.com/go-chi/chi/v5", "echo": "github.com/labstack/echo/v5", "gin": "github.com/gin-gonic/gin",
	"sessionecho": module + "adapters/echo", "sessiongin": module + "adapters/gin", "sessionfiber": module + "adapters/fiber",
	"scs": "github.com/alexedwards/scs/v2", "gorilla": "github.com/gorilla/sessions",
}

// homes are the modules that have packages which the root's does not.
var homes = []struct{ prefix, folder string }{
	{module + "backends/postgres", "backends/postgres"}, {"github.com/jackc/pgx/", "backends/postgres"},
	{module + "backends/sqlite", "backends/sqlite"},
	{module + "backends/bbolt", "backends/bbolt"}, {"go.etcd.io/bbolt", "backends/bbolt"},
	{"github.com/go-chi/", "internal/tests/frameworks"}, {"github.com/labstack/", "internal/tests/frameworks"},
	{"github.com/gin-gonic/", "internal/tests/frameworks"},
	{module + "adapters/echo", "adapters/echo"}, {module + "adapters/gin", "adapters/gin"}, {module + "adapters/fiber", "adapters/fiber"},
	{"github.com/alexedwards/", "internal/tests/peers"}, {"github.com/gorilla/", "internal/tests/peers"},
}

// check type-checks the Go fences of a page.
func check(ctx context.Context, root, name string, code []fence) error {
	var wrong []error
	fragments := strings.Builder{}
	for _, f := range code {
		if strings.HasPrefix(f.text, "package ") || strings.Contains(f.text, "\npackage ") {
			wrong = append(wrong, typed(ctx, root, path.Dir(name), fmt.Sprintf("//line %s:%d\n%s", name, f.line, f.text)))
			continue
		}
		fmt.Fprintln(&fragments, wrap(name, f))
	}
	if fragments.Len() > 0 {
		source := fragments.String()
		var head strings.Builder
		head.WriteString("package page\n")
		used := source + parameters
		for _, short := range slices.Sorted(keys(imports)) {
			if regexp.MustCompile(`(^|[^\w.])` + short + `\.[A-Z]`).MatchString(used) {
				fmt.Fprintf(&head, "import %s %q\n", short, imports[short])
			}
		}
		wrong = append(wrong, typed(ctx, root, path.Dir(name), head.String()+source))
	}
	return errors.Join(wrong...)
}

func keys(of map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range of {
			if !yield(k) {
				return
			}
		}
	}
}

// wrap returns declarations as they are, and statements as a function.
func wrap(name string, f fence) string {
	line := fmt.Sprintf("//line %s:%d\n", name, f.line)
	if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+f.text, 0); err == nil {
		return line + f.text
	}
	result, end := "", ""
	body := "package p\nfunc _() {\n" + f.text + "\n}\n"
	if file, err := parser.ParseFile(token.NewFileSet(), "", body, 0); err == nil && returns(file) {
		result, end = " error", "return nil\n"
	}
	return fmt.Sprintf("func _(%s)%s {\n{\n%s%s\n}\n%s}", parameters, result, line, f.text, end)
}

// returns reports whether the statements of the function return a value.
func returns(file *ast.File) bool {
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			found = found || len(n.Results) > 0
		}
		return true
	})
	return found
}

// typed type-checks a file. It ignores unused variables and imports, since a
// page shows a part of a program. The page is in the folder dir.
func typed(ctx context.Context, root, dir, source string) error {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", source, parser.ParseComments)
	if err != nil {
		return err
	}
	folder, paths := ".", []string{}
	for _, spec := range file.Imports {
		name := strings.Trim(spec.Path.Value, `"`)
		paths = append(paths, name)
		for _, h := range homes {
			if name == h.prefix || strings.HasPrefix(name, strings.TrimSuffix(h.prefix, "/")+"/") {
				folder = h.folder
			}
		}
	}
	if _, err := os.Stat(filepath.Join(root, dir, "go.mod")); err == nil {
		folder = dir // a page of a module, about that module
	}
	exports, err := compiled(ctx, filepath.Join(root, folder), paths)
	if err != nil {
		return err
	}
	var wrong []error
	conf := types.Config{
		Importer: importer.ForCompiler(fset, "gc", func(name string) (io.ReadCloser, error) {
			if exports[name] == "" {
				return nil, fmt.Errorf("%s is in none of the modules that internal/tools/snippets knows", name)
			}
			return os.Open(exports[name])
		}),
		Error: func(err error) {
			var e types.Error
			if !errors.As(err, &e) || !e.Soft {
				wrong = append(wrong, err)
			}
		},
	}
	_, _ = conf.Check(file.Name.Name, fset, []*ast.File{file}, nil) // Error has its errors
	return errors.Join(wrong...)
}

// compiled compiles packages and returns the files with their exported names.
func compiled(ctx context.Context, folder string, paths []string) (map[string]string, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}, paths...)...) //nolint:gosec // of the pages
	cmd.Dir = folder
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w\n%s", folder, err, failed.Bytes())
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, export, _ := strings.Cut(strings.TrimSpace(line), "=")
		exports[name] = export
	}
	return exports, nil
}
