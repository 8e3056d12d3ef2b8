// Urldoc writes docs/urls.md: the URLs of every backend and their parameters.
//
//	go run ./internal/tools/urldoc -out docs/urls.md
//
// It takes the parameters from what the backends register, and the text of
// those that set an option from the comment of the option's field. A backend that
// is a module of its own is asked by a program that runs in its folder, so that
// this module need not import it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"

	_ "github.com/sojourn-go/sojourn/backends/dynamodb"      // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/elasticsearch" // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/file"          // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/memory"        // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/mongo"         // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/redis"         // registers its URLs
	_ "github.com/sojourn-go/sojourn/backends/s3"            // registers its URLs
)

func main() {
	out := flag.String("out", "docs/urls.md", "the file to write; empty means standard output")
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
