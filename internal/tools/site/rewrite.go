package main

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// writer knows what a link can lead to.
type writer struct {
	isPage   map[string]bool
	exists   func(name string) bool
	pictures map[string]bool // of docs/, to which a page refers
}

// link is a link of Markdown to a path, maybe with a fragment: [text](path#fragment).
var link = regexp.MustCompile(`\]\(([^()\s#]+)(#[^()\s]*)?\)`)

// page returns a page as it is published, and the links that lead nowhere.
func (w *writer) page(name, text string) (page string, broken []error) {
	var b strings.Builder
	code, before := false, ""
	for line := range strings.Lines(text) {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if fence {
			code = !code
		}
		if fence || code {
			b.WriteString(line)
			before = ""
			continue
		}
		if apart(before, line) {
			b.WriteString("\n")
		}
		before = line
		rewritten, wrong := w.line(name, line)
		b.WriteString(rewritten)
		broken = append(broken, wrong...)
	}
	return b.String(), broken
}

// block is the begin of a list's item or of a table's row.
var block = regexp.MustCompile(`^(- |\d+\. |\|)`)

// apart reports whether a line needs an empty line before it: the generator takes
// a list or a table for a part of the paragraph above it, which GitHub does not.
func apart(before, line string) bool {
	kind := block.FindString(line)
	if kind == "" || strings.TrimSpace(before) == "" {
		return false
	}
	return block.FindString(before) == "" && !strings.HasPrefix(before, " ")
}

func (w *writer) line(name, line string) (string, []error) {
	var b strings.Builder
	var broken []error
	end := 0
	for _, at := range link.FindAllStringSubmatchIndex(line, -1) {
		target, fragment := line[at[2]:at[3]], ""
		if at[4] >= 0 {
			fragment = line[at[4]:at[5]]
		}
		b.WriteString(line[end:at[0]])
		end = at[1]
		full := path.Join(path.Dir(name), target)
		isCode := strings.Count(line[:at[0]], "`")%2 == 1
		switch {
		case isCode, strings.Contains(target, "://"), strings.HasPrefix(target, "mailto:"):
			b.WriteString(line[at[0]:at[1]])
		case !w.exists(full):
			broken = append(broken, fmt.Errorf("%s links to %s, which does not exist", name, target))
		case w.isPage[full]:
			b.WriteString("](" + relative(name, full) + fragment + ")")
		case strings.HasPrefix(full, "docs/") && path.Ext(full) == ".png":
			w.pictures[full] = true
			b.WriteString("](" + relative(name, full) + ")")
		default:
			b.WriteString("](" + repository + full + fragment + ")")
		}
	}
	b.WriteString(line[end:])
	return b.String(), broken
}

// relative returns the way from one published page to another.
func relative(from, to string) string {
	rel, err := filepath.Rel(path.Dir(published(from)), published(to))
	if err != nil {
		return published(to) // both are relative, so Rel does not fail
	}
	return filepath.ToSlash(rel)
}
