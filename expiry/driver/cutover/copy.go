package cutover

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// CopyOptions configures a Copy. The zero value of every field is its default.
type CopyOptions struct {
	// Start is where an earlier Copy stopped: a State that Save got. The zero
	// State begins at the beginning.
	Start State
	// Save is called after every page, and stores the State, so that another
	// Copy goes on there. Its error ends the Copy. Nil stores nothing.
	Save func(State) error
	// Passes bounds the passes, the first one included. Zero means 10.
	Passes int
	// Rate bounds the records that are read each second. Zero means no limit.
	Rate int
	// PageSize is the number of records of a page. Zero means 500.
	PageSize int
	// Writers is the number of batches that are written at the same time. Zero
	// means 4.
	Writers int
	// KeepExtra keeps records that only the target has. By default they are
	// taken for records that were deleted in the source, and are deleted.
	KeepExtra bool
	// Now is the clock. Nil means the system's.
	Now func() time.Time
}

// State says how far a Copy is. It has no values and no secrets, and can be
// stored as JSON. Page tokens in it belong to the two stores.
type State struct {
	Pass    int    `json:"pass"`            // from 1 on; 0: not begun
	Back    bool   `json:"back"`            // the part of the pass that lists the target
	After   string `json:"after,omitempty"` // the next page
	Seen    int    `json:"seen"`            // records of the source that this pass has read
	Changed int    `json:"changed"`         // changes to the target in this pass
	Copied  int    `json:"copied"`          // changes to the target in all passes
	Failed  int    `json:"failed"`          // records that this pass could not copy
	Equal   bool   `json:"equal"`           // the last pass found both equal
}

const (
	copyPasses  = 10
	copyPage    = 500
	copyWriters = 4
	batchSize   = 125
)

// RecordError says which record could not be copied.
type RecordError struct {
	ID  string
	Err error
}

func (e *RecordError) Error() string { return (&model.Error{Op: "Copy", ID: e.ID, Err: e.Err}).Error() }
func (e *RecordError) Unwrap() error { return e.Err }

// maxErrors is how many RecordErrors a Copy returns.
const maxErrors = 20

// Copy makes the records of the store to those of from: ids, revisions, expiries,
// labels, values and encodings. The storage of both must exist.
//
// The first pass copies what to lacks. Each further one reads all records of both
// again, compares them byte by byte, and fixes what differs, also what was
// deleted in from. Copy ends after a pass that found nothing to do, with
// State.Equal, or after CopyOptions.Passes. Programs may write to from meanwhile,
// and through a DualWrite or DualRead to both. A pass counts records that it finds
// while they are being written to both, so that on a busy site none may be Equal.
//
// It holds some pages of records in memory, whatever the size of the stores. It
// may be ended and started again at any time: nothing is removed from from.
//
// The error is that of a store or of Save. A record that cannot be read, or that
// to does not take, is left out and counted: its *RecordError is joined into the
// error at the end, for the first 20 of them. So is one that changes all the time,
// with ErrConflict. The next call copies it.
func Copy(ctx context.Context, from, to driver.ModelExpirySupport, opts *CopyOptions) (State, error) {
	c := &copying{from: from, to: to, listed: newListed()}
	if opts != nil {
		c.opts = *opts
	}
	o := &c.opts
	if o.Passes < 0 || o.Rate < 0 || o.PageSize < 0 || o.Writers < 0 {
		return State{}, model.NewError(model.ErrInvalid, "cutover: CopyOptions must not be negative", nil)
	}
	if err := sameLabels(from.Describe(), to.Describe()); err != nil {
		return State{}, err
	}
	if o.Passes == 0 {
		o.Passes = copyPasses
	}
	if o.PageSize == 0 {
		o.PageSize = copyPage
	}
	if o.Writers == 0 {
		o.Writers = copyWriters
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c.state = o.Start
	err := c.run(ctx)
	return c.state, err
}

// copying is one Copy.
type copying struct {
	from, to driver.ModelExpirySupport
	opts     CopyOptions
	state    State
	failed   []error
	listed   listed // records of the source, by this pass
	began    time.Time
	read     int // since began
}

func (c *copying) now() time.Time { return c.opts.Now().UTC().Truncate(time.Millisecond) }

// fail notes a record that could not be copied. An error that says that a store
// does not answer is returned.
func (c *copying) fail(id string, err error) error {
	for _, kind := range []error{model.ErrCorrupt, model.ErrTooLarge, model.ErrInvalid, model.ErrConflict, model.ErrUnsupported} {
		if errors.Is(err, kind) {
			if c.state.Failed++; len(c.failed) < maxErrors {
				c.failed = append(c.failed, &RecordError{id, err})
			}
			return nil
		}
	}
	return &RecordError{id, err}
}

func (c *copying) save() error {
	if c.opts.Save == nil {
		return nil
	}
	return c.opts.Save(c.state)
}

// run does passes until one finds both equal.
func (c *copying) run(ctx context.Context) error {
	c.began = time.Now()
	if c.state.Pass == 0 || c.state.Equal {
		c.next()
	}
	for left := c.opts.Passes; ; left-- {
		if err := c.pass(ctx); err != nil {
			return err
		}
		s := &c.state
		quiet := s.Pass > 1 && s.Changed == 0
		s.Equal = quiet && s.Failed == 0
		if quiet || left <= 1 {
			return errors.Join(append(c.failed, c.save())...)
		}
		c.next()
		if err := c.save(); err != nil {
			return err
		}
	}
}

// next begins a pass.
func (c *copying) next() {
	c.state = State{Pass: c.state.Pass + 1, Copied: c.state.Copied}
	c.failed, c.listed = nil, newListed()
}

// pass lists the source, and from the second pass on the target too.
func (c *copying) pass(ctx context.Context) error {
	if !c.state.Back {
		if err := c.list(ctx, c.from, false, c.forward); err != nil {
			return err
		}
		if c.state.Pass == 1 || c.opts.KeepExtra {
			return nil
		}
		c.state.Back = true
	}
	return c.list(ctx, c.to, true, c.backward)
}

// list calls do for each page of a store, while it reads the page behind it.
func (c *copying) list(ctx context.Context, b driver.ModelExpirySupport, keysOnly bool, do func(context.Context, []model.Record) error) error {
	type read struct {
		page driver.Page
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pages := make(chan read)
	go func(after string) {
		defer close(pages)
		for {
			page, err := b.Page(ctx, c.now(), driver.Query{After: after, Limit: c.opts.PageSize, KeysOnly: keysOnly})
			select {
			case pages <- read{page, err}:
			case <-ctx.Done():
				return
			}
			if after = page.Next; err != nil || after == "" {
				return
			}
		}
	}(c.state.After)
	for got := range pages {
		if got.err != nil {
			return got.err
		}
		if err := do(ctx, got.page.Records); err != nil {
			return err
		}
		for _, id := range got.page.Corrupt {
			if c.state.Back { // of the target: settle knows what to do
				if err := c.settle(ctx, id); err != nil {
					return err
				}
			} else if err := c.fail(id, model.ErrCorrupt); err != nil {
				return err
			}
		}
		c.state.After = got.page.Next
		if got.page.Next == "" {
			return nil
		}
		if err := c.save(); err != nil {
			return err
		}
		if err := c.wait(ctx, len(got.page.Records)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// wait keeps the rate.
func (c *copying) wait(ctx context.Context, records int) error {
	if c.read += records; c.opts.Rate == 0 {
		return ctx.Err()
	}
	due := c.began.Add(time.Duration(float64(c.read) / float64(c.opts.Rate) * float64(time.Second)))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle makes one record right.
func (c *copying) settle(ctx context.Context, id string) error {
	changed, err := settle(ctx, c.from, c.to, c.now(), id, !c.opts.KeepExtra)
	if changed {
		c.state.Changed++
		c.state.Copied++
	}
	if err != nil {
		return c.fail(id, err)
	}
	return nil
}

// forward copies a page of the source: the first pass creates what the target
// lacks, and the later ones compare.
func (c *copying) forward(ctx context.Context, records []model.Record) error {
	c.state.Seen += len(records)
	if c.state.Pass > 1 && !c.opts.KeepExtra {
		c.listed.add(records)
	}
	var differ []string
	var err error
	if c.state.Pass == 1 {
		differ, err = c.create(ctx, records)
	} else {
		differ, err = c.compare(ctx, records)
	}
	if err != nil {
		return err
	}
	for _, id := range differ {
		if err := c.settle(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// create writes the records where the target has none. It returns the ids of the
// others.
func (c *copying) create(ctx context.Context, records []model.Record) (differ []string, err error) {
	results, now := make([]driver.BatchResult, len(records)), c.now()
	c.split(records, func(at, end int) {
		ops := make([]driver.BatchOp, end-at)
		for i := range ops {
			ops[i].Write = &driver.Write{Record: foreign(&records[at+i]), Cond: driver.IfAbsent, ValueOwned: true}
		}
		copy(results[at:], driver.WriteMany(ctx, c.to, now, ops))
	})
	for i := range results {
		switch err := results[i].Err; {
		case err == nil:
			c.state.Changed++
			c.state.Copied++
		case errors.Is(err, model.ErrExists), isUnknown(err) && ctx.Err() == nil, errors.Is(err, model.ErrCorrupt):
			differ = append(differ, records[i].ID)
		case records[i].Expired(c.now()):
		default:
			if err := c.fail(records[i].ID, err); err != nil {
				return nil, err
			}
		}
	}
	return differ, nil
}

// compare returns the ids of records that are not the same in the target.
func (c *copying) compare(ctx context.Context, records []model.Record) (differ []string, err error) {
	equal, now := make([]bool, len(records)), c.now()
	c.split(records, func(at, end int) {
		gets := make([]driver.Get, end-at)
		for i := range gets {
			gets[i].ID = records[at+i].ID
		}
		for i, res := range driver.GetMany(ctx, c.to, now, gets) {
			equal[at+i] = res.Err == nil && same(&records[at+i], &res.Record)
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i := range equal {
		if !equal[i] {
			differ = append(differ, records[i].ID)
		}
	}
	return differ, nil
}

// largeBatch is the size of values from which on a batch takes no more records.
const largeBatch = 2 << 20

// split calls do for parts of the records, some at the same time.
func (c *copying) split(records []model.Record, do func(at, end int)) {
	var group errgroup.Group
	group.SetLimit(c.opts.Writers)
	for at := 0; at < len(records); {
		end, size := at, 0
		for end < len(records) && end-at < batchSize && size < largeBatch {
			size += len(records[end].Value)
			end++
		}
		begin := at
		group.Go(func() error { do(begin, end); return nil })
		at = end
	}
	_ = group.Wait()
}

// backward looks for records of the target that the source lacks. It does not ask
// for those that this pass has listed there: what was removed since is a change
// during the pass, as is one that comes after the question.
func (c *copying) backward(ctx context.Context, records []model.Record) error {
	records = slices.DeleteFunc(records, c.listed.has)
	absent, now := make([]bool, len(records)), c.now()
	c.split(records, func(at, end int) {
		gets := make([]driver.Get, end-at)
		for i := range gets {
			gets[i].ID = records[at+i].ID
		}
		for i, res := range driver.GetMany(ctx, c.from, now, gets) {
			absent[at+i] = errors.Is(res.Err, model.ErrNotFound)
		}
	})
	for i := range absent {
		if absent[i] {
			if err := c.settle(ctx, records[i].ID); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}
