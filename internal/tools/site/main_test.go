package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func module(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		if err := write(filepath.Join(root, name), text); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestBuild(t *testing.T) {
	root := module(t, map[string]string{
		"README.md":          "[docs](docs/a.md#one) [code](model/x.go) [web](https://example.org/x) `[sic](gone.md)`\n```\n[sic](gone.md)\n```\n",
		"docs/a.md":          "[home](../README.md) [list](adr/README.md)\n",
		"docs/adr/README.md": "[a](../a.md)\n",
		"model/x.go":         "package model\n",
	})
	out := filepath.Join(t.TempDir(), "site")
	if err := write(filepath.Join(out, "stale.md"), "old"); err != nil {
		t.Fatal(err)
	}
	if err := build(root, out); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"index.md":          "[docs](docs/a.md#one) [code](" + repository + "model/x.go) [web](https://example.org/x) `[sic](gone.md)`\n```\n[sic](gone.md)\n```\n",
		"docs/a.md":         "[home](../index.md) [list](adr/index.md)\n",
		"docs/adr/index.md": "[a](../a.md)\n",
	} {
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(out, "stale.md")); err == nil {
		t.Error("a page from before is still there")
	}
}

func TestLinksThatLeadNowhereAreErrors(t *testing.T) {
	root := module(t, map[string]string{"README.md": "[a](gone.md) [b](docs/lost.go)\n", "docs/a.md": "a\n"})
	err := build(root, filepath.Join(t.TempDir(), "site"))
	if err == nil || !strings.Contains(err.Error(), "gone.md") || !strings.Contains(err.Error(), "docs/lost.go") {
		t.Errorf("%v, want both links", err)
	}
}
