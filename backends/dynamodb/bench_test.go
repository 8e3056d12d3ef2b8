package dynamodb

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/tests/ratio"
	"github.com/sojourn-go/sojourn/model"
)

func BenchmarkConformance(b *testing.B) { conformance.Benchmarks(b, harness(b)) }

// floorOps is how many calls of each side are in a round.
const floorOps = 10

// hand makes by hand the requests that the backend makes: what they say about
// conditions is written once, before the time is taken.
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

func (h *hand) millis(t time.Time) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(t.UnixMilli(), 10)}
}

func (h *hand) seconds(t time.Time) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(t.Add(time.Hour).Unix()+1, 10)}
}

func (h *hand) text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// key is that of a record.
func (h *hand) key(id string) map[string]types.AttributeValue { return recordKey(id) }

// item is a record with an expiry and, where it is asked for, a label.
func (h *hand) item(id string, labelled bool) map[string]types.AttributeValue {
	rev := model.NewRevision()
	labels := map[string]types.AttributeValue{}
	if labelled {
		labels["principal"] = h.text("ann")
	}
	at := testNow.Add(time.Hour)
	item := h.key(id)
	item[attrFormat] = &types.AttributeValueMemberN{Value: "1"}
	item[attrRevision] = &types.AttributeValueMemberB{Value: rev[:]}
	item[attrLabels] = &types.AttributeValueMemberM{Value: labels}
	item[attrEncoding], item[attrValue] = h.text("json"), h.text(h.value)
	item[attrExpires], item[attrTTL], item[attrDue] = h.millis(at), h.seconds(at), h.text("0")
	return item
}

// values are those of an expression that asks for a record of this format.
func (h *hand) values(more ...any) map[string]types.AttributeValue {
	values := map[string]types.AttributeValue{
		":format": constant(":format"), ":B": constant(":B"), ":M": constant(":M"), ":S": constant(":S"),
	}
	for i := 0; i < len(more); i += 2 {
		values[more[i].(string)] = more[i+1].(types.AttributeValue)
	}
	return values
}

func (h *hand) labels(value string) types.AttributeValue {
	m := map[string]types.AttributeValue{}
	if value != "" {
		m["principal"] = h.text(value)
	}
	return &types.AttributeValueMemberM{Value: m}
}

func (h *hand) get(ctx context.Context, id string) error {
	_, err := h.c.GetItem(ctx, &awsdynamodb.GetItemInput{TableName: &h.table, ConsistentRead: aws.Bool(true), Key: h.key(id)})
	return err
}

func (h *hand) put(ctx context.Context, id string) error {
	_, err := h.c.PutItem(ctx, &awsdynamodb.PutItemInput{
		TableName: &h.table, Item: h.item(id, false), ConditionExpression: &h.upsert,
		ExpressionAttributeNames: h.names[h.upsert], ExpressionAttributeValues: h.values(":new", h.labels("")),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	return err
}

func (h *hand) create(ctx context.Context, id string) error {
	_, err := h.c.TransactWriteItems(ctx, &awsdynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{
			TableName: &h.table, Item: h.item(id, true), ConditionExpression: &h.absent,
			ExpressionAttributeNames: h.names[h.absent], ExpressionAttributeValues: h.values(":now", h.millis(testNow), ":new", h.labels("ann"), ":old", h.labels("")),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}},
		{Put: &types.Put{TableName: &h.table, Item: labelKey("principal", "ann", id)}},
	}})
	return err
}

func (h *hand) change(ctx context.Context, id, expression string, values map[string]types.AttributeValue) error {
	_, err := h.c.UpdateItem(ctx, &awsdynamodb.UpdateItemInput{
		TableName: &h.table, Key: h.key(id), UpdateExpression: &expression, ConditionExpression: &h.live,
		ExpressionAttributeNames: h.names[h.live+expression], ExpressionAttributeValues: values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	return err
}

func (h *hand) set(ctx context.Context, id string) error {
	rev := model.NewRevision()
	return h.change(ctx, id, h.update, h.values(":now", h.millis(testNow),
		":setrevision", &types.AttributeValueMemberB{Value: rev[:]}, ":setencoding", h.text("json"), ":setvalue", h.text(h.value)))
}

func (h *hand) move(ctx context.Context, id string, at time.Time) error {
	return h.change(ctx, id, h.touch, h.values(":now", h.millis(testNow), ":setexpires", h.millis(at), ":setttl", h.seconds(at), ":setdue", h.text("0")))
}

func (h *hand) remove(ctx context.Context, id string) error {
	_, err := h.c.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{
		TableName: &h.table, Key: h.key(id), ConditionExpression: &h.gone,
		ExpressionAttributeNames: h.names[h.gone], ExpressionAttributeValues: h.values(":now", h.millis(testNow), ":old", h.labels("")),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	return err
}

// BenchmarkFloor compares each operation with the same request written by hand:
// one client, a record of 1 KB with an expiry; the create has a label too.
func BenchmarkFloor(b *testing.B) {
	ctx := context.Background()
	value := strings.Repeat("v", 1<<10)
	var store *Backend
	write := func(id string, c driver.Condition, labels map[string]string, keep bool) error {
		rec := model.Record{ID: id, Revision: model.NewRevision(), ExpiresAt: testNow.Add(time.Hour), Labels: labels, Encoding: "json", Value: []byte(value)}
		_, err := store.Write(ctx, testNow, driver.Write{Record: rec, Cond: c, Keep: driver.Keep{Expiry: keep, Labels: keep}})
		return err
	}
	later := func(i int) time.Time { return testNow.Add(time.Hour + time.Duration(i)*time.Second) }
	for _, op := range []struct {
		name   string
		seeded bool // the records are there before
		hand   func(h *hand, id string, i int) error
		ours   func(id string, i int) error
	}{
		{
			"get", true, func(h *hand, id string, _ int) error { return h.get(ctx, id) },
			func(id string, _ int) error { _, err := store.Get(ctx, testNow, driver.Get{ID: id}); return err },
		},
		{
			"create-labelled", false, func(h *hand, id string, _ int) error { return h.create(ctx, id) },
			func(id string, _ int) error {
				return write(id, driver.IfAbsent, map[string]string{"principal": "ann"}, false)
			},
		},
		{
			"upsert", true, func(h *hand, id string, _ int) error { return h.put(ctx, id) },
			func(id string, _ int) error { return write(id, driver.IfAny, nil, false) },
		},
		{
			"update", true, func(h *hand, id string, _ int) error { return h.set(ctx, id) },
			func(id string, _ int) error { return write(id, driver.IfPresent, nil, true) },
		},
		{
			"touch", true, func(h *hand, id string, i int) error { return h.move(ctx, id, later(i)) },
			func(id string, i int) error {
				_, err := store.Touch(ctx, testNow, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: later(i)})
				return err
			},
		},
		{
			"delete", true, func(h *hand, id string, _ int) error { return h.remove(ctx, id) },
			func(id string, _ int) error {
				return store.Delete(ctx, testNow, driver.Delete{ID: id, Cond: driver.IfPresent})
			},
		},
	} {
		b.Run(op.name, func(b *testing.B) {
			store = open(b, nil)
			h := newHand(store.client, store.table, value)
			id := func(side string, i int) string { return fmt.Sprintf("%s-%08d", side, i) }
			if op.seeded {
				for _, side := range []string{"hand", "again", "ours"} {
					for i := range floorOps * (ratio.Rounds + 1) {
						if err := h.put(ctx, id(side, i)); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			ratio.Report(b, floorOps,
				ratio.Side{Name: "by-hand", Do: func(i int) error { return op.hand(h, id("hand", i), i) }},
				ratio.Side{Name: "again", Do: func(i int) error { return op.hand(h, id("again", i), i) }},
				ratio.Side{Name: "backend", Do: func(i int) error { return op.ours(id("ours", i), i) }})
		})
	}
}
