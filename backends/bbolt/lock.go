package bbolt

import (
	"context"
	"runtime"
	"sync"
	"time"
	"weak"

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
	if b.tx != nil {
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
	if b.tx.DB() != b.db {
		return out, errOtherTx
	}
	err = b.with(b.tx, &driverkit.Waited{}, func(s *store) (err error) { out, err = do(s); return err })
	return out, err
}

// update runs do in a transaction that writes, together with the calls that wait
// at the same time: they share its commit. It returns do's result. A context that
// ends before do has begun ends the call, and nothing changes.
func update[T any](ctx context.Context, b *Backend, do func(*store) (T, error)) (T, error) {
	if b.tx != nil {
		return inTx(b, do)
	}
	out := new(T)
	j := &job{b: b, ctx: ctx, done: make(chan struct{}), do: func(s *store) (err error) { *out, err = do(s); return err }}
	j.waited.Watch = b.watch
	b.queue.add(j)
	select {
	case <-j.done:
		return *out, j.err
	case <-ctx.Done():
	}
	if b.queue.drop(j) {
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
	b      *Backend
	ctx    context.Context
	do     func(*store) error
	waited driverkit.Waited
	queued time.Duration // by the stopwatch, if another transaction was under way
	behind bool
	err    error
	wrote  bool
	done   chan struct{}
}

// queue has the calls of all Backends of a database that wait for the writer's
// turn. A goroutine serves them, and ends when there are none.
type queue struct {
	mu      sync.Mutex
	jobs    []*job
	serving bool
}

var queues sync.Map // by weak.Pointer[bbolt.DB]

// queueOf returns the queue of the database, which goes when the database does.
func queueOf(db *bbolt.DB) *queue {
	key := weak.Make(db)
	q, known := queues.LoadOrStore(key, new(queue))
	if !known {
		runtime.AddCleanup(db, func(key weak.Pointer[bbolt.DB]) { queues.Delete(key) }, key)
	}
	return q.(*queue)
}

func (q *queue) add(j *job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs = append(q.jobs, j)
	if j.behind = q.serving; j.behind {
		j.queued = j.waited.Read()
		return
	}
	q.serving = true
	go q.serve(j.b)
}

// drop takes a job out of the queue. It reports false if the job has begun.
func (q *queue) drop(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.jobs {
		if q.jobs[i] == j {
			q.jobs = append(q.jobs[:i:i], q.jobs[i+1:]...)
			return true
		}
	}
	return false
}

// take returns all jobs.
func (q *queue) take() []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.jobs
	q.jobs = nil
	return all
}

// next returns the backend of the first job. It stops serving if there is none.
func (q *queue) next() *Backend {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.serving = len(q.jobs) > 0; q.serving {
		return q.jobs[0].b
	}
	return nil
}

// serve begins transactions, and gives each to all calls that wait by then. It
// stops serving before it tells the last of them its outcome: a call that comes
// after another has returned waits for nothing.
func (q *queue) serve(b *Backend) {
	for b != nil {
		turn := driverkit.Waited{Watch: b.watch}
		tx, err := b.beginWaited(&turn, true)
		jobs := q.take()
		for _, j := range jobs {
			if j.behind {
				j.waited.Add(j.waited.Read() - j.queued)
			} else {
				j.waited = turn
			}
			j.err = err
		}
		if err == nil {
			carryOut(b, tx, jobs)
		}
		b = q.next()
		for _, j := range jobs {
			close(j.done)
		}
	}
}

// carryOut runs the jobs in the transaction and commits it. A job that failed
// after its first change undoes the transaction, and the others run again.
func carryOut(b *Backend, tx *bbolt.Tx, jobs []*job) {
	for {
		broken := runAll(tx, jobs)
		if broken < 0 {
			return
		}
		rest := make([]*job, 0, len(jobs))
		rest = append(append(rest, jobs[:broken]...), jobs[broken+1:]...)
		if jobs = rest; len(jobs) == 0 {
			return
		}
		again := jobs[0].waited.Read()
		var err error
		tx, err = b.beginWaited(&driverkit.Waited{}, true)
		for _, j := range jobs {
			j.waited.Add(j.waited.Read() - again)
			j.err = err
		}
		if err != nil {
			return
		}
	}
}

// runAll returns the index of a job that must not be part of the transaction, or
// -1. The transaction has ended when it returns.
func runAll(tx *bbolt.Tx, jobs []*job) (broken int) {
	defer func() { _ = caught(tx.Rollback) }() // does nothing after the commit
	wrote := false
	for i, j := range jobs {
		j.wrote = false
		if j.err = j.ctx.Err(); j.err != nil {
			continue
		}
		j.err = j.b.with(tx, &j.waited, func(s *store) error {
			defer func() { j.wrote = s.changes > 0 }()
			return j.do(s)
		})
		if j.wrote && j.err != nil {
			return i
		}
		wrote = wrote || j.wrote
	}
	if !wrote {
		return -1
	}
	err := caught(tx.Commit)
	for _, j := range jobs {
		switch {
		case j.wrote:
			j.err = commitError(j.ctx, j.b.answer(err))
		case err != nil: // it was decided by what the others changed
			j.err = errNotShared
		}
	}
	return -1
}

// same is the answer to a commit if no test changes it.
func same(err error) error { return err }
