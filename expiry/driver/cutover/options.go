package cutover

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a DualWrite or a DualRead. The zero value of every field
// is its default.
type Options struct {
	// OnLag is called when a change was acknowledged and could not be copied to
	// the other side. The id is empty for a sweep. A later pass of Copy fixes
	// it. Nil means a warning to Logger.
	OnLag func(ctx context.Context, id string, err error)
	// OnDifference is called when a DualRead found a record that differed, after
	// the record was copied. Nil means a warning to Logger.
	OnDifference func(ctx context.Context, id string)
	// Logger gets warnings. Nil means slog.Default.
	Logger *slog.Logger
	// Timeout bounds what a call does on the other side after the side that
	// decides has answered. Zero means one second.
	Timeout time.Duration
}

const defaultTimeout = time.Second

// pair is what both wrappers share: a backend that decides, and another one that
// gets copies.
type pair struct {
	driverkit.Wrapper                           // the one that decides
	other             driver.ModelExpirySupport // the one that gets copies
	opts              Options
	desc              driver.Description
}

func newPair(main, other driver.ModelExpirySupport, opts *Options) (pair, error) {
	if main == nil || other == nil {
		return pair{}, model.NewError(model.ErrInvalid, "cutover: a backend is nil", nil)
	}
	p := pair{Wrapper: driverkit.Wrap(main), other: other, desc: main.Describe()}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Timeout < 0 {
		return pair{}, model.NewError(model.ErrInvalid, "cutover: Options.Timeout must not be negative", nil)
	}
	if p.opts.Timeout == 0 {
		p.opts.Timeout = defaultTimeout
	}
	if p.opts.Logger == nil {
		p.opts.Logger = slog.Default()
	}
	theirs := other.Describe()
	if err := sameLabels(p.desc, theirs); err != nil {
		return pair{}, err
	}
	p.desc.MaxValue = least(p.desc.MaxValue, theirs.MaxValue)
	p.desc.MaxTTL = least(p.desc.MaxTTL, theirs.MaxTTL)
	return p, nil
}

// sameLabels returns ErrInvalid if the second backend lacks a label of the first
// one.
func sameLabels(a, b driver.Description) error {
	for _, name := range a.Labels {
		if !b.HasLabel(name) {
			return model.NewError(model.ErrInvalid, fmt.Sprintf("cutover: %s declares the label %q and %s does not: declare it in its Options.Labels", a.Backend, name, b.Backend), nil)
		}
	}
	return nil
}

// least returns the smaller limit, of which zero means none.
func least[N int | time.Duration](a, b N) N {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Describe returns the description of the backend that decides, with the
// smaller limits of both.
func (p *pair) Describe() driver.Description { return p.desc }

// Close closes both backends.
func (p *pair) Close() error {
	_ = p.other.Close()
	return p.ModelExpirySupport.Close()
}

// CreateStorage creates the storage of both.
func (p *pair) CreateStorage(ctx context.Context) error {
	if err := p.Wrapper.CreateStorage(ctx); err != nil {
		return err
	}
	return driver.CreateStorage(ctx, p.other)
}

// DeleteStorage deletes the storage of both.
func (p *pair) DeleteStorage(ctx context.Context) error {
	if err := p.Wrapper.DeleteStorage(ctx); err != nil {
		return err
	}
	return driver.DeleteStorage(ctx, p.other)
}

// Check returns the findings about both. Those about the one that gets copies
// begin with "other: ".
func (p *pair) Check(ctx context.Context) (driver.Checks, error) {
	checks, err := p.Wrapper.Check(ctx)
	if err != nil {
		return checks, err
	}
	theirs, err := driver.Check(ctx, p.other)
	for _, one := range theirs {
		one.Name = "other: " + one.Name
		checks = append(checks, one)
	}
	return checks, err
}

// fits returns ErrTooLarge for a value that one of both cannot hold.
func (p *pair) fits(w *driver.Write) error {
	if err := w.Check(); err != nil {
		return err
	}
	return driver.CheckValue(w.Record.Value, p.desc.MaxValue)
}

// lag reports a change that was not copied.
func (p *pair) lag(ctx context.Context, id string, err error) {
	if p.opts.OnLag != nil {
		p.opts.OnLag(ctx, id, err)
		return
	}
	p.opts.Logger.WarnContext(ctx, "cutover: a change was not copied to the other store", "backend", p.other.Describe().Backend, "id", id, "error", err)
}

// after bounds what follows the answer of the one that decides.
func (p *pair) after(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.opts.Timeout)
}

// copied makes the record of the other side as it is in the one that decides. It
// first tries what was just written, which is nil after a delete.
func (p *pair) copied(ctx context.Context, now time.Time, id string, written *model.Record) {
	ctx, cancel := p.after(ctx)
	defer cancel()
	if written != nil {
		if _, err := p.other.Write(ctx, now, driver.Write{Record: foreign(written), Cond: driver.IfAny}); err == nil {
			if s, err := driver.GetStat(ctx, p.ModelExpirySupport, now, driver.Get{ID: id}); err == nil && s.Record.Revision == written.Revision && s.Record.ExpiresAt.Equal(written.ExpiresAt) {
				return
			}
		}
	}
	if _, err := settle(ctx, p.ModelExpirySupport, p.other, now, id, true); err != nil {
		p.lag(ctx, id, err)
	}
}

// changedPerhaps reports whether an error of the one that decides leaves open whether
// something changed.
func changedPerhaps(err error) bool {
	return err == nil || isUnknown(err)
}
