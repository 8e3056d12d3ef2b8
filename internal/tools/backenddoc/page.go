package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/sojourn-go/sojourn/backends/file"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/tools/answers"
)

//go:embed page.md
var text string

const generated = "<!-- Written by make generate: change internal/tools/backenddoc/page.md, or the code that it shows. -->\n"

// Page returns the page, for the module in that folder.
func Page(ctx context.Context, root string) (string, error) {
	functions := template.FuncMap{
		"code":     func(file, name string) (string, error) { return code(filepath.Join(root, file), name) },
		"answers":  func() (string, error) { return table(ctx) },
		"cases":    func() int { return len(conformance.Cases()) },
		"sessions": func() int { return sessions.Cases },
		"rules":    func() int { return len(conformance.Rules) },
		"version":  func() (string, error) { return newest(filepath.Join(root, "CHANGELOG.md")) },
	}
	page, err := template.New("page").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if err := page.Execute(&out, nil); err != nil {
		return "", err
	}
	title, rest, _ := strings.Cut(out.String(), "\n")
	return title + "\n\n" + generated + rest, nil
}

// newest returns the version of the first section of a changelog that has one.
func newest(file string) (string, error) {
	changes, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`(?m)^## (\d+\.\d+\.\d+)\b`).FindSubmatch(changes)
	if m == nil {
		return "", fmt.Errorf("%s has no section of a version", file)
	}
	return string(m[1]), nil
}

// code returns the declaration with its comment, as a block of Go. A method has
// the name Type.Method.
func code(file, name string) (string, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, source, parser.ParseComments)
	if err != nil {
		return "", err
	}
	for _, d := range parsed.Decls {
		declared, doc := declaration(d)
		if declared != name {
			continue
		}
		start := d.Pos()
		if doc != nil {
			start = doc.Pos()
		}
		return "```go\n" + string(source[set.Position(start).Offset:set.Position(d.End()).Offset]) + "\n```", nil
	}
	return "", fmt.Errorf("%s does not declare %s", file, name)
}

// declaration returns the name of a function, of a method, or of the first thing
// in a group of types, constants or variables.
func declaration(d ast.Decl) (string, *ast.CommentGroup) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name, d.Doc
		}
		recv := d.Recv.List[0].Type
		if star, ok := recv.(*ast.StarExpr); ok {
			recv = star.X
		}
		return fmt.Sprint(recv) + "." + d.Name.Name, d.Doc
	case *ast.GenDecl:
		switch s := d.Specs[0].(type) {
		case *ast.TypeSpec:
			return s.Name.Name, d.Doc
		case *ast.ValueSpec:
			return s.Names[0].Name, d.Doc
		}
	}
	return "", nil
}

var errOneRecord = errors.New("the store has another number of records than one")

// table makes every call on files. The backends under backends/ that are modules
// of their own test that they answer in the same way.
func table(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "answers-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return answers.Table(ctx, answers.Place{
		Open: func(name string) (driver.ModelExpirySupport, error) {
			return file.New(dir, name, &file.Options{NoSync: true})
		},
		Damage: func(name, _ string) error {
			var found []string
			err := filepath.WalkDir(filepath.Join(dir, name, "records"), func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					found = append(found, path)
				}
				return err
			})
			if err != nil {
				return err
			}
			if len(found) != 1 {
				return errOneRecord
			}
			return os.WriteFile(found[0], []byte("not a record"), 0o600)
		},
	})
}
