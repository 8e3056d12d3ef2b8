package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/internal/tools/mutants/outcome"
)

// suiteTests matches the tests of a backend that run cases of the suite, and nothing
// else. Files have a second one, whose stores have no log.
const suiteTests = "^TestConformance(WithoutLog)?$"

// judge is the test program of a backend, compiled with mutants.
type judge struct {
	dir    string // of the backend, relative to the module's root folder
	binary string
	limit  time.Duration // for one run of the suite
}

// build compiles the tests of a backend with the files of the overlay.
func build(ctx context.Context, dir, binary string, overlay map[string]string) (*judge, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, err
	}
	replace := map[string]string{}
	for name, written := range overlay {
		replace[filepath.Join(root, filepath.FromSlash(name))] = written
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	list := binary + ".json"
	if err := os.WriteFile(list, data, 0o600); err != nil {
		return nil, err
	}
	if _, err := run(ctx, "go", "test", "-c", "-vet=off", "-buildvcs=false", "-overlay="+list, "-o="+binary, "./"+dir); err != nil {
		return nil, err
	}
	return &judge{dir: dir, binary: binary}, nil
}

// hash returns what changes with everything that was compiled.
func (j *judge) hash() (string, error) {
	f, err := os.Open(j.binary)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), err
}

// verdict is the end of one run.
type verdict struct {
	state outcome.State
	by    string
	took  time.Duration
}

// try runs the suite with a mutant until the first case fails. With likely, it
// runs only those cases. It does so again if the machine paused this program.
func (j *judge) try(ctx context.Context, pkg string, number int, likely []string) (verdict, error) {
	for range 5 {
		v, paused, err := j.once(ctx, pkg, number, likely)
		if err != nil || !paused {
			return v, err
		}
	}
	return verdict{}, errors.New("the machine pauses this program in each run")
}

func (j *judge) once(ctx context.Context, pkg string, number int, likely []string) (verdict, bool, error) {
	place, err := os.MkdirTemp(fastPlace(), "sojourn-mutant-")
	if err != nil {
		return verdict{}, false, err
	}
	defer func() { _ = os.RemoveAll(place) }()
	stopped, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(stopped, j.binary, "-test.v=test2json", "-test.failfast", "-test.timeout=0", "-test.run="+pattern(likely)) //nolint:gosec // built above
	cmd.Dir = place                                                                                                                       // a failed random test writes files there, which later runs would repeat
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", variable(pkg), number), "SOJOURN_TEST_PLACE="+place, "TMPDIR="+place)
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return verdict{}, false, err
	}
	cmd.Stderr = cmd.Stdout
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return verdict{}, false, err
	}
	pulse := startPulse(j.limit, stop)
	failed, said := watch(out, stop)
	err = cmd.Wait()
	pulse.stop()
	v := verdict{state: outcome.Survived, took: time.Since(began)}
	switch {
	case ctx.Err() != nil:
		return verdict{}, false, ctx.Err()
	case failed != "":
		v.state, v.by = outcome.Killed, failed
	case pulse.over:
		v.state, v.by = outcome.Endless, ""
	case err != nil:
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return verdict{}, false, err
		}
		v.state, v.by = outcome.Crashed, said
		if exit.ExitCode() == tooMuch {
			v.by = "too much memory"
		}
	}
	return v, pulse.paused, nil
}

// failure matches the line of a failed test. With -test.v=test2json it comes as
// soon as the test ends, with a control character before it.
var failure = regexp.MustCompile(`^\x16?\s*--- FAIL: (\S+)`)

// watch reads what the tests print until the first failure, which it returns.
// Then it calls stop. It also returns the first line of a crash.
func watch(out io.Reader, stop func()) (failed, said string) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if m := failure.FindStringSubmatch(line); m != nil && failed == "" {
			_, failed, _ = strings.Cut(m[1], "/")
			for _, part := range []string{"cases", "alone"} {
				failed = strings.TrimPrefix(strings.TrimPrefix(failed, part), "/")
			}
			if failed == "" {
				failed = "before the first case"
			}
			stop()
		}
		if said == "" && (strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")) {
			said = strings.Join(strings.Fields(line), " ")
		}
		if err != nil {
			return failed, said
		}
	}
}

// pattern returns the argument of -test.run for the cases with the names, and
// for all if there are none.
func pattern(names []string) string {
	if len(names) == 0 {
		return suiteTests
	}
	var groups, cases []string
	for _, name := range names {
		group, rest, _ := strings.Cut(name, "/")
		groups, cases = append(groups, regexp.QuoteMeta(group)), append(cases, regexp.QuoteMeta(rest))
	}
	slices.Sort(groups)
	return fmt.Sprintf("%s/^(cases|alone)$/^(%s)$/^(%s)$", suiteTests, strings.Join(slices.Compact(groups), "|"), strings.Join(cases, "|"))
}

// fastPlace returns a folder on a file system in memory, if there is one.
func fastPlace() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// run returns the output of a command, whose errors say what it printed.
func run(ctx context.Context, words ...string) (string, error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // commands of this program
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(words, " "), err, out, exit.Stderr)
	}
	return string(out), err
}
