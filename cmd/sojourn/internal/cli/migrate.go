package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/cutover"
	"github.com/sojourn-go/sojourn/model"
)

const (
	fromPrefix = "SOJOURN_FROM_"
	toPrefix   = "SOJOURN_TO_"
)

const migrateLong = `Migrate copies all live records of FROM to TO: ids, revisions, expiries, labels,
values and encodings, byte for byte. Nothing of FROM changes. Sealed values stay
sealed, and clients stay signed in.

It works in passes. The first one copies, each further one compares all records
of both and takes what programs changed in FROM meanwhile, also what they
removed. It ends with a pass that found both equal, or after --passes, with exit
code 9. To move a site without a gap, let its programs write both meanwhile:
package expiry/driver/cutover has the backends and the steps.

With --checkpoint it can be ended and killed at any time: the same command goes
on where it was. It refuses a TO that has records already. --into-existing
accepts it, and keeps records that FROM lacks, unless --remove-extra.

FROM may be what another library stored: sessions of scs, redistore or
connect-redis. docs/cli.md has their URLs, and what is copied.

Secrets come from SOJOURN_FROM_URL, SOJOURN_FROM_URL_FILE, SOJOURN_FROM_PASSWORD
and SOJOURN_FROM_PASSWORD_FILE, and the same with TO. A URL that stands there is
named env:SOJOURN_FROM_ on the command line.`

// migration is one run of migrate.
type migration struct {
	app      *app
	from, to driver.ModelExpirySupport
	file     *checkpoint
	opts     cutover.CopyOptions
	began    time.Time
	state    cutover.State
	total    int // records of the source at the beginning
	first    int // State.Seen at the beginning of the pass in this run
	pass     int
	shown    time.Time
	quiet    bool
	nameless bool // ids of FROM are secrets
}

func (a *app) migrate() *cobra.Command {
	var file string
	var into, remove, quiet bool
	opts := cutover.CopyOptions{}
	c := &cobra.Command{
		Use: "migrate FROM TO", Short: "Copy a store to another backend", Args: cobra.ExactArgs(2), Long: migrateLong,
		Example: "  sojourn migrate 'file:data?name=carts' 'sqlite:new.db?table=carts' --checkpoint carts.json\n" +
			"  sojourn migrate 'file:data?name=sessions' 'bbolt:new.bolt?bucket=sessions' --rate 500 --json",
	}
	c.Flags().StringVar(&file, "checkpoint", "", "a file that says how far it is; the same command goes on there")
	c.Flags().IntVar(&opts.Rate, "rate", 0, "records a second at most; 0: no limit")
	c.Flags().IntVar(&opts.Passes, "passes", 10, "passes at most")
	c.Flags().IntVar(&opts.Writers, "writers", 4, "batches that are written at the same time")
	c.Flags().BoolVar(&into, "into-existing", false, "accept a TO that has records")
	c.Flags().BoolVar(&remove, "remove-extra", false, "with --into-existing, remove records that FROM lacks")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "print no progress")
	c.RunE = func(c *cobra.Command, args []string) error {
		if opts.Rate < 0 || opts.Passes < 2 || opts.Writers < 1 {
			return usage("--rate must not be negative, --passes must be 2 or more and --writers 1 or more")
		}
		if remove && !into {
			return usage("--remove-extra needs --into-existing")
		}
		opts.KeepExtra = into && !remove
		from, err := a.source(args[0], fromPrefix)
		if err != nil {
			return err
		}
		to, err := a.find(args[1], toPrefix)
		if err != nil {
			return err
		}
		if from.name == to.name {
			return usage("FROM and TO are the same store")
		}
		m := &migration{app: a, opts: opts, quiet: quiet, nameless: from.foreign, file: &checkpoint{path: file, From: from.name, To: to.name}}
		if m.from, err = from.cfg.Open(c.Context()); err != nil {
			return fmt.Errorf("FROM: %w", err)
		}
		defer func() { _ = m.from.Close() }()
		if m.to, err = to.cfg.Open(c.Context()); err != nil {
			return fmt.Errorf("TO: %w", err)
		}
		defer func() { _ = m.to.Close() }()
		return m.run(c.Context(), into)
	}
	return c
}

// prepare creates the storage, reads the checkpoint, and looks whether the target
// may be written.
func (m *migration) prepare(ctx context.Context, into bool) error {
	resumed, err := m.file.read()
	if err != nil {
		return err
	}
	if err := driver.CreateStorage(ctx, m.to); err != nil {
		return fmt.Errorf("TO: %w", err)
	}
	if resumed {
		m.opts.Start, m.opts.KeepExtra = m.file.State, m.file.KeepExtra
	} else if !into {
		page, err := m.to.Page(ctx, now(), driver.Query{Limit: 1, KeysOnly: true})
		if err != nil {
			return fmt.Errorf("TO: %w", err)
		}
		if len(page.Records)+len(page.Corrupt) > 0 || page.Next != "" {
			return &codeError{code: exitConflict, err: errors.New("TO has records already: --into-existing accepts that, and --checkpoint names the file of an earlier run")}
		}
	}
	m.file.KeepExtra = m.opts.KeepExtra
	if m.quiet { // some backends read all records to count them
		return nil
	}
	if m.total, err = driver.Count(ctx, m.from, now(), driver.Query{}); err != nil {
		return fmt.Errorf("FROM: %w", err)
	}
	return nil
}

// gcPercent keeps the garbage of a copy small: it makes much of it, while little is in
// use at a time.
const gcPercent = 40

func (m *migration) run(ctx context.Context, into bool) error {
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	if err := m.prepare(ctx, into); err != nil {
		return err
	}
	m.began, m.state = time.Now(), m.opts.Start
	m.first, m.pass, m.shown = m.state.Seen, m.state.Pass, m.began
	m.opts.Save = func(s cutover.State) error {
		m.state = s
		m.progress()
		return m.file.save(s)
	}
	state, err := cutover.Copy(ctx, m.from, m.to, &m.opts)
	if m.nameless {
		err = nameless(err)
	}
	if saveErr := m.file.write(); saveErr != nil {
		err = errors.Join(err, saveErr)
	}
	if ctx.Err() != nil {
		what := "interrupted"
		if m.file.path != "" {
			what += ": the same command goes on"
		}
		return &codeError{code: exitInterrupted, err: errors.New(what)}
	}
	if err != nil && state.Failed == 0 {
		return err
	}
	if sayErr := m.say(state); sayErr != nil {
		return sayErr
	}
	switch {
	case err != nil:
		return &codeError{code: exitDifferent, err: fmt.Errorf("%d records could not be copied:\n%w", state.Failed, err)}
	case !state.Equal:
		return &codeError{code: exitDifferent, err: fmt.Errorf("pass %d still made %d changes, because programs write: run it again, unless they write both, which brings the rest", state.Pass, state.Changed)}
	}
	return nil
}

// nameless returns the errors of a Copy without ids, which are tokens of another
// library.
func nameless(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, nameless(one))
		}
		return errors.Join(all...)
	}
	var record *cutover.RecordError
	if !errors.As(err, &record) {
		return err
	}
	reason := record.Err
	var e *model.Error
	for errors.As(reason, &e) {
		reason = e.Err
	}
	return &model.Error{Op: "Copy", Err: reason}
}

// migrated is the result in JSON.
type migrated struct {
	Records int     `json:"records"` // that the last pass read in FROM
	Changes int     `json:"changes"` // to TO, in all passes
	Failed  int     `json:"failed"`
	Passes  int     `json:"passes"`
	Equal   bool    `json:"equal"`
	Seconds float64 `json:"seconds"` // of this run
}

func (m *migration) say(s cutover.State) error {
	took := time.Since(m.began)
	verdict := "both are equal"
	if !s.Equal {
		verdict = "they differ"
	}
	return m.app.say(migrated{s.Seen, s.Copied, s.Failed, s.Pass, s.Equal, took.Seconds()},
		"%d records, %d changes in %d passes, %s: %s", s.Seen, s.Copied, s.Pass, took.Round(10*time.Millisecond), verdict)
}

// progress prints how far the pass is: on a terminal one line that changes, else
// a line every ten seconds.
func (m *migration) progress() {
	if m.pass != m.state.Pass {
		m.first, m.pass = 0, m.state.Pass
	}
	_, tty := m.app.terminal(m.app.Err)
	every, begin, end := 10*time.Second, "", "\n"
	if tty {
		every, begin, end = 200*time.Millisecond, "\r", "\x1b[K"
	}
	if m.quiet || time.Since(m.shown) < every {
		return
	}
	m.shown = time.Now()
	_, _ = fmt.Fprint(m.app.Err, begin+m.line(time.Since(m.began))+end)
}

// line says how far the pass is, at which rate, and how long it still takes.
func (m *migration) line(took time.Duration) string {
	s := &m.state
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "pass %d: %d of %d records, %d changes", s.Pass, s.Seen, max(m.total, s.Seen), s.Changed)
	if s.Back {
		b.WriteString(", looking for what was removed")
	}
	if rate := float64(s.Seen-m.first) / took.Seconds(); rate >= 1 && s.Pass == max(m.opts.Start.Pass, 1) {
		left := time.Duration(float64(max(m.total-s.Seen, 0)) / rate * float64(time.Second))
		_, _ = fmt.Fprintf(&b, ", %.0f a second, %s left", rate, left.Round(time.Second))
	}
	return b.String()
}
