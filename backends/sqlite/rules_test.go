package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

func TestRules(t *testing.T) {
	b, _ := fresh(t)
	t.Run("touches at a revision", func(t *testing.T) { drivertest.TouchesAtRevision(t, b) })
	t.Run("ended contexts", func(t *testing.T) { b, _ := fresh(t); drivertest.EndedContexts(t, b, nil) })
	t.Run("entries stay", func(t *testing.T) {
		other := newOn(t, b.db, "owned", "owner", "state")
		must(t, other.CreateStorage(t.Context()))
		drivertest.EntriesStay(t, other)
	})
}

// TestWaitsCount has calls wait for each thing that they can wait for. A record
// that expires meanwhile has expired for them (rule R100).
func TestWaitsCount(t *testing.T) {
	type call struct {
		writes bool
		do     func(ctx context.Context, b *Backend) error
	}
	touch := call{true, func(ctx context.Context, b *Backend) error {
		return onlyErr(b.Touch(ctx, now, driver.Touch{ID: "id", Mode: driver.TouchClear}))
	}}
	get := call{false, func(ctx context.Context, b *Backend) error {
		return onlyErr(b.Get(ctx, now, driver.Get{ID: "id"}))
	}}
	page := call{false, func(ctx context.Context, b *Backend) error {
		p, err := b.Page(ctx, now, driver.Query{Limit: 1})
		if err == nil && len(p.Records) == 0 {
			err = model.ErrNotFound
		}
		return err
	}}
	batch := call{true, func(ctx context.Context, b *Backend) error {
		return b.WriteMany(ctx, now, []driver.BatchOp{{Delete: &driver.Delete{ID: "id", Cond: driver.IfPresent}}})[0].Err
	}}
	for name, hold := range map[string]func(t *testing.T, b *Backend, w *wire) (release func()){
		"a lock": func(_ *testing.T, _ *Backend, w *wire) func() {
			w.set(lockedFor(1), nil)
			return func() {}
		},
		"the turn": func(t *testing.T, b *Backend, _ *wire) func() {
			t.Helper()
			must(t, b.turn.Acquire(t.Context(), 1))
			return func() { b.turn.Release(1) }
		},
		"a connection": func(t *testing.T, b *Backend, _ *wire) func() {
			t.Helper()
			b.db.SetMaxOpenConns(1)
			c, err := b.db.Conn(t.Context())
			must(t, err)
			return func() { must(t, c.Close()) }
		},
	} {
		for _, c := range []call{touch, get, page, batch} {
			if name == "the turn" && !c.writes {
				continue // reads take none
			}
			for _, waits := range []time.Duration{0, time.Minute} {
				b, w := fresh(t)
				drivertest.Seed(t, b, drivertest.Record("id", "", time.Minute))
				release := sync.OnceFunc(hold(t, b, w))
				reads := 0
				b.watch = func() time.Duration {
					if reads++; reads == 1 {
						release()
						return 0
					}
					return waits
				}
				var want error
				if waits > 0 {
					want = model.ErrNotFound
				}
				if err := c.do(t.Context(), b); !errors.Is(err, want) {
					t.Errorf("after a wait of %v for %s: %v, want %v", waits, name, err, want)
				}
			}
		}
	}
}

// TestAShortPauseIsNoWait has a pool with room: only a long time for a connection
// is a wait.
func TestAShortPauseIsNoWait(t *testing.T) {
	for took, want := range map[time.Duration]error{noPause - time.Millisecond: nil, noPause: model.ErrNotFound} {
		b, _ := fresh(t)
		drivertest.Seed(t, b, drivertest.Record("id", "", noPause-time.Millisecond))
		b.watch = drivertest.Jumps(took)
		if _, err := b.Get(t.Context(), now, driver.Get{ID: "id"}); !errors.Is(err, want) {
			t.Errorf("after %v: %v, want %v", took, err, want)
		}
	}
}

// TestALockedDatabaseIsAWait has another connection hold the lock for writing:
// readers go on, writers wait, and one whose context ends changes nothing.
func TestALockedDatabaseIsAWait(t *testing.T) {
	b, w := fresh(t)
	base := drivertest.SeedCalls(t, b)
	other, _ := openDB(t, fileOf(t, b.db))
	held := begin(t, other)
	drivertest.Get(t, b, "id")
	ctx, cancel := context.WithCancel(t.Context())
	tried := make(chan struct{}, 1000)
	w.set(func(string) error { tried <- struct{}{}; return nil }, nil)
	var calls sync.WaitGroup
	calls.Go(func() {
		_, err := b.Write(ctx, now, create("given up"))
		if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
			t.Errorf("got %v, want %v alone", err, context.Canceled)
		}
	})
	<-tried
	<-tried // it has found the lock
	cancel()
	calls.Wait()
	calls.Go(func() {
		must(t, b.Delete(t.Context(), now, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: base}))
	})
	<-tried
	must(t, held.Commit())
	calls.Wait()
	drivertest.Gone(t, b, "given up")
	drivertest.Gone(t, b, "id")
}

// TestAReaderOfARollbackJournal has a database without WAL, in which a reader keeps
// a writer from its commit: the write is undone, and made again after the reader.
func TestAReaderOfARollbackJournal(t *testing.T) {
	db, w := openDB(t, filepath.Join(memoryDir(t), "db"))
	w.dsn = strings.Replace(w.dsn, "(wal)", "(delete)", 1)
	b := newOn(t, db, "store", "principal")
	must(t, b.CreateStorage(t.Context()))
	for name, write := range map[string]func() error{
		"write": func() error { return onlyErr(b.Write(t.Context(), now, create("a"))) },
		"batch": func() error {
			return b.WriteMany(t.Context(), now, []driver.BatchOp{{Write: ptr(create("b"))}})[0].Err
		},
	} {
		reader, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		must(t, err)
		must(t, onlyErr(b.In(reader).Page(t.Context(), now, driver.Query{Limit: 1})))
		tried := make(chan struct{}, 1000)
		w.set(func(verb string) error {
			if verb == "insert" {
				tried <- struct{}{}
			}
			return nil
		}, nil)
		var calls sync.WaitGroup
		calls.Go(func() {
			if err := write(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		<-tried
		<-tried // it could not commit
		must(t, reader.Rollback())
		calls.Wait()
	}
	drivertest.Get(t, b, "a")
	drivertest.Get(t, b, "b")
}
