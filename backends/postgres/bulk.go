package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// A batch of writes ends with the operation that reaches one of these.
const (
	batchOps   = 1000
	batchBytes = 16 << 20
)

// GetMany reads all records with one SELECT.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out, ok := b.gate.Gets(ctx, gets)
	if !ok || len(gets) == 0 {
		return out
	}
	found := make(map[string]driver.BatchResult, len(gets))
	w := driverkit.Waited{Watch: b.watch}
	err := b.read(ctx, &w, b.sql.many, these(driverkit.IDs(gets)), func(rows pgx.Rows) error {
		var r row
		if err := r.scan(rows); err != nil {
			return err
		}
		rec, err := r.decode()
		found[r.id.String] = driver.BatchResult{Record: rec, Err: err}
		return nil
	})
	if err != nil {
		clear(found) // the rows count only if the server has sent all
	}
	driverkit.Answers(out, gets, found, err, w.Now(now))
	return out
}

// WriteMany carries out the operations with one round trip for each thousand or
// 16 MB: a pipeline of their statements, which PostgreSQL commits together. If
// it refuses one of them for its row, it has applied none, and they are sent one
// by one. Each decides as of the end of what was sent before it.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, valid := b.gate.Batch(ctx, ops)
	// Writers that lock rows in one order never wait for each other in a circle.
	slices.SortFunc(valid, func(i, j int) int { return cmp.Compare(ops[i].ID(), ops[j].ID()) })
	w := driverkit.Waited{Watch: b.watch}
	for len(valid) > 0 {
		n, size := 0, 0
		for ; n < min(len(valid), batchOps) && size < batchBytes; n++ {
			if put := ops[valid[n]].Write; put != nil {
				size += len(put.Record.Value)
			}
		}
		b.batch(ctx, now, &w, ops, valid[:n], out)
		valid = valid[n:]
	}
	return out
}

// batch carries out the operations with those indexes.
func (b *Backend) batch(ctx context.Context, now time.Time, w *driverkit.Waited, ops []driver.BatchOp, index []int, out []driver.BatchResult) {
	err := b.send(ctx, now, w, ops, index, out)
	for _, i := range index {
		switch {
		case err == nil && errors.Is(out[i].Err, errRaced), err != nil && !b.inTx && refused(err) && ofRow(err):
			out[i].Record, out[i].Err = b.attempt(ctx, now, w, func(now time.Time) write { return b.op(now, &ops[i]) })
		case err != nil:
			out[i] = driver.BatchResult{Err: err}
		}
		if ops[i].Delete != nil {
			out[i].Record = model.Record{}
		}
	}
}

// ofRow reports whether the server refused a write because of its row: other
// writes may succeed.
func ofRow(err error) bool {
	code := codeOf(err)
	return len(code) == 5 && slices.Contains([]string{"22", "23", "40", "44", "54", "P0"}, code[:2])
}

// op returns the statement of an operation.
func (b *Backend) op(now time.Time, op *driver.BatchOp) write {
	if op.Write != nil {
		return b.write(now, op.Write)
	}
	return b.remove(now, op.Delete)
}

// send sends the operations as one pipeline. Their results count only if it
// returns nil.
func (b *Backend) send(ctx context.Context, now time.Time, w *driverkit.Waited, ops []driver.BatchOp, index []int, out []driver.BatchResult) error {
	db, release, err := b.acquire(ctx, w)
	if err != nil {
		return err
	}
	defer release()
	var queue pgx.Batch
	writes := make([]write, len(index))
	for n, i := range index {
		writes[n] = b.op(w.Now(now), &ops[i])
		queue.Queue(writes[n].sql, writes[n].args...)
	}
	defer since(w, w.Read())
	answers := db.SendBatch(ctx, &queue)
	for n, i := range index {
		var found *row
		rows, err := answers.Query()
		if err == nil {
			err = drain(rows, keep(&found))
		}
		if err != nil {
			_ = answers.Close()
			return writeError(ctx, err)
		}
		out[i].Record, out[i].Err = writes[n].judge(found)
	}
	if err := answers.Close(); err != nil {
		return writeError(ctx, err)
	}
	return nil
}
