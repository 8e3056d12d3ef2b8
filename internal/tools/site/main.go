// Command site writes the pages for the web: README.md, the other pages of the
// root and docs/, as Markdown for Zensical, with its configuration beside them.
// Links to other files lead to the repository. A link to a file that does not
// exist is an error. After the build it checks the links of the HTML pages.
//
//	go run ./internal/tools/site [-out=site]
//	go run ./internal/tools/site -check=site/html
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// repository is where links to code lead.
const repository = "https://github.com/sojourn-go/sojourn/blob/main/"

// config is the configuration of Zensical, with the order of the pages.
//
//go:embed zensical.toml
var config string

func main() {
	out := flag.String("out", "site", "the folder to write")
	built := flag.String("check", "", "check the links of the HTML pages in this folder, and write nothing")
	flag.Parse()
	var err error
	if *built != "" {
		err = check(os.DirFS(*built))
	} else {
		err = build(".", *out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
}

// build writes the pages of the module in root into the folder out, which it replaces.
func build(root, out string) error {
	module := os.DirFS(root)
	names, err := pages(module)
	if err != nil {
		return err
	}
	w := writer{isPage: map[string]bool{}, pictures: map[string]bool{}, exists: func(name string) bool {
		_, err := fs.Stat(module, name)
		return err == nil
	}}
	for _, name := range names {
		w.isPage[name] = true
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	var broken []error
	for _, name := range names {
		text, err := fs.ReadFile(module, name)
		if err != nil {
			return err
		}
		page, wrong := w.page(name, string(text))
		broken = append(broken, wrong...)
		if err := write(filepath.Join(out, "pages", filepath.FromSlash(published(name))), page); err != nil {
			return err
		}
	}
	for name := range w.pictures {
		bytes, err := fs.ReadFile(module, name)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(out, "pages", filepath.FromSlash(published(name))), string(bytes)); err != nil {
			return err
		}
	}
	broken = append(broken, write(filepath.Join(out, "zensical.toml"), config), menu(names))
	return errors.Join(broken...)
}

// entry is a page in the menu of the configuration.
var entry = regexp.MustCompile(`"([a-z0-9/-]+\.md)"`)

// menu returns an error for each page that the menu lacks, and for each that it
// has and that does not exist. The list of decisions leads to the decisions.
func menu(names []string) error {
	var wrong []error
	left := map[string]bool{}
	for _, m := range entry.FindAllStringSubmatch(config, -1) {
		left[m[1]] = true
	}
	for _, name := range names {
		if page := published(name); !left[page] && path.Dir(name) != "docs/adr" {
			wrong = append(wrong, fmt.Errorf("zensical.toml has no line for %s: add %q to nav", name, page))
		}
		delete(left, published(name))
	}
	for page := range left {
		wrong = append(wrong, fmt.Errorf("zensical.toml names %s, which does not exist", page))
	}
	return errors.Join(wrong...)
}

func write(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // documents
		return err
	}
	return os.WriteFile(name, []byte(text), 0o644) //nolint:gosec // documents
}

// pages returns the pages of the root and of docs, by their paths with slashes.
func pages(module fs.FS) ([]string, error) {
	names, err := fs.Glob(module, "*.md")
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(module, "docs", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && path.Ext(name) == ".md" {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

// published returns the path of a page or a picture on the web. A README is its
// folder's index, and docs/ is the root. SECURITY.md gets a name of its own: some
// file systems take it for security.md.
func published(name string) string {
	if name == "SECURITY.md" {
		return "vulnerabilities.md"
	}
	if !strings.Contains(name, "/") {
		name = strings.ToLower(name)
	}
	name = strings.TrimPrefix(name, "docs/")
	if folder, file := path.Split(name); strings.EqualFold(file, "README.md") {
		return folder + "index.md"
	}
	return name
}
