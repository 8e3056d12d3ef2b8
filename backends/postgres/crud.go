package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Get returns the live record with the id, by one SELECT on the primary key.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	st, err := b.stat(ctx, now, b.sql.get, g.ID, false)
	return st.Record, err
}

// Stat returns the live record with the id without its value, and the value's
// size, by one SELECT on the primary key. The server does not read the value.
func (b *Backend) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	return b.stat(ctx, now, b.sql.stat, g.ID, true)
}

func (b *Backend) stat(ctx context.Context, now time.Time, sql, id string, sized bool) (st driver.Stat, err error) {
	if err := b.gate.Enter(ctx); err != nil {
		return st, err
	}
	var w driverkit.Waited
	w.Watch = b.watch
	err = model.ErrNotFound
	failed := b.read(ctx, &w, sql, these(id), func(rows pgx.Rows) error {
		var r row
		var more []any
		if sized {
			more = []any{&st.Size}
		}
		if failed := r.scan(rows, more...); failed != nil {
			return failed
		}
		st.Record, err = r.decode()
		return nil
	})
	switch {
	case failed != nil:
		err = failed
	case err == nil && st.Record.Expired(w.Now(now)):
		err = model.ErrNotFound
	}
	if err != nil {
		return driver.Stat{}, err
	}
	return st, nil
}

// write is a statement that writes, and what its row means. The row is nil if
// there is none. errRaced means that it changed nothing because another writer
// changed the record at the same time.
type write struct {
	sql   string
	args  []any
	judge func(*row) (model.Record, error)
}

// errRaced says that a write changed nothing, although the record met its
// condition when the statement began.
var errRaced = errors.New("another writer changed the record meanwhile")

// attempts bounds how often a write is sent that the server refuses each time,
// because of another writer at the same moment.
const attempts = 8

// apply sends the write that build returns. One that changed nothing is sent
// again if another writer interfered, so it is applied at most once.
func (b *Backend) apply(ctx context.Context, now time.Time, build func(now time.Time) write) (model.Record, error) {
	w := driverkit.Waited{Watch: b.watch}
	return b.attempt(ctx, now, &w, build)
}

// attempt is apply for a call that has waited before.
func (b *Backend) attempt(ctx context.Context, now time.Time, w *driverkit.Waited, build func(now time.Time) write) (model.Record, error) {
	for n := range attempts {
		rec, err := b.once(ctx, now, w, build)
		if !errors.Is(err, errRaced) && (b.inTx || !conflicted(err)) {
			return rec, err
		}
		if err := w.Pause(ctx, n); err != nil {
			return model.Record{}, err
		}
	}
	return model.Record{}, driverkit.Contended()
}

func (b *Backend) once(ctx context.Context, now time.Time, w *driverkit.Waited, build func(now time.Time) write) (model.Record, error) {
	db, release, err := b.acquire(ctx, w)
	if err != nil {
		return model.Record{}, err
	}
	defer release()
	do := build(w.Now(now))
	defer since(w, w.Read())
	var found *row
	if err := query(ctx, db, do.sql, do.args, keep(&found)); err != nil {
		return model.Record{}, writeError(ctx, err)
	}
	return do.judge(found)
}

// since adds the time from began on to w: what the call sends next waited for it.
func since(w *driverkit.Waited, began time.Duration) { w.Add(w.Read() - began) }

// keep returns a function that keeps a row in to.
func keep(to **row) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		r := &row{}
		*to = r
		return r.scan(rows, &r.done)
	}
}

// judged returns the record of a row that a write left, or why it changed
// nothing: the result of judge on the record that it met.
func judged(judge func(cur *model.Record, err error) (model.Record, error)) func(*row) (model.Record, error) {
	return func(r *row) (model.Record, error) {
		if r == nil {
			return judge(nil, model.ErrNotFound)
		}
		rec, err := r.decode()
		if r.done {
			return rec, err
		}
		return judge(&rec, err)
	}
}

// Write stores the record under its condition, by one statement.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	return b.apply(ctx, now, func(now time.Time) write { return b.write(now, &w) })
}

func (b *Backend) write(now time.Time, w *driver.Write) write {
	r := &w.Record
	judge := judged(func(cur *model.Record, err error) (model.Record, error) {
		if w.Cond == driver.IfAbsent && !errors.Is(err, model.ErrCorrupt) {
			return model.Record{}, model.ErrExists // the record was live when the row was locked
		}
		winner, err := driverkit.JudgeWrite(now, cur, err, w)
		if err == nil {
			err = errRaced
		}
		return winner, err
	})
	if w.Cond == driver.IfAny || w.Cond == driver.IfAbsent {
		sql := b.sql.create
		if w.Cond == driver.IfAny {
			sql = b.sql.upsert
		}
		return write{sql, []any{r.ID, now.UnixMilli(), revision(r.Revision), expiry(r.ExpiresAt), labels(r.Labels), r.Encoding, notNil(r.Value)}, judge}
	}
	return write{b.sql.update, []any{
		r.ID, now.UnixMilli(), known(w.Cond, w.Known.Revision), revision(r.Revision), w.Keep.Expiry, expiry(r.ExpiresAt),
		w.Keep.Labels, labels(r.Labels), r.Encoding, notNil(r.Value), w.Encodings,
	}, judge}
}

// Delete removes a live record, by one statement.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	_, err := b.apply(ctx, now, func(now time.Time) write { return b.remove(now, &d) })
	return err
}

func (b *Backend) remove(now time.Time, d *driver.Delete) write {
	return write{b.sql.remove, []any{d.ID, now.UnixMilli(), known(d.Cond, d.Known.Revision)}, judged(func(cur *model.Record, err error) (model.Record, error) {
		winner, err := driverkit.Judge(now, cur, err, d.Cond, d.Known.Revision)
		if err == nil {
			err = errRaced
		}
		return winner, err
	})}
}
