package driverkit

import (
	"context"
	"io"
	"slices"
	"sync/atomic"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Gate makes the checks that every method of a backend starts with, in the
// order of rule R90: the request, the context, the closed backend. It is safe
// for concurrent use.
type Gate struct {
	closed atomic.Bool // first: every call reads it
	desc   driver.Description
	store  []string
	writes func(*driver.Write) error // nil: no further check
	owned  io.Closer
}

// NewGate returns a Gate for a backend with that description. The store's
// names, such as database and collection, tell its page tokens from those of
// other stores.
func NewGate(d driver.Description, store ...string) *Gate {
	return &Gate{desc: d, store: store}
}

// NewError returns the *model.Error of a constructor that failed.
func NewError(backend string, err error) error {
	return &model.Error{Op: "New", Backend: backend, Err: err}
}

// Own makes Close close c, once: a client that the backend opened itself. It
// is called before the backend is used.
func (g *Gate) Own(c io.Closer) { g.owned = c }

// Reopen returns an open Gate with the same checks, which owns nothing: that of a
// Backend in a transaction of the caller.
func (g *Gate) Reopen() *Gate { return &Gate{desc: g.desc, store: g.store, writes: g.writes} }

// CheckWrites adds a check of each write, which returns ErrInvalid for what the
// backend cannot store. It is called before the backend is used.
func (g *Gate) CheckWrites(check func(*driver.Write) error) { g.writes = check }

// Describe returns the backend's description. The caller may change it.
func (g *Gate) Describe() driver.Description {
	d := g.desc
	d.Labels, d.Absent = slices.Clone(d.Labels), slices.Clone(d.Absent)
	return d
}

// Labels returns the declared label names, sorted. The caller must not change
// them.
func (g *Gate) Labels() []string { return g.desc.Labels }

// MaxValue returns the largest value in bytes; zero means no limit.
func (g *Gate) MaxValue() int { return g.desc.MaxValue }

// Close makes all checks return ErrClosed, and closes what the backend owns.
// It returns nil, since a caller can do nothing about a failed close.
func (g *Gate) Close() error {
	if !g.closed.Swap(true) && g.owned != nil {
		_ = g.owned.Close()
	}
	return nil
}

// Enter checks the context and then whether the backend is closed, for methods
// whose request needs no check.
func (g *Gate) Enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if g.closed.Load() {
		return model.ErrClosed
	}
	return nil
}

// Write checks a write.
func (g *Gate) Write(ctx context.Context, w *driver.Write) error {
	if err := g.checkWrite(w); err != nil {
		return err
	}
	return g.Enter(ctx)
}

// Touch checks a touch.
func (g *Gate) Touch(ctx context.Context, t *driver.Touch) error {
	if err := t.Check(); err != nil {
		return err
	}
	return g.Enter(ctx)
}

// Delete checks a delete.
func (g *Gate) Delete(ctx context.Context, d *driver.Delete) error {
	if err := d.Check(); err != nil {
		return err
	}
	return g.Enter(ctx)
}

// Count checks the query of a count.
func (g *Gate) Count(ctx context.Context, q *driver.Query) error {
	if err := g.checkLabel(q); err != nil {
		return err
	}
	return g.Enter(ctx)
}

// Page checks the query of a page and returns the position that its token
// stands for: what Token was given, or empty at the start.
func (g *Gate) Page(ctx context.Context, q *driver.Query) (position string, err error) {
	if err := g.desc.Needs(driver.FeaturePaging); err != nil {
		return "", err
	}
	if err := g.checkLabel(q); err != nil {
		return "", err
	}
	if err := checkLimit(q.Limit); err != nil {
		return "", err
	}
	if q.After != "" {
		if position, err = g.position(q); err != nil {
			return "", err
		}
	}
	return position, g.Enter(ctx)
}

// Sweep checks a sweep and returns its tally.
func (g *Gate) Sweep(ctx context.Context, s *driver.Sweep) (*Tally, error) {
	if err := g.desc.Needs(driver.FeatureSweep); err != nil {
		return nil, err
	}
	if err := checkLimit(s.Limit); err != nil {
		return nil, err
	}
	return newTally(s), g.Enter(ctx)
}

// Gets checks a GetMany. It returns a result for each request, and whether the
// backend may go on; if not, every result has the error.
func (g *Gate) Gets(ctx context.Context, gets []driver.Get) (out []driver.BatchResult, ok bool) {
	out = make([]driver.BatchResult, len(gets))
	err := g.Enter(ctx)
	for i := range out {
		out[i].Err = err
	}
	return out, err == nil
}

// Batch checks a WriteMany. It returns a result for each operation, and the
// indexes of the operations that may go on.
func (g *Gate) Batch(ctx context.Context, ops []driver.BatchOp) (out []driver.BatchResult, valid []int) {
	out = make([]driver.BatchResult, len(ops))
	end := g.Enter(ctx)
	for i := range ops {
		switch err := g.checkOp(&ops[i]); {
		case err != nil:
			out[i].Err = err
		case end != nil:
			out[i].Err = end
		default:
			valid = append(valid, i)
		}
	}
	return out, valid
}

func (g *Gate) checkOp(op *driver.BatchOp) error {
	if err := op.Check(); err != nil || op.Write == nil {
		return err
	}
	return g.checkStored(op.Write)
}

func (g *Gate) checkWrite(w *driver.Write) error {
	if err := w.Check(); err != nil {
		return err
	}
	return g.checkStored(w)
}

// MaxEncoding is the longest name of an encoding, in bytes: backends store its
// length in one byte.
const MaxEncoding = 255

// checkStored refuses what the backend could not store or find again.
func (g *Gate) checkStored(w *driver.Write) error {
	rec := &w.Record
	if err := driver.CheckValue(rec.Value, g.desc.MaxValue); err != nil {
		return err
	}
	if len(rec.Encoding) > MaxEncoding {
		return model.NewError(model.ErrInvalid, "the encoding's name has more than 255 bytes", nil)
	}
	for name := range rec.Labels {
		if err := g.desc.CheckLabel(name); err != nil {
			return err
		}
	}
	if g.writes != nil {
		return g.writes(w)
	}
	return nil
}

// checkLabel checks the label of a query.
func (g *Gate) checkLabel(q *driver.Query) error {
	if q.Label == "" {
		if q.Value != "" {
			return model.NewError(model.ErrInvalid, "a label value needs its label", nil)
		}
		return nil
	}
	return g.desc.CheckLabel(q.Label)
}

func checkLimit(n int) error {
	if n < 1 {
		return model.NewError(model.ErrInvalid, "the limit is less than 1", nil)
	}
	return nil
}
