package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../.."

// TestPages type-checks what the pages show, and looks at their commands.
func TestPages(t *testing.T) {
	names, err := pages(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 10 {
		t.Fatalf("only %d pages: %v", len(names), names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if err := page(t.Context(), root, name); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMistakesAreFound shows pages with a mistake each.
func TestMistakesAreFound(t *testing.T) {
	for text, want := range map[string]string{
		"```go\ns.SignInn(ctx, \"alice\", nil)\n```":                                    "SignInn",
		"```go\nvar Cart = session.NewKey(\"cart\")\n```":                               "cannot infer T",
		"```go\npackage main\n\nfunc main() { missing() }\n```":                         "undefined: missing",
		"a\n\n```go\n\n\nx := 1 +\n```":                                                 "page.md:8",
		"```go\nreturn s.SignIn(ctx, 1, nil)\n```":                                      "cannot use 1",
		"<!-- examples/records/main.go -->\n```go\npackage main\n\nfunc main() {}\n```": "differs from examples/records/main.go",
		"```sh\nmake test PKGS='one two' everything\n```":                               "no target everything",
		"```sh\nmake everything\n```":                                                   "no target everything",
		"```\ngo run ./examples/gone\n```":                                              "./examples/gone does not exist",
		"```sh\ngo get github.com/sojourn-go/sojourn/backends/gone@latest\n```":         "not a module",
		"```sh\nrm -rf /\n```":                                                          "does not know this command",
		"```sh\ngo -C gone test ./...\n```":                                             "gone does not exist",
		"```sh\ncd gone\n```":                                                           "gone does not exist",
		"```sh\ndocker run -d -p 6379:6379 redis:1.0\n```":                              "no job with the image redis:1.0",
		"```golang\nx\n```":                                                             "unknown language",
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "page.md")
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(mustAbs(t, root), file)
		if err != nil {
			t.Fatal(err)
		}
		if err := page(t.Context(), root, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v\nwant %s", text, err, want)
		}
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// TestPartsOfPrograms are fences that pass.
func TestPartsOfPrograms(t *testing.T) {
	text := "```go\nvar Cart = session.NewKey[int](\"cart\")\n```\n```go\nn, ok, err := Cart.Get(ctx)\n```\n" +
		"```go\nif err := s.SignIn(ctx, \"alice\", nil); err != nil {\n\treturn err\n}\n```\n" +
		"```go\nmux.HandleFunc(\"GET /\", func(w http.ResponseWriter, r *http.Request) { return })\n```\n"
	if err := check(t.Context(), root, "page.md", fences(text)); err != nil {
		t.Error(err)
	}
}

// TestTroubleshootingQuotesErrors checks that the code has each text that the page
// explains.
func TestTroubleshootingQuotesErrors(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, folder := range []string{"model", "expiry", "backends", "session", "config"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(name string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(name)
			code.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	found := 0
	for line := range strings.Lines(string(page)) {
		text, ok := strings.CutPrefix(line, "### `")
		if !ok {
			continue
		}
		found++
		if text = strings.TrimSuffix(text, "`\n"); !strings.Contains(code.String(), text) {
			t.Errorf("no code has the text %q", text)
		}
	}
	if found < 20 {
		t.Errorf("only %d texts", found)
	}
}
