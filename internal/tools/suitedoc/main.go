// Suitedoc writes docs/conformance.md: every rule of the contract, the cases
// that test it, and the mutants that test the cases.
//
//	go run ./internal/tools/suitedoc -out docs/conformance.md
package main

import (
	"flag"
	"fmt"
	"log"
	"os"

	"github.com/sojourn-go/sojourn/conformance"
)

func main() {
	out := flag.String("out", "docs/conformance.md", "the file to write; empty means standard output")
	flag.Parse()
	page := Page(conformance.Rules, conformance.Cases(), conformance.Mutants())
	if *out == "" {
		fmt.Print(page)
		return
	}
	if err := os.WriteFile(*out, []byte(page), 0o644); err != nil { //nolint:gosec // the page is public
		log.Fatal(err)
	}
}
