// Backenddoc writes docs/write-a-backend.md: how to write a backend, with the
// source of backends/bbolt as the example.
//
//	go run ./internal/tools/backenddoc -out docs/write-a-backend.md
//
// The text is page.md. Each {{code "file" "Name"}} in it becomes that declaration
// of the file, so that every snippet is compiled and tested.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
)

func main() {
	out := flag.String("out", "docs/write-a-backend.md", "the file to write; empty means standard output")
	flag.Parse()
	page, err := Page(context.Background(), ".")
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
