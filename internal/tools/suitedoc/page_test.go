package main

import (
	"os"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
)

func TestThePageIsUpToDate(t *testing.T) {
	have, err := os.ReadFile("../../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := page()
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Error("docs/conformance.md is stale: make generate rewrites it")
	}
}

func TestThePageNamesEverything(t *testing.T) {
	page := Page(
		map[string]string{"R10": "Ten.", "R2": "Two <i> *s*."},
		[]conformance.Case{{Name: "Group/Case", Rules: []string{"R2"}, Where: "cases_x.go:12"}},
		[]conformance.Mutant{{Name: "a mistake", Rule: "R2", Case: "Group/Case", Behind: "paging"}},
		"## Mistakes\n",
	)
	for _, want := range []string{
		"2 numbered rules", "1 cases", "1 while paging", `Two &lt;i> \*s\*.`, "- `Group/Case` in [cases_x.go](../conformance/cases_x.go)\n",
		"- Mutant: a mistake (hidden by paging). Caught by `Group/Case`.\n", "## Rules without a mutant\n\n- R10\n\n## Mistakes\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page:\n%s", want, page)
		}
	}
	if strings.Index(page, "### R2\n") > strings.Index(page, "### R10\n") {
		t.Error("the rules are not in the order of their numbers")
	}
}
