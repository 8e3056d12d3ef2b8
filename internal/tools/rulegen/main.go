// Rulegen reads the numbered rules out of the comments of package driver and
// writes them as Go source, so that a failing case can quote its rule:
//
//	go run ./internal/tools/rulegen -out conformance/rules.go expiry
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
)

func main() {
	out := flag.String("out", "", "the file to write; empty: standard output")
	flag.Parse()
	src, err := Generate(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	if *out == "" {
		fmt.Print(string(src))
		return
	}
	if err := os.WriteFile(*out, src, 0o644); err != nil { //nolint:gosec // source code
		log.Fatal(err)
	}
}
