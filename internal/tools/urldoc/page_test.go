package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
)

const root = "../../.."

// TestPageIsFresh compares docs/urls.md with what the backends register, those of
// other modules too. Tests of each backend open URLs with all of that.
func TestPageIsFresh(t *testing.T) {
	want, err := Page(t.Context(), root)
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
	for _, name := range []string{"grace_ttl", "bucket", "pool_max_conns", "search_path"} {
		if !strings.Contains(want, "`"+name+"`") {
			t.Errorf("the page does not have %s", name)
		}
	}
}

func registered() registry {
	r := registry{}
	r.add(backends.Schemes(), backends.ParamsOf)
	return r
}

func TestPageNeedsAComment(t *testing.T) {
	err := registered().table(&strings.Builder{}, []string{"memory"}, nil)
	if err == nil || !strings.Contains(err.Error(), "Options.Labels") {
		t.Errorf("an option without a comment: %v", err)
	}
}

func TestPageNeedsEveryScheme(t *testing.T) {
	known := registered()
	known["undocumented"] = nil
	if _, err := known.page(root, nil); err == nil || !strings.Contains(err.Error(), "undocumented") {
		t.Errorf("a scheme without a section: %v", err)
	}
}

// TestAskNamesWhatIsWrong asks a folder that has no backend.
func TestAskNamesWhatIsWrong(t *testing.T) {
	if err := (registry{}).ask(t.Context(), filepath.Join(root, "backends"), "nosuch"); err == nil {
		t.Error("no error for a folder without a backend")
	}
	known := registry{"bbolt": nil}
	if err := known.ask(t.Context(), filepath.Join(root, "backends"), "bbolt"); err == nil || !strings.Contains(err.Error(), "bbolt is registered by another") {
		t.Errorf("a scheme that is taken: %v", err)
	}
}
