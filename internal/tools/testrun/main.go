// Command testrun runs go test and says what was proven: which suite ran how many cases on which
// server, what was skipped and why.
//
//	go run ./internal/tools/testrun [-v] [-table=FILE] [-junit=FILE] [-summary=FILE] [-modules=FOLDER,…] [go test's flags, as -name=value] [packages, default ./...]
//
// Tests run with the race detector and in random order. The seed of a failed package is the number
// after -test.shuffle in its output: -shuffle=SEED repeats the order.
//
// Each package's line and the output of failed tests appear as they come, in go test's own form; with
// -v all output does. After half a minute of silence a line tells what is running. A table follows of
// the runs that tests reported by t.Attr("sojourn.run", …), then the skipped and the failed tests, and
// a last line "N passed, N failed, N skipped". The exit status is that of go test.
//
// With -modules all packages of further modules run after those, as parts of the same run. Without
// packages only the modules run.
//
// With -table=FILE a run in which nothing failed, and nothing of the suites was skipped, writes backend by
// capability by cases into that file, between its two marks.
//
// With -junit=FILE the run is also written as JUnit XML, with -summary=FILE appended as Markdown. The
// Markdown is appended to the file in GITHUB_STEP_SUMMARY too, which a job of GitHub Actions shows. A
// failed run is written as well.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"time"
)

const silence = 30 * time.Second

func main() {
	own, goTest, packages := parse(os.Args[1:])
	if file := os.Getenv("GITHUB_STEP_SUMMARY"); file != "" {
		own.summaries = append(own.summaries, file)
	}
	status, err := run(context.Background(), os.Stdout, own, goTest, packages)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// flags are testrun's own.
type flags struct {
	verbose   bool
	table     string
	junit     string
	summaries []string
	modules   []string // folders
}

// parse splits testrun's own flags from go test's flags and packages.
func parse(arguments []string) (own flags, goTest, packages []string) {
	goTest = []string{"test", "-race", "-json", "-shuffle=on"}
	for _, argument := range arguments {
		if argument == "-v" {
			own.verbose = true
			continue
		}
		if file, ok := strings.CutPrefix(argument, "-table="); ok {
			own.table = file
			continue
		}
		if file, ok := strings.CutPrefix(argument, "-junit="); ok {
			own.junit = file
			continue
		}
		if file, ok := strings.CutPrefix(argument, "-summary="); ok {
			own.summaries = append(own.summaries, file)
			continue
		}
		if folders, ok := strings.CutPrefix(argument, "-modules="); ok {
			own.modules = strings.FieldsFunc(folders, func(r rune) bool { return r == ',' })
			continue
		}
		if strings.HasPrefix(argument, "-") {
			goTest = append(goTest, argument)
		} else {
			packages = append(packages, argument)
		}
	}
	if len(packages) == 0 && len(own.modules) == 0 {
		packages = []string{everything}
	}
	return own, goTest, packages
}

const everything = "./..."

// run runs go test in each module, reports on out, and returns the worst exit status.
func run(ctx context.Context, out io.Writer, own flags, goTest, packages []string) (int, error) {
	// A terminal interrupts the whole group: go test ends in its own time, and what it said until then
	// is still reported.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)

	report := newReport(out, own.verbose)
	var worst int
	var err error
	if len(packages) > 0 {
		worst, err = goCommand(ctx, report, ".", append(slices.Clone(goTest), packages...))
	}
	for _, module := range own.modules {
		if err != nil || len(interrupts) > 0 {
			break
		}
		var status int
		status, err = goCommand(ctx, report, module, append(slices.Clone(goTest), everything))
		worst = max(worst, status)
	}
	malformed := report.summarize()
	unwritten := report.write(own)
	switch {
	case err != nil:
		return 1, errors.Join(err, unwritten)
	case worst != 0:
		return worst, unwritten
	case malformed > 0:
		return 1, fmt.Errorf("%d tests reported their run in a form that is not understood", malformed)
	case report.count() == counts{} && slices.ContainsFunc(goTest, isPattern):
		return 1, errors.Join(errors.New("no test matches the patterns of -run and -skip"), unwritten)
	case own.table != "":
		return 0, errors.Join(unwritten, report.writeTable(own.table))
	}
	return 0, unwritten
}

// goCommand runs the go command once, in a folder, and returns its exit status.
func goCommand(ctx context.Context, report *report, folder string, arguments []string) (int, error) {
	command := exec.CommandContext(ctx, "go", arguments...) //nolint:gosec // its purpose is to run what it is told
	command.Dir = folder
	command.Stderr = os.Stderr
	stream, err := command.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := command.Start(); err != nil {
		return 1, err
	}
	follow(report, stream, silence)
	err = command.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// isPattern recognizes a flag that chooses tests. A run that chose none proves nothing.
func isPattern(argument string) bool {
	return strings.HasPrefix(argument, "-run=") || strings.HasPrefix(argument, "-skip=")
}

// write writes the files that the flags name.
func (r *report) write(own flags) error {
	var errs []error
	if own.junit != "" {
		errs = append(errs, r.writeJUnit(own.junit))
	}
	for _, file := range own.summaries {
		errs = append(errs, r.writeSummary(file, time.Now()))
	}
	return errors.Join(errs...)
}

// follow feeds the lines of a stream to the report until it ends, and has the report say what is
// running whenever it printed nothing for a while.
func follow(report *report, stream io.Reader, silence time.Duration) {
	lines := make(chan string)
	go func() {
		defer close(lines)
		reader := bufio.NewReader(stream) // a Scanner would stop at a long line
		for {
			line, err := reader.ReadString('\n')
			if line != "" {
				lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		select {
		case line, open := <-lines:
			if !open {
				return
			}
			if report.line(line) {
				timer.Reset(silence)
			}
		case <-timer.C:
			report.heartbeat(time.Now())
			timer.Reset(silence)
		}
	}
}
