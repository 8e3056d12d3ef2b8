package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// GetMany reads the records in one pipeline.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out := make([]driver.BatchResult, len(gets))
	if err := b.enter(ctx); err != nil {
		return failed(out, err)
	}
	if len(gets) == 0 {
		return out
	}
	ids := driverkit.IDs(gets)
	pipe := b.client.Pipeline()
	cmds := make([]*goredis.StringCmd, len(ids))
	for i, id := range ids {
		cmds[i] = pipe.Get(ctx, b.bucket(id).records+id)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, id := range ids {
		rec, err := b.recordOf(ctx, id, cmds[i])
		if err == nil && rec.Expired(now) {
			rec, err = model.Record{}, model.ErrNotFound
		}
		out[i] = driver.BatchResult{Record: rec, Err: err}
	}
	return out
}

// failed gives every outcome the same error.
func failed(out []driver.BatchResult, err error) []driver.BatchResult {
	for i := range out {
		out[i].Err = err
	}
	return out
}

// WriteMany sends all operations in one pipeline, each a script of its own.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out := make([]driver.BatchResult, len(ops))
	if err := b.enter(ctx); err != nil {
		return failed(out, err)
	}
	runs := make([]*run, 0, len(ops))
	index := make([]int, 0, len(ops))
	for i, op := range ops {
		r, err := b.batchRun(ctx, now, op)
		if err != nil {
			out[i].Err = err
			continue
		}
		runs, index = append(runs, r), append(index, i)
	}
	for n, err := range b.runAll(ctx, runs, b.writeFault) {
		i := index[n]
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i] = b.batchReply(ctx, now, ops[i], runs[n].Val())
	}
	return out
}

// batchRun is the command of one operation.
func (b *Backend) batchRun(ctx context.Context, now time.Time, op driver.BatchOp) (*run, error) {
	if d := op.Delete; d != nil {
		if err := d.Check(); err != nil {
			return nil, err
		}
		return b.deleteRun(ctx, now, d, nil), nil
	}
	if err := b.checkWrite(op.Write); err != nil {
		return nil, err
	}
	return b.writeRun(ctx, now, op.Write, nil), nil
}

// batchReply reads the answer to one operation. One that met labels which this
// node does not declare has done nothing, and is done by itself.
func (b *Backend) batchReply(ctx context.Context, now time.Time, op driver.BatchOp, reply string) (out driver.BatchResult) {
	code, _ := split(reply)
	switch d := op.Delete; {
	case d != nil && code == 'k':
		out.Err = b.Delete(ctx, now, driver.Delete{ID: d.ID, Cond: d.Cond, Known: d.Known})
	case d != nil:
		out.Err = deleteReply(reply)
	case code == 'k':
		out.Record, out.Err = b.Write(ctx, now, *op.Write)
	default:
		out.Record, out.Err = b.writeReply(op.Write, reply)
	}
	return out
}
