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
	out, ok := b.gate.Gets(ctx, gets)
	if !ok || len(gets) == 0 {
		return out
	}
	if err := b.agree(ctx, &now); err != nil {
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	pipe := b.client.Pipeline()
	cmds := make([]*goredis.StringCmd, len(gets))
	for i := range gets {
		cmds[i] = pipe.Get(ctx, b.recordKey(gets[i].ID))
	}
	if err := b.execGets(ctx, pipe, cmds); err != nil {
		for i := range out {
			out[i].Err = b.readError(ctx, err)
		}
		return out
	}
	for i := range gets {
		rec, err := b.recordOf(ctx, gets[i].ID, cmds[i])
		if err == nil && rec.Expired(now) {
			rec, err = model.Record{}, model.ErrNotFound
		}
		out[i] = driver.BatchResult{Record: rec, Err: err}
	}
	return out
}

// WriteMany sends all operations in one pipeline. Each is a script of its own.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, valid := b.gate.Batch(ctx, ops)
	if len(valid) > 0 {
		if err := b.agree(ctx, &now); err != nil {
			for _, i := range valid {
				out[i].Err = err
			}
			return out
		}
	}
	runs := make([]*run, len(valid))
	for n, i := range valid {
		if d := ops[i].Delete; d != nil {
			runs[n] = b.deleteRun(ctx, now, d, nil)
		} else {
			runs[n] = b.writeRun(ctx, now, ops[i].Write, nil, b.keptLabels.get())
		}
	}
	turn := driverkit.Waited{Watch: b.watch}
	for n, err := range b.runAll(ctx, runs, b.writeError) {
		i := valid[n]
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i] = b.batchReply(ctx, now, &turn, ops[i], runs[n].Val())
	}
	return out
}

// batchReply decodes the reply to one operation. An operation that met labels
// which it was not ready for did nothing and is sent again by itself, one after
// another. It has then waited for its turn (rule R100).
func (b *Backend) batchReply(ctx context.Context, now time.Time, turn *driverkit.Waited, op driver.BatchOp, reply string) (out driver.BatchResult) {
	code, _ := split(reply)
	switch d := op.Delete; {
	case d != nil && code == 'k':
		_ = turn.During(func() error {
			out.Err = b.Delete(ctx, turn.Now(now), *d)
			return nil
		})
	case d != nil:
		out.Err = deleteReply(reply)
	case code == 'k', code == 'r':
		_ = turn.During(func() error {
			out.Record, out.Err = b.Write(ctx, turn.Now(now), *op.Write)
			return nil
		})
	default:
		out.Record, out.Err = b.writeReply(op.Write, reply)
	}
	return out
}
