package mongo

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

const (
	// getStep is how many ids one find asks for.
	getStep = 1000
	// bulkStep and bulkBytes bound one command: the driver splits what is
	// larger than a message of the server, which would leave open which half
	// was sent.
	bulkStep  = 1000
	bulkBytes = 16 << 20
	// perDocument and perLabel are more than the rest of a document and its
	// filter take.
	perDocument = 2 << 10
	perLabel    = 80
	// lanes is how many operations of a batch are under way at a time.
	lanes = 8
)

// fail gives all outcomes the error.
func fail(out []driver.BatchResult, err error) []driver.BatchResult {
	for i := range out {
		out[i].Err = err
	}
	return out
}

// GetMany reads the records by one find for a thousand of them, or for each
// 16 MB.
func (b *Backend) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out := make([]driver.BatchResult, len(gets))
	ctx, err := b.enter(ctx)
	if err != nil {
		return fail(out, err)
	}
	for from := 0; from < len(gets); from += getStep {
		part := driverkit.IDs(gets[from:min(from+getStep, len(gets))])
		found, err := b.storedMany(ctx, part, withValue)
		for i, id := range part {
			o, there := found[id]
			switch {
			case !there && err != nil:
				o.Err = err
			case !there || o.Err == nil && o.Record.Expired(now):
				o = driver.BatchResult{Err: model.ErrNotFound}
			}
			out[from+i] = o
		}
	}
	return out
}

// storedMany is the records that are there, live or not, and what could not be
// read. With an error it is those that came before.
func (b *Backend) storedMany(ctx context.Context, ids []string, projection bson.D) (map[string]driver.BatchResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cur, err := b.coll.Find(ctx, bson.D{{Key: fieldID, Value: bson.D{{Key: "$in", Value: ids}}}},
		options.Find().SetProjection(projection).SetBatchSize(int32(len(ids))+1))
	if err != nil {
		return nil, readFault(ctx, err)
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }()
	found := make(map[string]driver.BatchResult, len(ids))
	for cur.Next(ctx) {
		rec, err := decode(cur.Current)
		found[storedID(cur.Current)] = driver.BatchResult{Record: rec, Err: err}
	}
	if err := cur.Err(); err != nil {
		return found, readFault(ctx, err)
	}
	return found, nil
}

// WriteMany carries out creates and upserts by one unordered command for a
// thousand of them or 16 MB, whose answer names those that failed. Of updates
// and deletes such an answer tells only how many matched, so each is an
// operation of its own, eight at a time.
func (b *Backend) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out := make([]driver.BatchResult, len(ops))
	ctx, err := b.enter(ctx)
	if err != nil {
		return fail(out, err)
	}
	var inserts, others []int
	for i, op := range ops {
		if err := b.checkOp(op); err != nil {
			out[i].Err = err
			continue
		}
		if op.Write != nil && (op.Write.Cond == driver.IfAbsent || op.Write.Cond == driver.IfAny) {
			inserts = append(inserts, i)
		} else {
			others = append(others, i)
		}
	}
	b.eachOf(ctx, now, ops, others, out)
	b.insertMany(ctx, now, ops, inserts, out)
	return out
}

func (b *Backend) checkOp(op driver.BatchOp) error {
	if op.Write != nil {
		return b.checkWrite(op.Write)
	}
	return op.Delete.Check()
}

// eachOf carries out the operations named by their index, some at a time.
func (b *Backend) eachOf(ctx context.Context, now time.Time, ops []driver.BatchOp, index []int, out []driver.BatchResult) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(lanes, len(index)) {
		running.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(index) {
					return
				}
				o := &out[index[n]]
				if *o = b.one(ctx, now, ops[index[n]]); cleared(o.Err) {
					// Another operation's broken connection; this one was not sent.
					*o = b.one(ctx, now, ops[index[n]])
				}
			}
		})
	}
	running.Wait()
}

func (b *Backend) one(ctx context.Context, now time.Time, op driver.BatchOp) (o driver.BatchResult) {
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

// insertMany carries out creates and upserts, command by command.
func (b *Backend) insertMany(ctx context.Context, now time.Time, ops []driver.BatchOp, index []int, out []driver.BatchResult) {
	for len(index) > 0 {
		var models []mongodriver.WriteModel
		size := 0
		for n := 0; n < min(len(index), bulkStep) && (n == 0 || size < bulkBytes); n++ {
			w := ops[index[n]].Write
			doc, copied := b.document(&w.Record)
			filter := byID(w.Record.ID)
			if w.Cond == driver.IfAbsent {
				filter = expiredFilter(now, w.Record.ID)
			}
			models = append(models, mongodriver.NewReplaceOneModel().SetFilter(filter).SetReplacement(doc).SetUpsert(true))
			size += len(w.Record.Value) + copied + perDocument
			for _, v := range w.Record.Labels {
				size += len(v) + perLabel
			}
		}
		b.insertPart(ctx, now, ops, index[:len(models)], models, out)
		index = index[len(models):]
	}
}

func (b *Backend) insertPart(ctx context.Context, now time.Time, ops []driver.BatchOp, index []int, models []mongodriver.WriteModel, out []driver.BatchResult) {
	set := func(err error) {
		for _, i := range index {
			out[i].Err = err
		}
	}
	if err := ctx.Err(); err != nil {
		set(err)
		return
	}
	_, err := b.coll.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	var partly mongodriver.BulkWriteException
	if err != nil && !errors.As(err, &partly) {
		set(writeFault(ctx, err))
		return
	}
	for _, i := range index {
		out[i].Record = inForce(ops[i].Write)
	}
	if partly.WriteConcernError != nil {
		set(writeFault(ctx, err))
	}
	var exist, again []int
	for _, e := range partly.WriteErrors {
		i := index[e.Index]
		one := mongodriver.WriteException{WriteErrors: mongodriver.WriteErrors{e.WriteError}, Labels: partly.Labels}
		switch met := taken(one); {
		case met && ops[i].Write.Cond == driver.IfAbsent:
			exist = append(exist, i)
		case met:
			again = append(again, i)
		default:
			out[i] = driver.BatchResult{Err: writeFault(ctx, one)}
		}
	}
	b.eachOf(ctx, now, ops, again, out)
	b.tellWhy(ctx, ops, exist, out)
	for _, i := range index {
		if out[i].Err != nil {
			out[i].Record = model.Record{}
		}
	}
}

// tellWhy says of creates that met a document whether that is a record.
func (b *Backend) tellWhy(ctx context.Context, ops []driver.BatchOp, index []int, out []driver.BatchResult) {
	if len(index) == 0 {
		return
	}
	ids := make([]string, len(index))
	for n, i := range index {
		ids[n] = ops[i].ID()
	}
	found, err := b.storedMany(ctx, ids, headOnly)
	for n, i := range index {
		o, there := found[ids[n]]
		switch {
		case !there && err != nil:
			out[i].Err = err
		case there && o.Err != nil:
			out[i].Err = o.Err
		default:
			out[i].Err = model.ErrExists
		}
	}
}
