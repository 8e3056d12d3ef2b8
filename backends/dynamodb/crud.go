package dynamodb

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Get returns the live record with the id, or ErrNotFound. It takes one
// consistent GetItem.
func (b *Backend) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return model.Record{}, err
	}
	names, projection := b.projection(false)
	c := b.call(now)
	out, err := b.client.GetItem(ctx, &awsdynamodb.GetItemInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), Key: recordKey(g.ID),
		ExpressionAttributeNames: names, ProjectionExpression: projection,
	}, c.connection)
	if err != nil {
		return model.Record{}, b.readError(ctx, err)
	}
	if out.Item == nil {
		return model.Record{}, model.ErrNotFound
	}
	rec, err := decode(g.ID, out.Item, false)
	if err == nil && rec.Expired(c.at()) {
		return model.Record{}, model.ErrNotFound
	}
	return rec, err
}

// The projections name the attributes that a read returns. They include the
// keys: without any attribute, an item would look as if it did not exist.
const (
	projectHead  = "#pk, #sk, #format, #revision, #expires, #labels, #encoding"
	projectWhole = projectHead + ", #value"
)

// projection returns the names and the projection of a read. A head has no
// value. The native copy is never read.
func (b *Backend) projection(head bool) (map[string]string, *string) {
	switch {
	case head:
		names, _ := fill(nil, projectHead)
		return names, aws.String(projectHead)
	case b.opts.Queryable:
		names, _ := fill(nil, projectWhole)
		return names, aws.String(projectWhole)
	}
	return nil, nil
}

// guess is what a write assumes about the stored record. The write's condition
// includes the assumption. If it is wrong, nothing is written, and the response
// contains the stored record.
type guess struct {
	labels    map[string]string
	expiresAt time.Time
	known     bool // the labels and expiry come from the server or from Write.Known

	// raw is the attribute with the labels of an item that cannot be read, though
	// the server's condition takes it for a record.
	raw types.AttributeValue
}

// guessOf returns what is known of the stored item after an attempt: cur is its
// record, or a zero one.
func guessOf(it attributes, cur *model.Record) guess {
	g := guess{labels: cur.Labels, expiresAt: cur.ExpiresAt, known: true}
	if it == nil || !cur.Revision.IsZero() {
		return g
	}
	g.raw = it[attrLabels]
	if m, ok := g.raw.(*types.AttributeValueMemberM); ok {
		g.labels = map[string]string{}
		for name, v := range m.Value {
			if value, ok := stringOf(v); ok {
				g.labels[name] = value
			}
		}
	}
	return g
}

// guessAttempts limits how often a write is sent while other writers keep
// changing the record's labels or expiry.
const guessAttempts = 32

// Write stores the record under its condition and returns it without its
// value. It returns ErrExists, ErrNotFound or ErrConflict if the condition
// fails, and with ErrConflict the record that won.
//
// It takes one PutItem or UpdateItem, or one TransactWriteItems if label items
// change. A wrong guess of the labels costs one more request. In a transaction,
// so does a wrong guess of the expiry that is kept.
func (b *Backend) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := b.gate.Write(ctx, &w); err != nil {
		return model.Record{}, err
	}
	return b.write(ctx, b.call(now), &w)
}

func (b *Backend) write(ctx context.Context, c *call, w *driver.Write) (model.Record, error) {
	var g guess
	if w.Cond == driver.IfMatch {
		g = guess{labels: w.Known.Labels, expiresAt: w.Known.ExpiresAt, known: true}
	}
	for range guessAttempts {
		c.expires = g.expiresAt
		rec, out, err := b.attempt(ctx, c, w, g)
		if err != nil {
			return model.Record{}, err
		}
		if !out.failed {
			return rec, nil
		}
		cur, err := judge(c.at(), out.item, w)
		if err != nil {
			return cur, err
		}
		g = guessOf(out.item, &cur)
	}
	return model.Record{}, driverkit.Contended()
}

// judge decides a condition against the stored item, which may be nil. If the
// condition holds, the guess was wrong: judge returns the stored record, or a
// zero one if an upsert overwrites nothing or an unreadable item. With
// ErrConflict it returns the record that won.
func judge(now time.Time, it attributes, w *driver.Write) (model.Record, error) {
	if it == nil {
		return driverkit.JudgeWrite(now, nil, nil, w)
	}
	cur, err := decode(w.Record.ID, it, false)
	if winner, err := driverkit.JudgeWrite(now, &cur, err, w); err != nil {
		return winner, err
	}
	return cur, nil
}

// attempt sends the write under the guess.
func (b *Backend) attempt(ctx context.Context, c *call, w *driver.Write, g guess) (model.Record, outcome, error) {
	values := attributes{tokenNow: millis(c.at()), ":new": labelMap(w.Record.Labels), ":old": labelMap(g.labels), ":known": blob(w.Known.Revision[:])}
	// Same means that the label items stay as they are. An update that keeps an
	// expiry it does not know assumes so first: the response has the expiry.
	same := w.Keep.Labels || maps.Equal(w.Record.Labels, g.labels) || w.Keep.Expiry && !g.known
	accept := "(#labels = :new OR #labels = :old)"
	switch {
	case w.Keep.Labels:
		accept = b.texts
	case same || len(w.Record.Labels) == 0 && len(g.labels) == 0:
		accept = "#labels = :new"
	}
	if g.raw != nil {
		values[":old"], same, accept = g.raw, false, "#labels = :old"
	}
	cond := condition(w.Cond, accept)
	if w.Encodings != nil && (w.Cond == driver.IfPresent || w.Cond == driver.IfMatch) {
		cond += replaces(w.Encodings, values)
	}
	switch {
	case same && (w.Keep.Labels || w.Keep.Expiry):
		return b.update(ctx, c, w, cond, values)
	case same:
		return b.put(ctx, c, w, cond, values)
	}
	return b.replace(ctx, c, w, g, cond, values)
}

// replaces returns the part of a condition that the stored encoding is one of
// those, and adds the values that it needs.
func replaces(encodings []string, values attributes) string {
	part := ""
	for i, name := range encodings {
		token := ":reads" + strings.Repeat("x", i)
		values[token] = str(name)
		part += ", " + token
	}
	return " AND #encoding IN (" + strings.TrimPrefix(part, ", ") + ")"
}

// condition returns the condition expression. Accept, if not empty, is a part
// that the labels must fulfill.
func condition(c driver.Condition, accept string) string {
	switch c {
	case driver.IfAny:
		return "NOT (" + condShape + ") OR " + accept
	case driver.IfAbsent:
		return condAbsent + " OR (" + condShape + " AND " + condExpired + " AND " + accept + ")"
	}
	cond := condShape + " AND " + condLive
	if c == driver.IfMatch {
		cond += " AND #revision = :known"
	}
	if accept != "" {
		cond += " AND " + accept
	}
	return cond
}

// put replaces the record if no label items change.
func (b *Backend) put(ctx context.Context, c *call, w *driver.Write, cond string, values attributes) (model.Record, outcome, error) {
	names, values := fill(values, cond)
	out, err := b.sendOnce(ctx, c, values, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
		_, err := b.client.PutItem(ctx, &awsdynamodb.PutItemInput{
			TableName: &b.table, Item: b.encode(&w.Record),
			ConditionExpression: &cond, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}, opts)
		return err
	})
	return w.Result(nil).Head(), out, err
}

// update replaces the value and keeps the expiry, the labels or both. The
// response contains the ones in force.
func (b *Backend) update(ctx context.Context, c *call, w *driver.Write, cond string, values attributes) (model.Record, outcome, error) {
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
	return b.change(ctx, c, w.Record.ID, set, gone, cond, values)
}

// missing returns the names that the set lacks.
func missing(set attributes, of ...string) []string {
	return slices.DeleteFunc(of, func(name string) bool { return set[name] != nil })
}

// change sets and removes attributes of a record and returns its head.
func (b *Backend) change(ctx context.Context, c *call, id string, set attributes, gone []string, cond string, values attributes) (model.Record, outcome, error) {
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
	b.nameLabels(names)
	var item attributes
	out, err := b.sendOnce(ctx, c, values, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
		res, err := b.client.UpdateItem(ctx, &awsdynamodb.UpdateItemInput{
			TableName: &b.table, Key: recordKey(id), UpdateExpression: &expr,
			ConditionExpression: &cond, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			ReturnValues:                        types.ReturnValueAllNew,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}, opts)
		if err == nil {
			item = res.Attributes
		}
		return err
	})
	if err != nil || out.failed {
		return model.Record{}, out, err
	}
	rec, err := decode(id, item, true)
	if err != nil {
		// The condition held, so a correct server would return a record.
		return model.Record{}, out, driverkit.BadReply()
	}
	return rec, out, nil
}

// replace writes the record and its label items in one transaction.
func (b *Backend) replace(ctx context.Context, c *call, w *driver.Write, g guess, cond string, values attributes) (model.Record, outcome, error) {
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
	// A create or upsert may find no record, or an unreadable one, and then no
	// label items. It therefore puts all of them.
	stored := g.labels
	if w.Cond == driver.IfAny || w.Cond == driver.IfAbsent {
		stored = nil
	}
	names, values := fill(values, cond)
	items := []types.TransactWriteItem{{Put: &types.Put{
		TableName: &b.table, Item: b.encode(&rec),
		ConditionExpression: &cond, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}}
	for name, value := range w.Record.Labels {
		if stored[name] != value {
			items = append(items, types.TransactWriteItem{Put: &types.Put{TableName: &b.table, Item: labelKey(name, value, w.Record.ID)}})
		}
	}
	for name, value := range g.labels {
		if w.Record.Labels[name] != value {
			items = append(items, b.deleteLabel(name, value, w.Record.ID))
		}
	}
	out, err := b.transact(ctx, c, values, items)
	return rec.Head(), out, err
}

func (b *Backend) deleteLabel(name, value, id string) types.TransactWriteItem {
	return types.TransactWriteItem{Delete: &types.Delete{TableName: &b.table, Key: labelKey(name, value, id)}}
}

// transact sends a transaction, whose conditions use the values. If an earlier
// attempt is repeatable, the next one is the same with the same
// token, so that it cannot happen twice.
func (b *Backend) transact(ctx context.Context, c *call, values attributes, items []types.TransactWriteItem) (outcome, error) {
	token, inProgress := rand.Text(), false
	return b.sendOnce(ctx, c, values, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
		in := &awsdynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: aws.String(token)}
		_, err := b.client.TransactWriteItems(ctx, in, opts)
		if inProgress = inProgress || repeatable(err); !inProgress {
			token = rand.Text()
		}
		return err
	})
}

// Delete removes a live record with its label items. It returns ErrNotFound if
// no live record has the id, and ErrConflict for another revision.
//
// It takes one DeleteItem, or one TransactWriteItems if Delete.Known has
// labels. A labelled record without Delete.Known takes both.
func (b *Backend) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	if err := b.gate.Delete(ctx, &d); err != nil {
		return err
	}
	return b.remove(ctx, b.call(now), &d)
}

func (b *Backend) remove(ctx context.Context, c *call, d *driver.Delete) error {
	cond := condition(d.Cond, "#labels = :old")
	labels := d.Known.Labels
	c.expires = d.Known.ExpiresAt
	for range guessAttempts {
		out, err := b.removeItems(ctx, c, d.ID, labels, cond, attributes{tokenNow: millis(c.at()), ":known": blob(d.Known.Revision[:])})
		if err != nil {
			return err
		}
		if !out.failed {
			return nil
		}
		cur, err := judge(c.at(), out.item, &driver.Write{Record: model.Record{ID: d.ID}, Cond: d.Cond, Known: d.Known})
		if err != nil {
			return err
		}
		labels, c.expires = cur.Labels, cur.ExpiresAt
	}
	return driverkit.Contended()
}

// removeItems removes a record and its label items. The condition includes
// that the record has these labels.
func (b *Backend) removeItems(ctx context.Context, c *call, id string, labels map[string]string, cond string, values attributes) (outcome, error) {
	values[":old"] = labelMap(labels)
	names, values := fill(values, cond)
	if len(labels) == 0 {
		return b.sendOnce(ctx, c, values, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
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
	return b.transact(ctx, c, values, items)
}
