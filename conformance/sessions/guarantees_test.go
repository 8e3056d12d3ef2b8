package sessions

import (
	"go/parser"
	gotoken "go/token"
	"regexp"
	"slices"
	"testing"
)

// The list of guarantees in the comment of package session names a case for each.
func TestGuaranteesNameTheirCases(t *testing.T) {
	file, err := parser.ParseFile(gotoken.NewFileSet(), "../../session/doc.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	guarantees := regexp.MustCompile(`(?m)^ {1,4}(\d+)\. [^\n]+(?:\n {3,}[^\n]+)*\n {3,}(\w+/\w+)$`).FindAllStringSubmatch(file.Doc.Text(), -1)
	if len(guarantees) != 11 {
		t.Fatalf("%d guarantees with a case, want 11", len(guarantees))
	}
	for _, g := range guarantees {
		if !slices.ContainsFunc(All(), func(c Case) bool { return c.Name == g[2] }) {
			t.Errorf("guarantee %s: there is no case %s", g[1], g[2])
		}
	}
}
