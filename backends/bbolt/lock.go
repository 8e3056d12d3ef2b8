package bbolt

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// endsWithin is how long a call whose context ended waits for a transaction that
// runs already: its certain outcome is worth some milliseconds.
const endsWithin = 50 * time.Millisecond

// view runs do in a transaction that only reads, and returns the context's error
// if that ends first. The transaction has a goroutine of its own, because its
// begin cannot be given up: it waits while a writer makes the file grow, and the
// writer waits for older readers. The goroutine ends by itself.
func view[T any](ctx context.Context, b *Backend, do func(*store) (T, error)) (T, error) {
	if b.inTx {
		return inTx(b, do)
	}
	type result struct {
		out T
		err error
	}
	read := func() (r result) {
		waited := driverkit.Waited{Watch: b.watch}
		tx, err := b.beginWaited(&waited, false)
		if err != nil {
			r.err = err
			return r
		}
		defer func() { _ = tx.Rollback() }()
		if r.err = ctx.Err(); r.err == nil {
			r.err = b.with(tx, &waited, func(s *store) (err error) { r.out, err = do(s); return err })
		}
		return r
	}
	if ctx.Done() == nil {
		r := read()
		return r.out, r.err
	}
	done := make(chan result, 1)
	go func() { done <- read() }()
	select {
	case r := <-done:
		return r.out, r.err
	case <-ctx.Done():
		return *new(T), ctx.Err()
	}
}

// waitFrom is the time from which a begin counts as a wait (rule R100). Bbolt has
// no lock to try first, and a shorter time may be one in which the process did not
// run.
const waitFrom = 100 * time.Millisecond

// beginWaited begins a transaction and adds what that waited.
func (b *Backend) beginWaited(waited *driverkit.Waited, writable bool) (*bbolt.Tx, error) {
	began := waited.Read()
	tx, err := b.begin(writable)
	if d := waited.Read() - began; d >= waitFrom {
		waited.Add(d)
	}
	return tx, b.unavailable(err)
}

// with runs do on the store in the transaction. A panic, such as that of bbolt
// over a damaged page, is an error.
func (b *Backend) with(tx *bbolt.Tx, waited *driverkit.Waited, do func(*store) error) error {
	return b.unavailable(caught(func() error {
		s, err := b.open(tx, waited)
		if err != nil {
			return err
		}
		return do(s)
	}))
}

// inTx runs do in the caller's transaction.
func inTx[T any](b *Backend, do func(*store) (T, error)) (out T, err error) {
	if b.tx == nil || b.tx.DB() != b.db {
		return out, errOtherTx
	}
	err = b.with(b.tx, &driverkit.Waited{}, func(s *store) (err error) { out, err = do(s); return err })
	return out, err
}

// update runs do in a transaction that writes, together with the calls that wait
// at the same time: they share its commit. It returns do's result. A context that
// ends before do has begun ends the call, and nothing changes.
func update[T any](ctx context.Context, b *Backend, do func(*store) (T, error)) (T, error) {
	if b.inTx {
		return inTx(b, do)
	}
	out := new(T)
	j := &job{ctx: ctx, waited: driverkit.Waited{Watch: b.watch}, done: make(chan struct{})}
	j.do = func(s *store) (err error) { *out, err = do(s); return err }
	b.enqueue(j)
	select {
	case <-j.done:
		return *out, j.err
	case <-ctx.Done():
	}
	if j.stage.CompareAndSwap(waiting, gone) {
		b.dequeue(j)
		return *new(T), ctx.Err()
	}
	late := time.NewTimer(endsWithin)
	defer late.Stop()
	select {
	case <-j.done:
		return *out, j.err
	case <-late.C:
		return *new(T), driverkit.WriteError(ctx, errCommitting, true, "")
	}
}

// job is the part of one call in a transaction. Its outcome may be read when done
// is closed.
type job struct {
	ctx    context.Context
	do     func(*store) error
	stage  atomic.Int32
	waited driverkit.Waited
	queued time.Duration // by the stopwatch, if another transaction was under way
	behind bool
	wrote  bool
	broke  bool // after it had changed something
	err    error
	done   chan struct{}
}

// The stages of a job.
const (
	waiting int32 = iota
	begun
	gone // its call has returned
)

// enqueue adds a job to those that wait for the writer's turn. A goroutine serves
// them, and ends when there are none.
func (b *Backend) enqueue(j *job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs = append(b.jobs, j)
	if j.behind = b.serving; j.behind {
		j.queued = j.waited.Read()
		return
	}
	b.serving = true
	go b.serve()
}

// dequeue removes a job whose call gave up, unless it has its turn already: what it
// holds must not wait for a writer that takes long.
func (b *Backend) dequeue(j *job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.jobs, j); i >= 0 {
		b.jobs = slices.Delete(b.jobs, i, i+1)
	}
}

// serve begins transactions, and gives each to all jobs that wait by then. It
// stops serving before it tells the last of them their outcome: a call that comes
// after another has returned waits for nothing.
func (b *Backend) serve() {
	for more := true; more; {
		turn := driverkit.Waited{Watch: b.watch}
		tx, err := b.beginWaited(&turn, true)
		b.mu.Lock()
		jobs := b.jobs
		b.jobs = nil
		b.mu.Unlock()
		for _, j := range jobs {
			if j.err = err; j.behind {
				j.waited.Add(j.waited.Read() - j.queued)
			} else {
				j.waited = turn
			}
		}
		if err == nil {
			b.carryOut(tx, jobs)
		}
		b.mu.Lock()
		more = len(b.jobs) > 0
		b.serving = more
		b.mu.Unlock()
		for _, j := range jobs {
			close(j.done)
		}
	}
}

// carryOut runs the jobs in the transaction and commits it if one has changed
// something. A job that failed after its first change, which only a fault of bbolt
// or the file brings about, undoes all.
func (b *Backend) carryOut(tx *bbolt.Tx, jobs []*job) {
	defer func() { _ = caught(tx.Rollback) }() // does nothing after the commit
	wrote, undone := false, false
	for _, j := range jobs {
		if undone || !j.stage.CompareAndSwap(waiting, begun) {
			continue
		}
		j.err = b.with(tx, &j.waited, func(s *store) error {
			defer func() { j.wrote = s.changes > 0 }()
			return j.do(s)
		})
		j.broke = j.wrote && j.err != nil
		wrote, undone = wrote || j.wrote, j.broke
	}
	var err error
	if wrote && !undone {
		err = caught(tx.Commit)
	}
	for _, j := range jobs {
		switch {
		case j.broke:
		case undone, err != nil && !j.wrote: // it decided by what is undone now
			j.err = errNotShared
		case j.wrote:
			j.err = commitError(j.ctx, b.answer(err))
		}
	}
}

// same is the answer to a commit if no test changes it.
func same(err error) error { return err }
