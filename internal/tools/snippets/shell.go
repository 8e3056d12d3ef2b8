package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// commands checks that each command of a fence names what there is: a target of
// the Makefile, a package, a script, an image that the tests pull.
func commands(root, name string, f fence) error {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return err
	}
	images, err := os.ReadFile(filepath.Join(root, "docs/ci.md")) // a test compares its images with the jobs
	if err != nil {
		return err
	}
	var wrong []error
	dir := root
	for i, line := range strings.Split(strings.ReplaceAll(f.text, "\\\n", " "), "\n") {
		line, _, _ = strings.Cut(line, " #")
		words := word.FindAllString(line, -1)
		for len(words) > 0 && assignment.MatchString(words[0]) {
			words = words[1:]
		}
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if why := command(root, &dir, words, string(makefile), string(images)); why != "" {
			wrong = append(wrong, fmt.Errorf("%s:%d: %s: %s", name, f.line+i, strings.Join(words, " "), why))
		}
	}
	return errors.Join(wrong...)
}

var (
	assignment = regexp.MustCompile(`^[A-Z_]+=`)
	word       = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|\S)+`) // with its quotes
	target     = regexp.MustCompile(`^[a-z][a-z-]*$`)
)

// command returns why a command cannot be run, or "". Dir is the folder in which
// it runs, which cd changes; outside of the module it is "".
func command(root string, dir *string, words []string, makefile, images string) string {
	there := func(path string) string {
		if *dir == "" {
			return "" // a module of the reader's own
		}
		if _, err := os.Stat(filepath.Join(*dir, strings.TrimSuffix(path, "/..."))); err != nil {
			return path + " does not exist"
		}
		return ""
	}
	switch words[0] {
	case "make":
		for _, w := range words[1:] {
			if target.MatchString(w) && !strings.Contains("\n"+makefile, "\n"+w+":") {
				return "the Makefile has no target " + w
			}
		}
		return ""
	case "cd":
		if words[1] == "sojourn" {
			*dir = root
			return ""
		}
		why := there(words[1])
		*dir = filepath.Join(*dir, words[1])
		return why
	case "mkdir": // mkdir shop && cd shop
		*dir = ""
		return ""
	case "go":
		if len(words) > 3 && words[1] == "-C" {
			if why := there(words[2]); why != "" {
				return why
			}
			words = slices.Concat(words[:1], words[3:])
		}
		return goCommand(root, words, there)
	case "sojourn":
		if _, err := os.Stat(filepath.Join(root, "cmd/sojourn")); err != nil {
			return "this module has no command sojourn"
		}
		return ""
	case "bash":
		return there(words[1])
	case "docker":
		for _, w := range words[1:] {
			if image, _, ok := strings.Cut(w, ":"); ok && target.MatchString(strings.ReplaceAll(image, "/", "")) && !strings.Contains(images, w) {
				return "docs/ci.md has no job with the image " + w
			}
		}
		return ""
	case "git", "curl", "redis-cli", "psql", "pg_dump", "pg_restore", "mongodump", "mongorestore", "export", "openssl":
		return ""
	}
	return "internal/tools/snippets does not know this command"
}

func goCommand(root string, words []string, there func(string) string) string {
	switch words[1] {
	case "run", "test", "vet", "build":
		for _, w := range words[2:] {
			if strings.HasPrefix(w, "./") {
				if why := there(w); why != "" {
					return why
				}
			}
		}
		return ""
	case "get":
		for _, w := range words[2:] {
			path, _, _ := strings.Cut(w, "@")
			rest, ok := strings.CutPrefix(path+"/", module)
			if !ok {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, rest, "go.mod")); err != nil {
				return path + " is not a module of this repository"
			}
		}
		return ""
	case "mod", "install", "generate", "tool", "doc":
		return ""
	}
	return "internal/tools/snippets does not know this command"
}
