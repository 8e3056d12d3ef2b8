package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThePageIsUpToDate(t *testing.T) {
	have, err := os.ReadFile("../../../docs/write-a-backend.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := Page(t.Context(), "../../..")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Error("docs/write-a-backend.md is stale: make generate rewrites it")
	}
}

func TestCode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.go")
	source := "package x\n\n// T has a comment.\ntype T struct{}\n\n// M does.\nfunc (t *T) M() {}\n\nconst (\n\ta = 1\n\tb = 2\n)\n"
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"T":   "```go\n// T has a comment.\ntype T struct{}\n```",
		"T.M": "```go\n// M does.\nfunc (t *T) M() {}\n```",
		"a":   "```go\nconst (\n\ta = 1\n\tb = 2\n)\n```",
	} {
		if got, err := code(file, name); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	if _, err := code(file, "M"); err == nil || !strings.Contains(err.Error(), "does not declare M") {
		t.Errorf("what is missing: %v", err)
	}
}
