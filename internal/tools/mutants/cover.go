package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// coverage has the parts of the code that the suite ran, or did not.
type coverage map[string][]part // by the file's name, relative to the module's root folder

type part struct {
	from, to [2]int // line and column
	ran      bool
}

// profile runs the suites of the target's judges without mutants and returns what
// of its package they ran.
func profile(ctx context.Context, dir string, t target) (coverage, error) {
	out := coverage{}
	for i, backend := range t.judges {
		name := filepath.Join(dir, fmt.Sprintf("%d.cover", i))
		if _, err := run(ctx, "go", "test", "-count=1", "-run=^"+suiteTest+"$", "-coverprofile="+name, "-coverpkg=./"+t.dir, "./"+backend); err != nil {
			return nil, err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := out.read(t.dir, string(data)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// read adds a profile of a package in the folder.
func (c coverage) read(dir, text string) error {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		file, rest, _ := strings.Cut(line, ":")
		var p part
		var statements, count int
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &p.from[0], &p.from[1], &p.to[0], &p.to[1], &statements, &count); err != nil {
			return fmt.Errorf("the profile has the line %q: %w", line, err)
		}
		p.ran = count > 0
		name := path.Join(dir, path.Base(file))
		c[name] = append(c[name], p)
	}
	return nil
}

// ran reports whether what stands at a place ran. A place outside of all parts,
// such as the condition of a case, counts as run.
func (c coverage) ran(file string, line, column int) bool {
	at := [2]int{line, column}
	after := func(a, b [2]int) bool { return a[0] > b[0] || a[0] == b[0] && a[1] >= b[1] }
	var inner [2]int
	ran := true
	for _, p := range c[file] {
		if after(at, p.from) && !after(at, p.to) && after(p.from, inner) {
			if inner == p.from { // a profile of another judge
				ran = ran || p.ran
			} else {
				inner, ran = p.from, p.ran
			}
		}
	}
	return ran
}
