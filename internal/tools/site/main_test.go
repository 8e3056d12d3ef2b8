package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
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
		"README.md":          "[docs](docs/faq.md#one) [code](model/x.go) [web](https://example.org/x) `[sic](gone.md)`\n```\n[sic](gone.md)\n```\n![p](docs/webapp/p.png)\n",
		"SECURITY.md":        "mail\n",
		"docs/faq.md":        "[home](../README.md) [list](adr/README.md) [mail](../SECURITY.md)\nSome:\n- one\n- two\n",
		"docs/adr/README.md": "[a](../faq.md)\n",
		"docs/webapp/p.png":  "picture",
		"model/x.go":         "package model\n",
	})
	out := filepath.Join(t.TempDir(), "site")
	if err := write(filepath.Join(out, "stale.md"), "old"); err != nil {
		t.Fatal(err)
	}
	if err := build(root, out); err == nil || !strings.Contains(err.Error(), "names tutorial.md, which does not exist") || strings.Contains(err.Error(), "faq") {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"pages/index.md":           "[docs](faq.md#one) [code](" + repository + "model/x.go) [web](https://example.org/x) `[sic](gone.md)`\n```\n[sic](gone.md)\n```\n![p](webapp/p.png)\n",
		"pages/faq.md":             "[home](index.md) [list](adr/index.md) [mail](vulnerabilities.md)\nSome:\n\n- one\n- two\n",
		"pages/adr/index.md":       "[a](../faq.md)\n",
		"pages/vulnerabilities.md": "mail\n",
		"pages/webapp/p.png":       "picture",
		"zensical.toml":            config,
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
	root := module(t, map[string]string{"README.md": "[a](gone.md) [b](docs/lost.go)\n", "docs/forgotten.md": "a\n"})
	err := build(root, filepath.Join(t.TempDir(), "site"))
	for _, want := range []string{"gone.md", "docs/lost.go", "no line for docs/forgotten.md"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s in it", err, want)
		}
	}
}

func TestEveryPageIsInTheMenu(t *testing.T) {
	if err := build("../../..", t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	page := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	site := fstest.MapFS{
		"index.html":     page(`<a href="faq/#one">x</a> <img src="p.png"> <a href="https://example.org/gone">w</a><script>a href="gone"</script>`),
		"faq/index.html": page(`<h2 id="one">x</h2> <a href="..">h</a> <a href="#one">s</a>`),
		"p.png":          page("picture"),
		"404.html":       page(`<a href="/nowhere">x</a>`),
	}
	if err := check(site); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{
		`<a href="gone/">x</a>`:     "gone/ does not exist",
		`<a href=gone.html>x</a>`:   "gone.html does not exist",
		`<img src="gone.png">`:      "gone.png does not exist",
		`<a href="faq/#two">x</a>`:  "faq/#two has no such anchor",
		`<a href="#two">x</a>`:      "#two has no such anchor",
		`<a href="/faq/#one">x</a>`: "is not relative",
	} {
		site["index.html"] = page(text)
		if err := check(site); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if err := check(fstest.MapFS{}); err == nil {
		t.Error("an empty folder passes")
	}
}
