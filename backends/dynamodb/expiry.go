package dynamodb

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Touch changes the expiry of a live record and returns the record without its
// value. It returns ErrNotFound if no live record has the id, and ErrConflict
// for another revision than the one asked for. It takes one UpdateItem, with or
// without labels. An extension that would shorten the expiry fails its
// condition, and the response contains the unchanged record.
func (b *Backend) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &t); err != nil {
		return model.Record{}, err
	}
	wanted := driver.IfPresent
	c := b.call(now)
	values := attributes{tokenNow: millis(now)}
	if t.Cond == driver.IfMatch {
		wanted, values[":known"] = driver.IfMatch, blob(t.Known.Revision[:])
	}
	cond := condition(wanted, b.texts)
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
	c.expires = t.Known.ExpiresAt
	for range guessAttempts {
		rec, out, err := b.change(ctx, c, t.ID, set, missing(set, attrExpires, attrTTL, attrDue), cond, values)
		if err != nil || !out.failed {
			return rec, err
		}
		cur, err := judge(c.at(), out.item, &driver.Write{Record: model.Record{ID: t.ID}, Cond: wanted, Known: t.Known})
		if err != nil {
			return model.Record{}, err
		}
		if t.Mode == driver.TouchExtend && t.Result(cur.ExpiresAt).Equal(cur.ExpiresAt) {
			return cur.Head(), nil
		}
		c.expires = cur.ExpiresAt
	}
	return model.Record{}, driverkit.Contended()
}

// sweepStep is the maximum number of index entries that one request reads.
const sweepStep = 256

// dueRecord is an entry of the index by expiry.
type dueRecord struct {
	id        string
	expiresAt time.Time
	labels    map[string]string
	revision  *model.Revision // the revision that OnExpire saw; nil: any
	skip      bool            // the record stays
}

// shardSweep is the progress of a sweep in one shard of the index.
type shardSweep struct {
	shard string
	from  attributes // the start key of the last read
	after attributes // the start key of the next read
	due   []dueRecord
	done  bool
}

// DeleteExpired removes records that had expired at s.Before. It sends one
// Query to each partition of the index by expiry, 16 at a time, and then one
// DeleteItem or TransactWriteItems for each record. With s.OnExpire it first
// reads the records, 100 with each BatchGetItem.
//
// The index is eventually consistent. DeleteExpired takes candidates from it,
// and the expiry is a condition of each removal.
func (b *Backend) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	tally, err := b.gate.Sweep(ctx, &s)
	if err != nil {
		return driver.Swept{}, err
	}
	open := b.sweepOrder()
	return tally.Run(ctx, func(n int) (more bool, err error) {
		due, err := b.readDue(ctx, s.Before, n, open)
		if err == nil && tally.Announces() {
			err = b.announce(ctx, s.Before, due, tally)
		}
		if err != nil {
			return false, err
		}
		b.sweepDue(ctx, s.Before, due, tally)
		open = slices.DeleteFunc(open, func(s *shardSweep) bool { return s.done })
		return len(open) > 0, nil
	})
}

// sweepOrder returns all shards. Each sweep begins with another shard, so that
// sweeps with small limits reach all of them.
func (b *Backend) sweepOrder() []*shardSweep {
	first := int(b.firstShard.Add(1) % uint32(b.shards))
	open := make([]*shardSweep, b.shards)
	for i := range open {
		open[i] = &shardSweep{shard: shardName((first + i) % b.shards)}
	}
	return open
}

// readDue reads at most n due entries, an equal share from each shard.
func (b *Backend) readDue(ctx context.Context, before time.Time, n int, open []*shardSweep) ([]*dueRecord, error) {
	share := min((n+len(open)-1)/len(open), sweepStep)
	errs := make([]error, len(open))
	driverkit.Parallel(len(open), parallelism, func(i int) {
		errs[i] = b.readShard(ctx, before, share, open[i])
	})
	var due []*dueRecord
	for i, s := range open {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if left := n - len(due); len(s.due) > left {
			s.due = s.due[:left]
			s.done = false
			s.after = s.from // the next read starts after the last entry used
			if left > 0 {
				s.after = s.due[left-1].indexKey(s.shard)
			}
		}
		for i := range s.due {
			due = append(due, &s.due[i])
		}
	}
	return due, nil
}

// indexKey returns the key of the entry in the index.
func (d *dueRecord) indexKey(shard string) attributes {
	key := recordKey(d.id)
	key[attrDue], key[attrExpires] = str(shard), millis(d.expiresAt)
	return key
}

// readShard reads the next due entries of a shard, at most share.
func (b *Backend) readShard(ctx context.Context, before time.Time, share int, s *shardSweep) error {
	const query = "#due = :due AND #expires <= :before"
	names, values := fill(attributes{":due": str(s.shard), ":before": millis(before)}, query)
	out, err := b.client.Query(ctx, &awsdynamodb.QueryInput{
		TableName: &b.table, IndexName: aws.String(indexName), Limit: aws.Int32(int32(share)),
		KeyConditionExpression: aws.String(query), ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ExclusiveStartKey: s.after,
	})
	if err != nil {
		return b.readError(ctx, err)
	}
	if !movedOn(s.after, out.LastEvaluatedKey) {
		return badOrder()
	}
	s.from, s.due = s.after, s.due[:0]
	for _, it := range out.Items {
		id, ok := idOf(it)
		ms, isTime := intOf(it[attrExpires])
		if isTrial(it) { // of a check that did not end; if this fails, the next sweep tries again
			_, _ = b.client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{TableName: &b.table, Key: attributes{attrPK: it[attrPK], attrSK: it[attrSK]}})
		}
		if !ok || !isTime {
			continue // a foreign item that has the index's attributes
		}
		labels, _ := labelsOf(it[attrLabels])
		s.due = append(s.due, dueRecord{id: id, expiresAt: time.UnixMilli(ms).UTC(), labels: labels})
	}
	s.after = out.LastEvaluatedKey
	s.done = len(out.LastEvaluatedKey) == 0
	return nil
}

// announce reads the due records and announces them to OnExpire. A record
// stays if OnExpire returns an error for it, if it cannot be read, or if it is
// no longer due.
func (b *Backend) announce(ctx context.Context, before time.Time, due []*dueRecord, tally *driverkit.Tally) error {
	ids := make([]string, len(due))
	for i, d := range due {
		ids[i] = d.id
	}
	read := make([]driver.BatchResult, len(due))
	b.fetch(ctx, b.untimed(), ids, true, read)
	for i, d := range due {
		rec, err := &read[i].Record, read[i].Err
		switch {
		case errors.Is(err, model.ErrNotFound), errors.Is(err, model.ErrCorrupt):
			d.skip = true
		case err != nil:
			return err
		default:
			d.labels, d.revision = rec.Labels, &rec.Revision
			d.skip = !rec.Expired(before) || !tally.Accepts(rec)
		}
	}
	return nil
}

// sweepDue removes the due records, 16 at a time.
func (b *Backend) sweepDue(ctx context.Context, before time.Time, due []*dueRecord, tally *driverkit.Tally) {
	removed, errs := make([]bool, len(due)), make([]error, len(due))
	driverkit.Parallel(len(due), parallelism, func(i int) {
		if !due[i].skip {
			removed[i], errs[i] = b.sweepOne(ctx, before, due[i])
		}
	})
	for i := range due {
		tally.Outcome(removed[i], errs[i])
	}
}

// sweepOne removes a record that is still due and reports whether it did. A
// record that was removed, extended or written, or cannot be read, is left as
// it is without an error.
func (b *Backend) sweepOne(ctx context.Context, before time.Time, d *dueRecord) (bool, error) {
	cond := condShape + " AND #expires <= :before AND #labels = :old"
	if d.revision != nil {
		cond += " AND #revision = :known"
	}
	labels := d.labels
	for range guessAttempts {
		values := attributes{":before": millis(before)}
		if d.revision != nil {
			values[":known"] = blob(d.revision[:])
		}
		out, err := b.removeItems(ctx, b.untimed(), d.id, labels, cond, values)
		if err != nil || !out.failed {
			return err == nil, err
		}
		if out.item == nil {
			return false, nil
		}
		cur, err := decode(d.id, out.item, false)
		if err != nil || !cur.Expired(before) || d.revision != nil && cur.Revision != *d.revision {
			return false, nil //nolint:nilerr // it stays
		}
		labels = cur.Labels // the index had older ones
	}
	return false, driverkit.Contended()
}

// pruneLimit is the maximum number of label items that one listing removes.
const pruneLimit = 100

// prune removes label items whose record does not exist or has another label.
// They are left when the table's TTL deletes a record. Each transaction checks
// the record again. If one fails, the next listing tries again, unless the
// permission is missing.
func (b *Backend) prune(ctx context.Context, name, value string, ids []string) {
	if b.keepsStale.Load() {
		return
	}
	ids = ids[:min(len(ids), pruneLimit)]
	const cond = "NOT (#labels.#name = :value)"
	driverkit.Parallel(len(ids), parallelism, func(i int) {
		_, err := b.transact(ctx, b.untimed(), nil, []types.TransactWriteItem{
			{ConditionCheck: &types.ConditionCheck{
				TableName: &b.table, Key: recordKey(ids[i]), ConditionExpression: aws.String(cond),
				ExpressionAttributeNames:  map[string]string{"#labels": attrLabels, "#name": name},
				ExpressionAttributeValues: attributes{":value": str(value)},
			}},
			b.deleteLabel(name, value, ids[i]),
		})
		if codeOf(err) == codeDenied {
			b.keepsStale.Store(true)
		}
	})
}
