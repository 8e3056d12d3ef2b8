package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
)

const root = "../../.."

// The page is made before TestPageNeedsEveryScheme registers another scheme,
// which no test can take back.
var (
	page, pageErr = Page(root)
	schemes       = backends.Schemes()
)

// TestPageIsFresh compares docs/urls.md with what the backends register. Tests
// of each backend open URLs with all of that.
func TestPageIsFresh(t *testing.T) {
	want, err := page, pageErr
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join(root, "docs", "urls.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Error("docs/urls.md is stale: make generate rewrites it")
	}
	for _, scheme := range schemes {
		for _, p := range backends.ParamsOf(scheme) {
			if p.Name != "" && !strings.Contains(want, "`"+p.Name+"`") {
				t.Errorf("the page does not have %s of %s", p.Name, scheme)
			}
		}
	}
}

func TestPageNeedsAComment(t *testing.T) {
	err := table(&strings.Builder{}, []string{"memory"}, nil)
	if err == nil || !strings.Contains(err.Error(), "Options.Labels") {
		t.Errorf("an option without a comment: %v", err)
	}
}

func TestPageNeedsEveryScheme(t *testing.T) {
	backends.Register("undocumented", nil)
	if _, err := Page(root); err == nil || !strings.Contains(err.Error(), "undocumented") {
		t.Errorf("a scheme without a section: %v", err)
	}
}
