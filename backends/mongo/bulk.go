package mongo

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

const (
	// getStep is the largest number of ids that one find asks for.
	getStep = 1000
	// bulkStep and bulkBytes bound one command. The driver would split a larger
	// one, and its error would not tell which part was sent.
	bulkStep  = 1000
	bulkBytes = 16 << 20
	// documentBytes and labelBytes are upper bounds for what a document and its
	// filter have besides the value, the copy and the label values.
	documentBytes = 2 << 10
	labelBytes    = 80
	// batchWidth is the largest number of single operations of a batch that run
	// at the same time.
	batchWidth = 8
)

// GetMany reads the records with one find for each thousand, or for each 16 MB
// of answers.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out, ok := b.gate.Gets(ctx, gets)
	if !ok {
		return out
	}
	ctx, err := b.ready(ctx, &now)
	if err != nil {
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	turn := b.turn(now)
	for from := 0; from < len(gets); from += getStep {
		now := turn.at(from == 0)
		part := gets[from:min(from+getStep, len(gets))]
		found, err := b.readMany(ctx, &turn, driverkit.IDs(part), withValue)
		driverkit.Answers(out[from:], part, found, err, now)
	}
	return out
}

// readMany returns the stored records by id, live or expired, with ErrCorrupt
// for those that cannot be read. If it fails it returns what it read before,
// and the error. With a turn, records of the server's later answers, which waited
// for the ones before, are ErrNotFound if they have expired meanwhile.
func (b *Backend) readMany(ctx context.Context, t *turn, ids []string, p projection) (map[string]driver.BatchResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cur, err := b.coll.Find(ctx, bson.D{{Key: fieldID, Value: bson.D{{Key: "$in", Value: ids}}}},
		options.Find().SetProjection(p.fields).SetBatchSize(int32(len(ids))+1))
	if err != nil {
		return nil, readError(ctx, err)
	}
	defer closeCursor(ctx, cur)
	found := make(map[string]driver.BatchResult, len(ids))
	var later time.Time // as of which a later answer is judged; zero: this is the first
	for {
		if t != nil && len(found) > 0 && cur.RemainingBatchLength() == 0 {
			later = t.at(false)
		}
		if !cur.Next(ctx) {
			break
		}
		rec, err := p.decode(cur.Current)
		if err == nil && !later.IsZero() && rec.Expired(later) {
			rec, err = model.Record{}, model.ErrNotFound
		}
		found[storedID(cur.Current)] = driver.BatchResult{Record: rec, Err: err}
	}
	if err := cur.Err(); err != nil {
		return found, readError(ctx, err)
	}
	return found, nil
}

// turn is the time of a batch, whose later requests wait for earlier ones.
type turn struct {
	now   time.Time
	watch driverkit.Waited
	began time.Duration
}

func (b *Backend) turn(now time.Time) turn {
	t := turn{now: now, watch: driverkit.Waited{Watch: b.watch}}
	t.began = t.watch.Read()
	return t
}

// at returns the time as of which a request decides that begins now. Unless it is
// among those that begin at once, it has waited for its turn (rule R100).
func (t *turn) at(once bool) time.Time {
	if once {
		return t.now
	}
	return t.watch.Since(t.began).Now(t.now)
}

// promptly is the time that one wave of round trips takes if nothing waits. Calls
// that share a millisecond with an expiry would differ if it counted.
const promptly = 100 * time.Millisecond

// prompt reports whether what was sent so far took no longer.
func (t *turn) prompt() bool { return t.watch.Read()-t.began < promptly }

// batch is a WriteMany and its results so far.
type batch struct {
	*Backend
	turn
	ops []driver.BatchOp
	out []driver.BatchResult
}

// fail gives the operations with those indexes the error.
func (b *batch) fail(index []int, err error) {
	for _, i := range index {
		b.out[i] = driver.BatchResult{Err: err}
	}
}

// WriteMany carries out creates and upserts with one unordered command for each
// thousand or 16 MB, because its answer names the statements that failed. For
// updates and deletes such an answer has only the number of matches, so each of
// them is a command of its own, eight at a time.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, valid := b.gate.Batch(ctx, ops)
	run := &batch{Backend: b, ops: ops, out: out}
	var puts, others []int
	for _, i := range valid {
		switch w := ops[i].Write; {
		case w != nil && (w.Cond == driver.IfAbsent || w.Cond == driver.IfAny):
			puts = append(puts, i)
		default:
			others = append(others, i)
		}
	}
	if len(puts)+len(others) == 0 {
		return out
	}
	ctx, err := b.ready(ctx, &now)
	if err != nil {
		run.fail(puts, err)
		run.fail(others, err)
		return out
	}
	run.turn = b.turn(now)
	run.each(ctx, others, true)
	for once := len(others) == 0 || len(others) <= batchWidth && run.prompt(); len(puts) > 0; once = false {
		n := run.put(ctx, puts, run.at(once))
		puts = puts[n:]
	}
	return out
}

// each carries out the operations one by one, some at the same time. First says
// that nothing of the batch was sent before.
func (b *batch) each(ctx context.Context, index []int, first bool) {
	driverkit.Parallel(len(index), batchWidth, func(n int) {
		i := index[n]
		if b.out[i] = b.single(ctx, &b.ops[i], b.at(first && n < batchWidth)); poolCleared(b.out[i].Err) {
			// Another operation's connection broke. This one was not sent.
			b.out[i] = b.single(ctx, &b.ops[i], b.at(false))
		}
	})
}

func (b *batch) single(ctx context.Context, op *driver.BatchOp, now time.Time) (o driver.BatchResult) {
	switch err := ctx.Err(); {
	case err != nil:
		o.Err = err
	case op.Write != nil:
		o.Record, o.Err = b.write(ctx, now, op.Write)
	default:
		o.Err = b.remove(ctx, now, op.Delete)
	}
	return o
}

// put carries out the first creates and upserts with one command, and returns
// how many they were.
func (b *batch) put(ctx context.Context, index []int, now time.Time) int {
	var models []mongodriver.WriteModel
	size := 0
	for n := 0; n < min(len(index), bulkStep) && (n == 0 || size < bulkBytes); n++ {
		w := b.ops[index[n]].Write
		doc, copied := b.document(&w.Record)
		filter := byID(w.Record.ID)
		if w.Cond == driver.IfAbsent {
			filter = b.expiredFilter(now, w.Record.ID)
			size += len(b.undamaged.Value)
		}
		models = append(models, mongodriver.NewReplaceOneModel().SetFilter(filter).SetReplacement(doc).SetUpsert(true))
		size += len(w.Record.Value) + copied + documentBytes
		for _, v := range w.Record.Labels {
			size += len(v) + labelBytes
		}
	}
	b.send(ctx, index[:len(models)], models)
	return len(models)
}

// send sends the models of the operations with those indexes.
func (b *batch) send(ctx context.Context, index []int, models []mongodriver.WriteModel) {
	if err := ctx.Err(); err != nil {
		b.fail(index, err)
		return
	}
	_, err := b.coll.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	var bulk mongodriver.BulkWriteException
	if err != nil && (!errors.As(err, &bulk) || bulk.WriteConcernError != nil) {
		b.fail(index, writeError(ctx, err))
	} else {
		for _, i := range index {
			b.out[i].Record = result(b.ops[i].Write)
		}
	}
	var exist, again []int
	for _, e := range bulk.WriteErrors {
		i := index[e.Index]
		err := statementError(&bulk, &e)
		switch exists := idExists(err); {
		case exists && b.ops[i].Write.Cond == driver.IfAbsent:
			exist = append(exist, i)
		case exists: // an upsert met a concurrent insert
			again = append(again, i)
		default:
			b.out[i] = driver.BatchResult{Err: writeError(ctx, err)}
		}
	}
	b.each(ctx, again, false)
	b.creates(ctx, exist)
}

// statementError returns the error of one statement of a bulk write.
func statementError(bulk *mongodriver.BulkWriteException, e *mongodriver.BulkWriteError) error {
	return mongodriver.WriteException{WriteErrors: mongodriver.WriteErrors{e.WriteError}, Labels: bulk.Labels}
}

// creates gives creates that met a document their errors: ErrExists, or
// ErrCorrupt if the document is not a record.
func (b *batch) creates(ctx context.Context, index []int) {
	if len(index) == 0 {
		return
	}
	ids := make([]string, len(index))
	for n, i := range index {
		ids[n] = b.ops[i].ID()
	}
	found, err := b.readMany(ctx, nil, ids, headOnly)
	for n, i := range index {
		o, stored := found[ids[n]]
		switch {
		case !stored && err != nil:
			o.Err = err
		case o.Err == nil:
			o.Err = model.ErrExists
		}
		b.out[i] = driver.BatchResult{Err: o.Err}
	}
}
