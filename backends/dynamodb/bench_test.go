package dynamodb

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
)

func BenchmarkConformance(b *testing.B) { conformance.Benchmarks(b, harness(b)) }

// floorOps is the number of calls of each side in a round.
const floorOps = 10

const allOld = types.ReturnValuesOnConditionCheckFailureAllOld

// hand sends the same requests as the backend. It builds the condition
// expressions once, before the measurement.
type hand struct {
	c     *awsdynamodb.Client
	table string
	value string

	live, absent, upsert, update, touch, gone string
	names                                     map[string]map[string]string // by expression
}

func newHand(c *awsdynamodb.Client, table, value string) *hand {
	const keep = "SET #revision = :setrevision, #encoding = :setencoding, #value = :setvalue REMOVE #json"
	const move = "SET #expires = :setexpires, #ttl = :setttl, #due = :setdue"
	h := &hand{
		c: c, table: table, value: value,
		live: condition(driver.IfPresent, ""), absent: condition(driver.IfAbsent, "(#labels = :new OR #labels = :old)"),
		upsert: condition(driver.IfAny, "#labels = :new"), update: keep, touch: move, gone: condition(driver.IfPresent, "#labels = :old"),
		names: map[string]map[string]string{},
	}
	for _, e := range [][2]string{{h.absent}, {h.upsert}, {h.gone}, {h.live, keep}, {h.live, move}} {
		names, _ := fill(nil, e[0], e[1])
		h.names[e[0]+e[1]] = names
	}
	return h
}

// later returns the expiry of the i-th touch.
func later(i int) time.Time { return drivertest.Now.Add(time.Hour + time.Duration(i)*time.Second) }

// seconds returns the TTL of a record that expires at t.
func seconds(t time.Time) types.AttributeValue { return number(t.Add(time.Hour).Unix() + 1) }

// item returns a record with an expiry and the labels.
func (h *hand) item(id string, labels types.AttributeValue) attributes {
	rev := model.NewRevision()
	at := drivertest.Now.Add(time.Hour)
	item := recordKey(id)
	item[attrFormat], item[attrRevision], item[attrLabels] = number(1), blob(rev[:]), labels
	item[attrEncoding], item[attrValue] = str("json"), str(h.value)
	item[attrExpires], item[attrTTL], item[attrDue] = millis(at), seconds(at), str("0")
	return item
}

// with adds the values that every condition of a record needs.
func with(values attributes) attributes {
	for _, token := range []string{":format", ":B", ":M", ":S", ":sixteen"} {
		values[token] = constant(token)
	}
	return values
}

var unlabelled, labelled = labelMap(nil), labelMap(map[string]string{"principal": "ann"})

func (h *hand) get(ctx context.Context, id string, _ int) error {
	_, err := h.c.GetItem(ctx, &awsdynamodb.GetItemInput{TableName: &h.table, ConsistentRead: aws.Bool(true), Key: recordKey(id)})
	return err
}

func (h *hand) put(ctx context.Context, id string, _ int) error {
	_, err := h.c.PutItem(ctx, &awsdynamodb.PutItemInput{
		TableName: &h.table, Item: h.item(id, unlabelled), ConditionExpression: &h.upsert,
		ExpressionAttributeNames: h.names[h.upsert], ExpressionAttributeValues: with(attributes{":new": unlabelled}),
		ReturnValuesOnConditionCheckFailure: allOld,
	})
	return err
}

func (h *hand) create(ctx context.Context, id string, _ int) error {
	_, err := h.c.TransactWriteItems(ctx, &awsdynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{
			TableName: &h.table, Item: h.item(id, labelled), ConditionExpression: &h.absent,
			ExpressionAttributeNames: h.names[h.absent], ExpressionAttributeValues: with(attributes{":now": millis(drivertest.Now), ":new": labelled, ":old": unlabelled}),
			ReturnValuesOnConditionCheckFailure: allOld,
		}},
		{Put: &types.Put{TableName: &h.table, Item: labelKey("principal", "ann", id)}},
	}})
	return err
}

func (h *hand) change(ctx context.Context, id, expression string, values attributes) error {
	_, err := h.c.UpdateItem(ctx, &awsdynamodb.UpdateItemInput{
		TableName: &h.table, Key: recordKey(id), UpdateExpression: &expression, ConditionExpression: &h.live,
		ExpressionAttributeNames: h.names[h.live+expression], ExpressionAttributeValues: values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: allOld,
	})
	return err
}

func (h *hand) set(ctx context.Context, id string, _ int) error {
	rev := model.NewRevision()
	return h.change(ctx, id, h.update, with(attributes{":now": millis(drivertest.Now), ":setrevision": blob(rev[:]), ":setencoding": str("json"), ":setvalue": str(h.value)}))
}

func (h *hand) move(ctx context.Context, id string, i int) error {
	at := later(i)
	return h.change(ctx, id, h.touch, with(attributes{":now": millis(drivertest.Now), ":setexpires": millis(at), ":setttl": seconds(at), ":setdue": str("0")}))
}

func (h *hand) remove(ctx context.Context, id string, _ int) error {
	_, err := h.c.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{
		TableName: &h.table, Key: recordKey(id), ConditionExpression: &h.gone,
		ExpressionAttributeNames: h.names[h.gone], ExpressionAttributeValues: with(attributes{":now": millis(drivertest.Now), ":old": unlabelled}),
		ReturnValuesOnConditionCheckFailure: allOld,
	})
	return err
}

// BenchmarkFloor compares each operation with the same request written by hand.
// The record has a value of 1 KB and an expiry. The created one has a label too.
func BenchmarkFloor(b *testing.B) {
	ctx := context.Background()
	value := strings.Repeat("v", 1<<10)
	var store *Backend
	write := func(id string, c driver.Condition, labels map[string]string, keep bool) error {
		rec := model.Record{ID: id, Revision: model.NewRevision(), ExpiresAt: drivertest.Now.Add(time.Hour), Labels: labels, Encoding: "json", Value: []byte(value)}
		_, err := store.Write(ctx, drivertest.Now, driver.Write{Record: rec, Cond: c, Keep: driver.Keep{Expiry: keep, Labels: keep}})
		return err
	}
	for _, op := range []struct {
		name   string
		seeded bool // the records are stored before
		hand   func(h *hand, ctx context.Context, id string, i int) error
		ours   func(id string, i int) error
	}{
		{"get", true, (*hand).get, func(id string, _ int) error { _, err := store.Get(ctx, drivertest.Now, driver.Get{ID: id}); return err }},
		{"create-labelled", false, (*hand).create, func(id string, _ int) error {
			return write(id, driver.IfAbsent, map[string]string{"principal": "ann"}, false)
		}},
		{"upsert", true, (*hand).put, func(id string, _ int) error { return write(id, driver.IfAny, nil, false) }},
		{"update", true, (*hand).set, func(id string, _ int) error { return write(id, driver.IfPresent, nil, true) }},
		{"touch", true, (*hand).move, func(id string, i int) error {
			_, err := store.Touch(ctx, drivertest.Now, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: later(i)})
			return err
		}},
		{"delete", true, (*hand).remove, func(id string, _ int) error {
			return store.Delete(ctx, drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent})
		}},
	} {
		b.Run(op.name, func(b *testing.B) {
			store = open(b, nil)
			h := newHand(sdkOf(store), store.table, value)
			id := func(side string, i int) string { return fmt.Sprintf("%s-%08d", side, i) }
			if op.seeded {
				for _, side := range []string{"hand", "again", "ours"} {
					for i := range floorOps * (ratio.Rounds + 1) {
						if err := h.put(ctx, id(side, i), i); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			ratio.Report(b, floorOps,
				ratio.Side{Name: "by-hand", Do: func(i int) error { return op.hand(h, ctx, id("hand", i), i) }},
				ratio.Side{Name: "again", Do: func(i int) error { return op.hand(h, ctx, id("again", i), i) }},
				ratio.Side{Name: "backend", Do: func(i int) error { return op.ours(id("ours", i), i) }})
		})
	}
}
