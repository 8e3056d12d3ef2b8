// Command site writes the pages for the web: README.md, the other pages of the root and docs/, as
// Markdown that GitHub Pages renders. Links to other files lead to the repository. A link
// to a file that does not exist is an error.
//
//	go run ./internal/tools/site [-out=site]
package main

import (
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

func main() {
	out := flag.String("out", "site", "the folder to write")
	flag.Parse()
	if err := build(".", *out); err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
}

// build writes the pages of the module in root into the folder out, which it replaces.
func build(root, out string) error {
	names, err := pages(os.DirFS(root))
	if err != nil {
		return err
	}
	isPage := map[string]bool{}
	for _, name := range names {
		isPage[name] = true
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	var broken []error
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		page, wrong := rewrite(name, string(text), isPage, func(target string) bool {
			_, err := os.Stat(filepath.Join(root, filepath.FromSlash(target)))
			return err == nil
		})
		broken = append(broken, wrong...)
		if err := write(filepath.Join(out, filepath.FromSlash(published(name))), page); err != nil {
			return err
		}
	}
	broken = append(broken, write(filepath.Join(out, "_config.yml"), config))
	return errors.Join(broken...)
}

const config = `title: Sojourn
theme: jekyll-theme-primer
plugins: [jekyll-relative-links, jekyll-optional-front-matter, jekyll-titles-from-headings]
relative_links:
  enabled: true
  collections: false
`

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

// published returns a page's path on the web. A README is its folder's index.
func published(name string) string {
	if folder, file := path.Split(name); file == "README.md" {
		return folder + "index.md"
	}
	return name
}

// link is a link of Markdown to a path, maybe with a fragment: [text](path#fragment).
var link = regexp.MustCompile(`\]\(([^()\s#]+)(#[^()\s]*)?\)`)

// rewrite returns a page as it is published, and the links that lead nowhere.
func rewrite(name, text string, isPage map[string]bool, exists func(string) bool) (page string, broken []error) {
	code := false
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		}
		if code {
			b.WriteString(line)
			continue
		}
		end := 0
		for _, at := range link.FindAllStringSubmatchIndex(line, -1) {
			whole, target := line[at[0]:at[1]], line[at[2]:at[3]]
			b.WriteString(line[end:at[0]])
			end = at[1]
			full := path.Join(path.Dir(name), target)
			isCode := strings.Count(line[:at[0]], "`")%2 == 1
			switch {
			case isCode, strings.Contains(target, "://"), strings.HasPrefix(target, "mailto:"):
				b.WriteString(whole)
			case !exists(full):
				broken = append(broken, fmt.Errorf("%s links to %s, which does not exist", name, target))
			case isPage[full]:
				b.WriteString("](" + strings.TrimSuffix(target, path.Base(target)) + path.Base(published(full)) + line[at[3]:at[1]])
			default:
				b.WriteString("](" + repository + full + line[at[3]:at[1]])
			}
		}
		b.WriteString(line[end:])
	}
	return b.String(), broken
}
