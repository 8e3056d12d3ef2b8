package dynamodb

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Touch moves the expiry of a live record: one UpdateItem, labelled or not. An
// extension that would shorten it fails its condition, which answers with the
// record as it stays.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := t.Check(); err != nil {
		return model.Record{}, err
	}
	if err := b.enter(ctx); err != nil {
		return model.Record{}, err
	}
	values := attributes{":now": millis(now)}
	cond := condition(driver.IfPresent, "")
	at := t.ExpiresAt
	switch t.Mode {
	case driver.TouchExtend:
		cond += " AND #expires < :later"
		values[":later"] = millis(at)
	case driver.TouchClear:
		at = time.Time{}
	}
	set := attributes{}
	b.putExpiry(set, t.ID, at)
	for range labelAttempts {
		out, v, err := b.change(ctx, t.ID, set, missing(set, attrExpires, attrTTL, attrDue), cond, values)
		if err != nil {
			return model.Record{}, err
		}
		if !v.failed {
			rec, err := decode(t.ID, out, true)
			if err != nil {
				return model.Record{}, strange()
			}
			return rec, nil
		}
		cur, err := b.judge(now, t.ID, v.old, driver.IfPresent, model.Revision{})
		if err != nil {
			return model.Record{}, err
		}
		if t.Mode == driver.TouchExtend && t.Result(cur.ExpiresAt).Equal(cur.ExpiresAt) {
			return cur.Head(), nil
		}
	}
	return model.Record{}, contended()
}

// sweepStep is how many entries of a shard one request reads at most.
const sweepStep = 256

// dueRecord is what the index by expiry knows of a record.
type dueRecord struct {
	id     string
	at     time.Time
	labels map[string]string
	rev    *model.Revision // that it must still have; nil: any
	skip   bool            // it stays: it cannot be read, is no longer due, or was refused
}

// shardSweep is where a sweep stands in one shard of the index.
type shardSweep struct {
	shard string
	from  attributes // where the last read began
	after attributes // where the next one does: the last key that was read
	due   []dueRecord
	done  bool
}

// DeleteExpired removes due records: one Query for each of 16 shards of the
// index by expiry, all at once, then one DeleteItem or TransactWriteItems for
// each record, some at once; with each, one BatchGetItem for 100 records in
// between. The index is eventually consistent, so that it only proposes: the
// removal has the expiry among its conditions.
func (b *Backend) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	var swept driver.Swept
	if sw.Limit < 1 {
		return swept, model.NewError(model.ErrInvalid, "the limit is less than 1", nil)
	}
	if err := b.enter(ctx); err != nil {
		return swept, err
	}
	open := b.sweepOrder()
	for len(open) > 0 {
		left := sw.Limit - swept.Removed - swept.Unknown
		if left <= 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return swept, err
		}
		if err := b.readDue(ctx, sw.Before, left, open); err != nil {
			return swept, err
		}
		var due []*dueRecord
		for _, s := range open {
			for i := range s.due {
				due = append(due, &s.due[i])
			}
		}
		if sw.OnExpire != nil {
			if err := b.announce(ctx, sw.Before, due, sw.OnExpire); err != nil {
				return swept, err
			}
		}
		if err := b.sweepRound(ctx, sw.Before, due, &swept); err != nil {
			return swept, err
		}
		still := open[:0]
		for _, s := range open {
			if !s.done {
				still = append(still, s)
			}
		}
		open = still
	}
	swept.More = swept.Removed+swept.Unknown >= sw.Limit
	return swept, nil
}

// sweepOrder is all shards, each sweep beginning with another, so that small
// limits are fair.
func (b *Backend) sweepOrder() []*shardSweep {
	first := int(b.turn.Add(1) % shards)
	open := make([]*shardSweep, shards)
	for i := range open {
		open[i] = &shardSweep{shard: shardName((first + i) % shards)}
	}
	return open
}

// readDue reads what is due, at most left in all, shared evenly.
func (b *Backend) readDue(ctx context.Context, before time.Time, left int, open []*shardSweep) error {
	share := min((left+len(open)-1)/len(open), sweepStep)
	errs := make([]error, len(open))
	driverkit.Parallel(len(open), parallelism, func(i int) {
		errs[i] = b.readShard(ctx, before, share, open[i])
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	for _, s := range open {
		if len(s.due) > left {
			s.due = s.due[:left]
			s.done = false
			s.after = s.from // the rest is read again
			if left > 0 {
				s.after = s.due[left-1].indexKey(s.shard)
			}
		}
		left -= len(s.due)
	}
	return nil
}

// indexKey is the place of an entry in the index.
func (d *dueRecord) indexKey(shard string) attributes {
	key := recordKey(d.id)
	key[attrDue], key[attrExpires] = str(shard), millis(d.at)
	return key
}

func (b *Backend) readShard(ctx context.Context, before time.Time, share int, s *shardSweep) error {
	const query = "#due = :due AND #expires <= :before"
	names, values := fill(attributes{":due": str(s.shard), ":before": millis(before)}, query)
	out, err := b.client.Query(ctx, &awsdynamodb.QueryInput{
		TableName: &b.table, IndexName: aws.String(indexName), Limit: aws.Int32(int32(share)),
		KeyConditionExpression: aws.String(query), ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ExclusiveStartKey: s.after,
	})
	if err != nil {
		return b.readFault(ctx, err)
	}
	s.from, s.due = s.after, s.due[:0]
	for _, it := range out.Items {
		id, ok := idOf(it)
		ms, isTime := intOf(it[attrExpires])
		if !ok || !isTime {
			continue // a foreign item with the index's attributes
		}
		labels, _ := labelsOf(it[attrLabels])
		s.due = append(s.due, dueRecord{id: id, at: time.UnixMilli(ms).UTC(), labels: labels})
	}
	s.after = out.LastEvaluatedKey
	s.done = len(out.LastEvaluatedKey) == 0
	return nil
}

// announce shows each what is about to be removed. What it refuses stays, and
// so does what cannot be read or is no longer due.
func (b *Backend) announce(ctx context.Context, before time.Time, due []*dueRecord, each func(model.Record) error) error {
	ids := make([]string, len(due))
	for i, d := range due {
		ids[i] = d.id
	}
	for i, f := range b.fetch(ctx, ids, true) {
		d := due[i]
		switch {
		case errors.Is(f.Err, model.ErrNotFound), errors.Is(f.Err, model.ErrCorrupt):
			d.skip = true
			continue
		case f.Err != nil:
			return f.Err
		}
		if d.skip = !f.Record.Expired(before); d.skip {
			continue
		}
		d.labels, d.rev = f.Record.Labels, &f.Record.Revision
		d.skip = each(f.Record) != nil
	}
	return nil
}

// sweepRound removes what was collected.
func (b *Backend) sweepRound(ctx context.Context, before time.Time, due []*dueRecord, swept *driver.Swept) error {
	removed, errs := make([]bool, len(due)), make([]error, len(due))
	driverkit.Parallel(len(due), parallelism, func(i int) {
		if !due[i].skip {
			removed[i], errs[i] = b.sweepOne(ctx, before, due[i])
		}
	})
	var failed error
	for i, err := range errs {
		if removed[i] {
			swept.Removed++
		}
		unknown := model.Kind(err) == model.ErrUnknown
		if unknown {
			swept.Unknown++
		}
		if failed == nil || unknown && model.Kind(failed) != model.ErrUnknown {
			failed = err
		}
	}
	return failed
}

// sweepOne removes a record that is still due. One that is gone, was extended
// or cannot be read stays, which is no error.
func (b *Backend) sweepOne(ctx context.Context, before time.Time, d *dueRecord) (bool, error) {
	cond := condShape + " AND " + condExpired + " AND #labels = :old"
	if d.rev != nil {
		cond += " AND #revision = :prev"
	}
	labels := d.labels
	for range labelAttempts {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		values := attributes{":now": millis(before)}
		if d.rev != nil {
			values[":prev"] = blob(d.rev[:])
		}
		v, err := b.remove(ctx, d.id, labels, cond, values)
		if err != nil || !v.failed {
			return err == nil, err
		}
		if v.old == nil {
			return false, nil
		}
		cur, err := decode(d.id, v.old, false)
		if err != nil || !cur.Expired(before) || d.rev != nil && cur.Revision != *d.rev {
			return false, nil //nolint:nilerr // it stays
		}
		labels = cur.Labels // the index was behind
	}
	return false, contended()
}

// prune removes label items whose record is gone or bears another label, as
// they are left where DynamoDB itself has reaped a record. The transaction
// looks again. Should it fail, the next listing prunes.
func (b *Backend) prune(ctx context.Context, name, value string, ids []string) {
	ids = ids[:min(len(ids), pruneStep)]
	const cond = "NOT (#labels.#name = :value)"
	driverkit.Parallel(len(ids), parallelism, func(i int) {
		_, _ = b.transact(ctx, []types.TransactWriteItem{
			{ConditionCheck: &types.ConditionCheck{
				TableName: &b.table, Key: recordKey(ids[i]), ConditionExpression: aws.String(cond),
				ExpressionAttributeNames:  map[string]string{"#labels": attrLabels, "#name": name},
				ExpressionAttributeValues: attributes{":value": str(value)},
			}},
			b.deleteLabel(name, value, ids[i]),
		})
	})
}

// pruneStep is how many label items one listing removes at most.
const pruneStep = 100
