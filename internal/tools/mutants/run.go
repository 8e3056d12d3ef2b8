package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/internal/tools/mutants/outcome"
)

type options struct {
	only, state, out string
	workers, every   int
	sample           int
	seed             uint64
	bound            time.Duration
	list             bool
}

// partial reports whether some mutants are left out, so that no outcomes are
// written.
func (o *options) partial() bool { return o.only != "" || o.every > 1 }

// run has each mutant of the target judged.
func (o *options) run(ctx context.Context, t target) error {
	src, path, open, err := load(ctx, t)
	if err != nil {
		return err
	}
	all, files, err := src.schema(path, open)
	if err != nil {
		return err
	}
	if o.only != "" {
		only, err := regexp.Compile("^(" + o.only + ")$")
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(m *mutant) bool { return !only.MatchString(m.Function) })
	}
	if o.every > 1 {
		n := 0
		all = slices.DeleteFunc(all, func(*mutant) bool { n++; return n%o.every != 0 })
	}
	of := len(all)
	all = o.sampled(all)
	if o.list {
		for _, m := range all {
			fmt.Printf("%s\t%s\t%s\t%s\n", m.File, m.Function, m.Operator, m.Change)
		}
		return nil
	}
	// Its name is in what is compiled, so it is the same for each part of a run.
	dir, err := filepath.Abs(filepath.Join(o.state, t.name))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // no secret
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r := &judging{options: o, target: t, pkg: src.types.Name(), all: all}
	if err := r.prepare(ctx, dir, files); err != nil {
		return err
	}
	found, err := r.judgeAll(ctx)
	if err != nil || o.partial() {
		return err
	}
	for _, j := range r.judges { // what a mutant left behind must not have judged others
		if _, err := r.intact(ctx, j); err != nil {
			return err
		}
	}
	var text strings.Builder
	text.WriteString("# Written by internal/tools/mutants; make mutants runs it again.\n")
	if len(all) < of {
		text.WriteString(outcome.Sample{Taken: len(all), Of: of, Seed: o.seed}.Line())
	}
	for _, f := range found {
		text.WriteString(f.Line())
	}
	if err := os.WriteFile(filepath.Join(o.out, t.name+".tsv"), []byte(text.String()), 0o644); err != nil { //nolint:gosec // public
		return err
	}
	return os.Remove(r.journal)
}

// load parses the target's package.
func load(ctx context.Context, t target) (*source, string, func(string) (io.ReadCloser, error), error) {
	fail := func(err error) (*source, string, func(string) (io.ReadCloser, error), error) {
		return nil, "", nil, err
	}
	out, err := run(ctx, "go", "list", "-f", "{{.ImportPath}} {{join .GoFiles \" \"}}", "./"+t.dir)
	if err != nil {
		return fail(err)
	}
	words := strings.Fields(out)
	path, names := words[0], slices.DeleteFunc(words[1:], func(name string) bool { return name == "doc.go" })
	list := append([]string{"go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", "./" + t.dir}, switchImports...)
	out, err = run(ctx, list...)
	if err != nil {
		return fail(err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(out) {
		p, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[p] = file
	}
	open := func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("%s has no export data", path)
		}
		return os.Open(exports[path])
	}
	src, err := parse(t.dir, path, names, open)
	if err != nil {
		return fail(err)
	}
	for _, f := range src.files {
		f.skip = slices.Contains(t.skip, filepath.Base(f.name))
	}
	return src, path, open, nil
}

// judging is one run over the mutants of a target.
type judging struct {
	*options
	target  target
	pkg     string
	all     []*mutant
	judges  []*judge
	reached func(*mutant) bool
	journal string

	mu     sync.Mutex
	done   map[outcome.Mutant]outcome.Outcome
	likely map[string][]string // the cases that killed mutants, by function; the last one first
	before map[outcome.Mutant]string
}

// prepare compiles the judges, runs each without a mutant, and reads what earlier
// runs found.
func (r *judging) prepare(ctx context.Context, dir string, files map[string][]byte) error {
	overlay := map[string]string{}
	for name, text := range files {
		written := filepath.Join(dir, strings.ReplaceAll(name, "/", "_")+".txt") // no package of the module
		if err := os.WriteFile(written, text, 0o600); err != nil {
			return err
		}
		overlay[name] = written
	}
	hashes := ""
	for _, backend := range r.target.judges {
		j, err := build(ctx, backend, filepath.Join(dir, filepath.Base(backend)+".test"), overlay)
		if err != nil {
			return err
		}
		hash, err := j.hash()
		if err != nil {
			return err
		}
		hashes += "-" + hash
		took, err := r.intact(ctx, j)
		if err != nil {
			return err
		}
		j.limit = 5*took + 10*time.Second
		fmt.Printf("%s: the suite takes %s\n", backend, took.Round(10*time.Millisecond))
		r.judges = append(r.judges, j)
	}
	profiles, err := profile(ctx, dir, r.target)
	if err != nil {
		return err
	}
	r.reached = profiles.reached
	r.done, r.likely, r.before = map[outcome.Mutant]outcome.Outcome{}, map[string][]string{}, map[outcome.Mutant]string{}
	earlier, err := readOutcomes(filepath.Join(r.out, r.target.name+".tsv"))
	if err != nil {
		return err
	}
	for _, o := range earlier {
		if o.State == outcome.Killed {
			r.before[o.Mutant] = o.By
		}
	}
	r.journal = filepath.Join(r.state, r.target.name+hashes+".tsv")
	part, err := readOutcomes(r.journal)
	for _, o := range part {
		r.done[o.Mutant] = o
	}
	return err
}

// intact runs a judge without a mutant, which must pass.
func (r *judging) intact(ctx context.Context, j *judge) (time.Duration, error) {
	v, err := j.try(ctx, r.pkg, 0, nil)
	if err == nil && v.state != outcome.Survived {
		err = fmt.Errorf("without a mutant %s is %s: %s", j.dir, v.state, v.by)
	}
	return v.took, err
}

func readOutcomes(name string) ([]outcome.Outcome, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return outcome.Read(f)
}

// judgeAll returns the outcomes of all mutants, in their order.
func (r *judging) judgeAll(ctx context.Context) ([]outcome.Outcome, error) {
	journal, err := os.OpenFile(r.journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // no secret
	if err != nil {
		return nil, err
	}
	defer func() { _ = journal.Close() }()
	began := time.Now()
	next := make(chan *mutant)
	var workers sync.WaitGroup
	var failed error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range max(1, r.workers) {
		workers.Go(func() {
			for m := range next {
				o, err := r.judge(ctx, m)
				r.mu.Lock()
				if err == nil {
					r.done[m.Mutant] = o
					_, err = journal.WriteString(o.Line())
				}
				if err != nil && failed == nil {
					failed = err
					cancel()
				}
				r.mu.Unlock()
			}
		})
	}
	left := 0
	for _, m := range r.all {
		r.mu.Lock()
		_, done := r.done[m.Mutant]
		r.mu.Unlock()
		switch {
		case done && r.only == "": // chosen mutants run again
		case ctx.Err() != nil || r.bound > 0 && time.Since(began) > r.bound:
			left++
		default:
			next <- m
		}
	}
	close(next)
	workers.Wait()
	if failed != nil {
		return nil, failed
	}
	if left > 0 {
		return nil, fmt.Errorf("%d of %d mutants are left: %w", left, len(r.all), errPart)
	}
	out := make([]outcome.Outcome, len(r.all))
	for i, m := range r.all {
		out[i] = r.done[m.Mutant]
	}
	return out, nil
}

// manyLikely is how many cases are tried before the whole suite.
const manyLikely = 12

// judge returns the outcome of one mutant.
func (r *judging) judge(ctx context.Context, m *mutant) (outcome.Outcome, error) {
	o := outcome.Outcome{Mutant: m.Mutant, State: outcome.Unreached}
	if !r.reached(m) {
		return o, nil
	}
	began := time.Now()
	o, err := r.runSuite(ctx, o, m.number, r.candidates(m))
	if err != nil {
		return o, err
	}
	r.remember(m, o)
	if r.partial() || o.State == outcome.Survived {
		fmt.Printf("%s\t%s\t%s\t%s\t%s %s (%s)\n", m.File, m.Function, m.Operator, m.Change, o.State, o.By, time.Since(began).Round(time.Millisecond))
	}
	return o, nil
}

// runSuite runs the suite on a mutant: the likely cases first.
func (r *judging) runSuite(ctx context.Context, o outcome.Outcome, number int, likely []string) (outcome.Outcome, error) {
	for _, cases := range [][]string{likely, nil} {
		if cases != nil && len(cases) == 0 {
			continue
		}
		for _, j := range r.judges {
			v, err := j.try(ctx, r.pkg, number, cases)
			if err != nil {
				return o, err
			}
			if o.State, o.By = v.state, v.by; v.state != outcome.Survived {
				return o, nil
			}
		}
	}
	return o, nil
}

// candidates returns the cases that are tried first.
func (r *judging) candidates(m *mutant) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []string{}
	add := func(names ...string) {
		for _, name := range names {
			if strings.Contains(name, "/") && !slices.Contains(out, name) && len(out) < manyLikely {
				out = append(out, name)
			}
		}
	}
	if by := r.before[m.Mutant]; by != "" {
		add(by)
		return out
	}
	add(r.likely[m.Function]...)
	add(r.likely["*"]...)
	return out
}

func (r *judging) remember(m *mutant, o outcome.Outcome) {
	if o.State != outcome.Killed {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range []string{m.Function, "*"} {
		list := slices.DeleteFunc(r.likely[key], func(name string) bool { return name == o.By })
		r.likely[key] = append([]string{o.By}, list...)
	}
}
