// Securitydoc writes docs/security.md from the comments of the tests of
// sessions: what each norm asks, what the library does, what is left to the
// program, and which test proves it.
//
//	go run ./internal/tools/securitydoc -out docs/security.md
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("out", "docs/security.md", "the file to write")
	root := flag.String("root", ".", "the module's folder")
	flag.Parse()
	data, err := Generate(*root)
	if err == nil {
		err = os.WriteFile(*out, data, 0o644) //nolint:gosec // a page of the documentation
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "securitydoc:", err)
		os.Exit(1)
	}
}
