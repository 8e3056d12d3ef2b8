package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strings"
)

var (
	reference = regexp.MustCompile(`\s(?:href|src)="?([^"\s>]+)`)
	anchor    = regexp.MustCompile(`\s(?:id|name)="?([^"\s>]+)`)
	script    = regexp.MustCompile(`(?s)<script.*?</script>|<!--.*?-->`)
)

// check returns an error for every link, picture or anchor within the pages that
// leads nowhere. It asks no other site.
func check(site fs.FS) error {
	anchors := map[string]map[string]bool{}
	texts := map[string]string{}
	err := fs.WalkDir(site, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".html" {
			return err
		}
		bytes, err := fs.ReadFile(site, name)
		if err != nil {
			return err
		}
		texts[name] = script.ReplaceAllString(string(bytes), "")
		anchors[name] = map[string]bool{"": true, "__skip": true}
		for _, m := range anchor.FindAllStringSubmatch(texts[name], -1) {
			anchors[name][m[1]] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(texts) == 0 {
		return errors.New("no HTML page: make docs builds them")
	}
	var broken []error
	for name, text := range texts {
		if name == "404.html" {
			continue // its links begin at the site's own address
		}
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			if why := leads(site, anchors, name, strings.ReplaceAll(m[1], "&amp;", "&")); why != "" {
				broken = append(broken, fmt.Errorf("%s: %s %s", name, m[1], why))
			}
		}
	}
	return errors.Join(broken...)
}

// leads returns why a link leads nowhere, or "".
func leads(site fs.FS, anchors map[string]map[string]bool, from, to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return "is not a URL"
	}
	if u.Scheme != "" || u.Host != "" {
		return ""
	}
	target := from
	if u.Path != "" {
		target = path.Join(path.Dir(from), u.Path)
		if strings.HasPrefix(u.Path, "/") {
			return "is not relative: the site may have a path of its own"
		}
		if info, err := fs.Stat(site, target); err == nil && info.IsDir() {
			target = path.Join(target, "index.html")
		}
	}
	if _, err := fs.Stat(site, target); err != nil {
		return "does not exist"
	}
	if of, isPage := anchors[target]; isPage && !of[u.Fragment] {
		return "has no such anchor"
	}
	return ""
}
