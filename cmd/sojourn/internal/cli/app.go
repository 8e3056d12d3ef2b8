// Package cli is the command line of sojourn: its commands, what they print and
// their exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// System is what the program gets from its process.
type System struct {
	In       io.Reader
	Out, Err io.Writer
	// Getenv returns the value of a variable. Nil means os.Getenv.
	Getenv func(name string) string
	// Version is what --version prints. Empty means that it is not known.
	Version string
}

// app is one run of the program.
type app struct {
	*System
	json  bool
	place string // of --url
}

// now is the machine's clock in whole milliseconds.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// Main runs the command line and returns the exit code. It prints errors.
func Main(ctx context.Context, sys *System, args []string) int {
	s := *sys
	if s.Getenv == nil {
		s.Getenv = os.Getenv
	}
	a := &app{System: &s}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if own := (*codeError)(nil); !errors.As(err, &own) || !own.silent {
		for text := range strings.Lines(err.Error()) {
			if text = strings.TrimSpace(text); text != "" {
				_, _ = fmt.Fprintln(s.Err, "sojourn: "+printable(text))
			}
		}
	}
	if codeOf(err) == exitFailed && unknownCommand(err) {
		return exitUsage
	}
	return codeOf(err)
}

// unknownCommand reports whether cobra refused the command line: it has no error
// values for that.
func unknownCommand(err error) bool {
	for _, begin := range []string{"unknown command", "accepts ", "requires ", "required flag", "if any flags in the group", "at least one of the flags"} {
		if strings.HasPrefix(err.Error(), begin) {
			return true
		}
	}
	return false
}

const rootLong = `Sojourn looks into stores of records that expire, on every backend, and looks
after them.

A store is named by a URL, in --url or in the environment. Secrets never stand
on the command line: it refuses them. They come from the environment:

  SOJOURN_URL, SOJOURN_URL_FILE            the store, or a file that has its URL
  SOJOURN_PASSWORD, SOJOURN_PASSWORD_FILE  the password for it
  SOJOURN_SEAL_KEY, SOJOURN_SEAL_KEY_FILE  the keys of sealed values

With --url env:OLD_ the names begin with OLD_ instead of SOJOURN_. What a
backend's own client reads, such as AWS_PROFILE or PGPASSWORD, works too.

` + exitCodes

func (a *app) root() *cobra.Command {
	version := a.Version
	if version == "" {
		version = "unknown"
	}
	root := &cobra.Command{
		Version: version,
		Use:     "sojourn", Short: "Look into stores of records that expire, and look after them", Long: rootLong,
		Example:       "  sojourn ls --url 'file:data?name=carts'\n  sojourn doctor 'file:data?name=carts'",
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(err.Error() + "; see " + c.CommandPath() + " --help; an id or a handle that begins with - stands behind a --")
	})
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON, one object on each line")
	root.PersistentFlags().StringVarP(&a.place, "url", "u", "", "the store's URL without secrets, or env:PREFIX (default: SOJOURN_URL)")
	root.AddCommand(
		a.ls(), a.get(), a.rm(), a.count(), a.touch(), a.sweep(),
		a.sessions(), a.session(), a.signOut(),
		a.initCommand(), a.reindex(), a.keys(),
		a.doctor(), a.conformance(), a.bench(), a.migrate(),
	)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.InitDefaultCompletionCmd() // for its examples; it takes the output from root
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			for _, shell := range c.Commands() {
				shell.Example = "  sojourn completion " + shell.Name()
			}
			c.Example = "  sojourn completion bash"
		}
	}
	return root
}
