package dynamodb

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Get returns the live record: one consistent GetItem.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.enter(ctx); err != nil {
		return model.Record{}, err
	}
	names, projection := b.projection(false)
	out, err := b.client.GetItem(ctx, &awsdynamodb.GetItemInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), Key: recordKey(g.ID),
		ExpressionAttributeNames: names, ProjectionExpression: projection,
	})
	if err != nil {
		return model.Record{}, b.readFault(ctx, err)
	}
	if out.Item == nil {
		return model.Record{}, model.ErrNotFound
	}
	rec, err := decode(g.ID, out.Item, false)
	if err == nil && rec.Expired(now) {
		return model.Record{}, model.ErrNotFound
	}
	return rec, err
}

// What is read of an item. The keys are always among it, so that an item
// without any of the others is not taken for none.
const (
	projectHead  = "#pk, #sk, #format, #revision, #expires, #labels, #encoding"
	projectWhole = projectHead + ", #value"
)

// projection leaves out the value of heads, and the native copy of the others.
func (b *Backend) projection(head bool) (map[string]string, *string) {
	switch {
	case head:
		names, _ := fill(nil, projectHead)
		return names, aws.String(projectHead)
	case b.queryable:
		names, _ := fill(nil, projectWhole)
		return names, aws.String(projectWhole)
	}
	return nil, nil
}

// guess is what a write takes the stored record to bear. The write's condition
// says so too: where it is wrong, nothing is written, and the answer tells what
// is there.
type guess struct {
	labels    map[string]string
	expiresAt time.Time
	known     bool // from the server or a Prev, expiry included
}

// labelAttempts bounds how often a write is tried while others keep changing
// the record's labels.
const labelAttempts = 32

// Write stores the record under its condition: one PutItem or UpdateItem, or
// one TransactWriteItems where label items change. A wrong guess of the labels
// or, in a transaction, of the expiry that is kept, costs one request more.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := w.Check(); err != nil {
		return model.Record{}, err
	}
	if err := driverkit.CheckRecord(&w.Record, b.labels, b.maxValue); err != nil {
		return model.Record{}, err
	}
	if err := b.enter(ctx); err != nil {
		return model.Record{}, err
	}
	var g guess
	if w.Cond == driver.IfMatch {
		g = guess{w.Known.Labels, w.Known.ExpiresAt, true}
	}
	for range labelAttempts {
		rec, v, err := b.attempt(ctx, now, &w, g)
		if err != nil {
			return model.Record{}, err
		}
		if !v.failed {
			return rec, nil
		}
		cur, err := b.judge(now, w.Record.ID, v.old, w.Cond, w.Known.Revision)
		if err != nil {
			return cur, err
		}
		g = guess{cur.Labels, cur.ExpiresAt, true}
	}
	return model.Record{}, contended()
}

func contended() error {
	return model.NewError(model.ErrUnavailable, "others keep changing the record's labels or expiry", nil)
}

// judge is why a condition failed, given what is stored; without an error the
// condition holds and the guess was wrong.
func (b *Backend) judge(now time.Time, id string, old attributes, c driver.Condition, prev model.Revision) (model.Record, error) {
	if old == nil {
		return model.Record{}, driver.Judge(now, nil, c, prev)
	}
	cur, err := decode(id, old, false)
	if err != nil {
		if c == driver.IfAny {
			err = nil // overwritten as it is
		}
		return model.Record{}, err
	}
	if err := driver.Judge(now, &cur, c, prev); err != nil {
		if c != driver.IfMatch || err != model.ErrConflict { //nolint:errorlint // Judge returns the sentinel itself
			cur = model.Record{}
		}
		return cur, err
	}
	return cur, nil
}

// attempt writes under the guess.
func (b *Backend) attempt(ctx context.Context, now time.Time, w *driver.Write, g guess) (model.Record, verdict, error) {
	values := attributes{":now": millis(now), ":new": labelMap(w.Record.Labels), ":old": labelMap(g.labels), ":prev": blob(w.Known.Revision[:])}
	// Whether the label items stay as they are. Without a guess of the expiry
	// that is kept, an update looks first whether the labels are the same.
	same := w.Keep.Labels || maps.Equal(w.Record.Labels, g.labels) || w.Keep.Expiry && !g.known
	accept := "(#labels = :new OR #labels = :old)"
	switch {
	case w.Keep.Labels:
		accept = ""
	case same || len(w.Record.Labels) == 0 && len(g.labels) == 0:
		accept = "#labels = :new"
	}
	cond := condition(w.Cond, accept)
	switch {
	case same && (w.Keep.Labels || w.Keep.Expiry):
		return b.update(ctx, w, cond, values)
	case same:
		return b.put(ctx, w, cond, values)
	}
	return b.replace(ctx, w, g, cond, values)
}

// condition is the expression of a condition, and what it accepts of the
// labels.
func condition(c driver.Condition, accept string) string {
	switch c {
	case driver.IfAny:
		return "NOT (" + condShape + ") OR " + accept
	case driver.IfAbsent:
		return condAbsent + " OR (" + condShape + " AND " + condExpired + " AND " + accept + ")"
	}
	cond := condShape + " AND " + condLive
	if c == driver.IfMatch {
		cond += " AND #revision = :prev"
	}
	if accept != "" {
		cond += " AND " + accept
	}
	return cond
}

// put replaces the record where no label item changes.
func (b *Backend) put(ctx context.Context, w *driver.Write, cond string, values attributes) (model.Record, verdict, error) {
	names, values := fill(values, cond)
	v, err := b.once(ctx, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
		_, err := b.client.PutItem(ctx, &awsdynamodb.PutItemInput{
			TableName: &b.table, Item: b.encode(&w.Record),
			ConditionExpression: &cond, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}, opts)
		return err
	})
	return w.Result(nil).Head(), v, err
}

// update replaces the value and leaves the expiry, the labels or both; the
// answer tells what they are.
func (b *Backend) update(ctx context.Context, w *driver.Write, cond string, values attributes) (model.Record, verdict, error) {
	set := attributes{}
	b.putValue(set, &w.Record)
	gone := []string{}
	if set[attrJSON] == nil {
		gone = append(gone, attrJSON)
	}
	if !w.Keep.Expiry {
		b.putExpiry(set, w.Record.ID, w.Record.ExpiresAt)
		gone = append(gone, missing(set, attrExpires, attrTTL, attrDue)...)
	}
	out, v, err := b.change(ctx, w.Record.ID, set, gone, cond, values)
	if err != nil || v.failed {
		return model.Record{}, v, err
	}
	rec, err := decode(w.Record.ID, out, true)
	if err != nil {
		// The condition held, so that this is a service that answers nonsense.
		return model.Record{}, v, strange()
	}
	return rec, v, nil
}

// strange is the error for an answer that DynamoDB does not give.
func strange() error {
	return model.NewError(model.ErrUnknown, "the service's answer is not the item that was written", nil)
}

// missing are those of the attributes that the set lacks.
func missing(set attributes, of ...string) []string {
	return slices.DeleteFunc(of, func(name string) bool { return set[name] != nil })
}

// change sets and removes attributes of a record, and returns all of it.
func (b *Backend) change(ctx context.Context, id string, set attributes, gone []string, cond string, values attributes) (attributes, verdict, error) {
	expr := ""
	for i, name := range slices.Sorted(maps.Keys(set)) {
		if i == 0 {
			expr = "SET "
		} else {
			expr += ", "
		}
		expr += "#" + name + " = :set" + name
		values[":set"+name] = set[name]
	}
	for i, name := range gone {
		if i == 0 {
			expr += " REMOVE "
		} else {
			expr += ", "
		}
		expr += "#" + name
	}
	names, values := fill(values, cond, expr)
	var item attributes
	v, err := b.once(ctx, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
		out, err := b.client.UpdateItem(ctx, &awsdynamodb.UpdateItemInput{
			TableName: &b.table, Key: recordKey(id), UpdateExpression: &expr,
			ConditionExpression: &cond, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			ReturnValues:                        types.ReturnValueAllNew,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}, opts)
		if err == nil {
			item = out.Attributes
		}
		return err
	})
	return item, v, err
}

// replace writes the record and its label items in one transaction.
func (b *Backend) replace(ctx context.Context, w *driver.Write, g guess, cond string, values attributes) (model.Record, verdict, error) {
	rec := w.Record
	if w.Keep.Expiry {
		rec.ExpiresAt = g.expiresAt
		if g.expiresAt.IsZero() {
			cond += " AND attribute_not_exists(#expires)"
		} else {
			cond += " AND #expires = :kept"
			values[":kept"] = millis(g.expiresAt)
		}
	}
	// A condition that accepts no record, or a foreign one, promises no label
	// items: all are put then.
	known := g.labels
	if w.Cond == driver.IfAny || w.Cond == driver.IfAbsent {
		known = nil
	}
	names, values := fill(values, cond)
	items := []types.TransactWriteItem{{Put: &types.Put{
		TableName: &b.table, Item: b.encode(&rec),
		ConditionExpression: &cond, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}}
	for name, value := range w.Record.Labels {
		if known[name] != value {
			items = append(items, types.TransactWriteItem{Put: &types.Put{TableName: &b.table, Item: labelKey(name, value, w.Record.ID)}})
		}
	}
	for name, value := range g.labels {
		if w.Record.Labels[name] != value {
			items = append(items, b.deleteLabel(name, value, w.Record.ID))
		}
	}
	v, err := b.transact(ctx, items)
	return rec.Head(), v, err
}

func (b *Backend) deleteLabel(name, value, id string) types.TransactWriteItem {
	return types.TransactWriteItem{Delete: &types.Delete{TableName: &b.table, Key: labelKey(name, value, id)}}
}

func (b *Backend) transact(ctx context.Context, items []types.TransactWriteItem) (verdict, error) {
	return b.once(ctx, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
		_, err := b.client.TransactWriteItems(ctx, &awsdynamodb.TransactWriteItemsInput{TransactItems: items}, opts)
		return err
	})
}

// Delete removes a live record with its label items: one DeleteItem, or one
// TransactWriteItems where prev tells of labels. Without prev a labelled record
// takes both.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := d.Check(); err != nil {
		return err
	}
	if err := b.enter(ctx); err != nil {
		return err
	}
	cond := condition(d.Cond, "#labels = :old")
	labels := d.Known.Labels
	for range labelAttempts {
		v, err := b.remove(ctx, d.ID, labels, cond, attributes{":now": millis(now), ":prev": blob(d.Known.Revision[:])})
		if err != nil {
			return err
		}
		if !v.failed {
			return nil
		}
		cur, err := b.judge(now, d.ID, v.old, d.Cond, d.Known.Revision)
		if err != nil {
			return err
		}
		labels = cur.Labels
	}
	return contended()
}

// remove deletes a record with these labels, under a condition that says so.
func (b *Backend) remove(ctx context.Context, id string, labels map[string]string, cond string, values attributes) (verdict, error) {
	values[":old"] = labelMap(labels)
	names, values := fill(values, cond)
	if len(labels) == 0 {
		return b.once(ctx, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
			_, err := b.client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{
				TableName: &b.table, Key: recordKey(id),
				ConditionExpression: &cond, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
				ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			}, opts)
			return err
		})
	}
	items := []types.TransactWriteItem{{Delete: &types.Delete{
		TableName: &b.table, Key: recordKey(id),
		ConditionExpression: &cond, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}}
	for name, value := range labels {
		items = append(items, b.deleteLabel(name, value, id))
	}
	return b.transact(ctx, items)
}
