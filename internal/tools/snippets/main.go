// Command snippets checks the code and the commands that the pages show. Code is
// type-checked against the packages of this module, and a command must name
// something that there is. TestPages does the same in every test run.
//
// A fence with go is a whole program, or declarations, or statements. Statements
// are the body of a function with the parameters below, such as ctx and svc.
// Declarations are seen by all other fences of their page. Packages are imported
// by their usual names. A program below a comment that names its file, such as
// <!-- examples/records/main.go -->, must equal that file.
//
//	go run ./internal/tools/snippets [page...]
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// generated pages show code and commands that their generators take from what is
// compiled and run.
var generated = []string{"docs/conformance.md", "docs/security.md", "docs/session-faults.md", "docs/urls.md", "docs/write-a-backend.md"}

func main() {
	names, err := os.Args[1:], error(nil)
	if len(names) == 0 {
		names, err = pages(".")
	}
	for _, name := range names {
		err = errors.Join(err, page(context.Background(), ".", name))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pages returns the pages of the module that people write.
func pages(root string) ([]string, error) {
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/operations/*.md", "examples/*/README.md", "adapters/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			name, err := filepath.Rel(root, f)
			if err != nil {
				return nil, err
			}
			name = filepath.ToSlash(name)
			if !strings.Contains(strings.Join(generated, " "), name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// page checks one page of the module in root.
func page(ctx context.Context, root, name string) error {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	var code []fence
	var wrong []error
	for _, f := range fences(string(text)) {
		switch f.language {
		case "go":
			if f.file != "" {
				wrong = append(wrong, f.equals(root, name)) // and that file is compiled
				continue
			}
			code = append(code, f)
		case "", "sh", "text", "diff", "json", "yaml", "html", "mermaid", "lua", "ini", "nginx":
			if f.language == "sh" || f.language == "" && strings.HasPrefix(f.text, "go ") || strings.HasPrefix(f.text, "make ") {
				wrong = append(wrong, commands(root, name, f))
			}
		default:
			wrong = append(wrong, fmt.Errorf("%s:%d: a fence with the unknown language %q", name, f.line, f.language))
		}
	}
	return errors.Join(append(wrong, check(ctx, root, name, code))...)
}

// fence is a block of code in a page.
type fence struct {
	language, text string
	line           int    // of the first line of the text
	file           string // which the text must equal, or ""
}

func fences(text string) []fence {
	var all []fence
	var open *fence
	before := ""
	for i, line := range strings.Split(text, "\n") {
		mark := strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(mark, "```") && open != nil:
			open.text += line + "\n"
		case !strings.HasPrefix(mark, "```"):
			before = mark
		case open == nil:
			open = &fence{language: strings.TrimPrefix(mark, "```"), line: i + 2}
			if file, ok := strings.CutPrefix(before, "<!-- "); ok && strings.HasSuffix(file, ".go -->") {
				open.file = strings.TrimSuffix(file, " -->")
			}
		default:
			all = append(all, *open)
			open, before = nil, ""
		}
	}
	return all
}

func (f fence) equals(root, name string) error {
	file, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(f.file)))
	if err != nil {
		return err
	}
	if string(file) != f.text {
		return fmt.Errorf("%s:%d: the code differs from %s", name, f.line, f.file)
	}
	return nil
}
