// Archdoc writes the picture of the packages and their imports into
// docs/architecture.md.
//
//	go run ./internal/tools/archdoc -out docs/architecture.md
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/exec"
	"strings"
)

const page = "docs/architecture.md"

func main() {
	out := flag.String("out", page, "the file to write")
	flag.Parse()
	text, err := os.ReadFile(page)
	if err != nil {
		log.Fatal(err)
	}
	imports, err := list(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fresh, err := replace(string(text), picture(imports))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(*out, []byte(fresh), 0o644); err != nil { //nolint:gosec // a page for all to read
		log.Fatal(err)
	}
}

// list returns the imports within the module of each of its packages, tests
// left out.
func list(ctx context.Context) (map[string][]string, error) {
	const format = `{{.Module.Path}} {{.ImportPath}}{{range .Imports}} {{.}}{{end}}`
	cmd := exec.CommandContext(ctx, "go", "list", "-f", format, "./...")
	cmd.Stderr = os.Stderr
	data, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		module := words[0] + "/"
		from := strings.TrimPrefix(words[1], module)
		imports[from] = nil
		for _, w := range words[2:] {
			if to, ok := strings.CutPrefix(w, module); ok {
				imports[from] = append(imports[from], to)
			}
		}
	}
	return imports, nil
}
