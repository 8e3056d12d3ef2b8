// Suitedoc writes docs/conformance.md: every rule of the contract, the cases
// that test it, the mutants that test the cases, and what the suite finds of
// mistakes in two backends.
//
//	go run ./internal/tools/suitedoc -out docs/conformance.md
package main

import (
	"flag"
	"fmt"
	"log"
	"os"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/internal/tools/mutants/outcome"
)

func main() {
	out := flag.String("out", "docs/conformance.md", "the file to write; empty means standard output")
	flag.Parse()
	page, err := page()
	if err != nil {
		log.Fatal(err)
	}
	if *out == "" {
		fmt.Print(page)
		return
	}
	if err := os.WriteFile(*out, []byte(page), 0o644); err != nil { //nolint:gosec // the page is public
		log.Fatal(err)
	}
}

// page returns the page of this module.
func page() (string, error) {
	results, err := outcome.Stored()
	if err != nil {
		return "", err
	}
	return Page(conformance.Rules, conformance.Cases(), conformance.Mutants(), outcome.Section(results)), nil
}
