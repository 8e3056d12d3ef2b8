package dynamodb

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// order returns an item of another program, which keeps its own time in ttl.
func order() attributes {
	it := itemKey("order#1", "head")
	it["total"], it[attrTTL] = number(12), number(1)
	return it
}

// everything returns the table's definition, TTL and items as text.
func everything(t testing.TB, b *Backend) string {
	t.Helper()
	table, err := b.describe(t.Context())
	if err != nil || table == nil {
		t.Fatal(table, err)
	}
	name, err := b.ttlAttribute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal([]any{table.KeySchema, len(table.GlobalSecondaryIndexes), len(table.LocalSecondaryIndexes), name, itemsOf(t, b)})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestForeignTables has tables of other programs with the store's keys:
// CreateStorage and DeleteStorage name what they found and change nothing.
func TestForeignTables(t *testing.T) {
	enable := func(t *testing.T, b *Backend, attribute string) {
		t.Helper()
		_, err := b.client.UpdateTimeToLive(t.Context(), &awsdynamodb.UpdateTimeToLiveInput{
			TableName:               &b.table,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &attribute, Enabled: aws.Bool(true)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		change          func(*awsdynamodb.CreateTableInput)
		prepare         func(*testing.T, *Backend)
		created, remove string // what the two errors name
	}{
		"items": {withoutIndex, func(t *testing.T, b *Backend) {
			t.Helper()
			putItem(t, sdkOf(b), b.table, order())
		}, `"total"`, `"total"`},
		"items and their TTL": {withoutIndex, func(t *testing.T, b *Backend) {
			t.Helper()
			putItem(t, sdkOf(b), b.table, order())
			enable(t, b, attrTTL)
		}, `"total"`, `"total"`},
		"a TTL by another attribute": {withoutIndex, func(t *testing.T, b *Backend) {
			t.Helper()
			putItem(t, sdkOf(b), b.table, order())
			enable(t, b, "deleteAt")
		}, "deleteAt", `"total"`},
		"an index with our name": {func(in *awsdynamodb.CreateTableInput) {
			in.GlobalSecondaryIndexes[0].KeySchema = keySchema(attrSK, attrExpires)
			in.AttributeDefinitions = append(in.AttributeDefinitions[:2:2], in.AttributeDefinitions[3])
		}, func(*testing.T, *Backend) {}, "StoragePlan", "StoragePlan"},
	} {
		t.Run(name, func(t *testing.T) {
			b := createTable(t, client(t), test.change)
			test.prepare(t, b)
			before := everything(t, b)
			drivertest.WantForeign(t, b.CreateStorage(t.Context()), test.created)
			drivertest.WantForeign(t, b.DeleteStorage(t.Context()), test.remove)
			if after := everything(t, b); after != before {
				t.Fatalf("%s became\n%s", before, after)
			}
		})
	}
}

// TestSharedTable has another program that writes to the store's table:
// DeleteStorage removes the records, the TTL and the index, and keeps the rest.
func TestSharedTable(t *testing.T) {
	b, ctx := open(t, nil), t.Context()
	drivertest.Seed(t, b, drivertest.Record("a", "ann", time.Hour), drivertest.Record("b", "", 0))
	putItem(t, sdkOf(b), b.table, order())
	drivertest.WantForeign(t, b.CreateStorage(ctx), `"total"`)
	for range 2 {
		drivertest.WantForeign(t, b.DeleteStorage(ctx), `"total"`)
		table, err := b.describe(ctx)
		if err != nil || table == nil || hasIndex(table) {
			t.Fatalf("the table %+v, %v", table, err)
		}
		if name, err := b.ttlAttribute(ctx); name != "" || err != nil {
			t.Fatalf("the TTL is by %q, %v", name, err)
		}
		if left := itemsOf(t, b); len(left) != 1 || left[0]["total"] == nil {
			t.Fatalf("left %+v", left)
		}
	}
}

// TestUserIndex has an index that the user added, which stays with the table.
func TestUserIndex(t *testing.T) {
	b := createTable(t, client(t), func(in *awsdynamodb.CreateTableInput) {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: aws.String("encoding"), AttributeType: types.ScalarAttributeTypeS,
		})
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: aws.String("theirs"), KeySchema: keySchema("encoding", attrSK),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		})
	})
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	drivertest.Seed(t, b, drivertest.Record("a", "ann", time.Hour))
	drivertest.WantForeign(t, b.DeleteStorage(t.Context()), "theirs")
	noItems(t, b)
	if table, err := b.describe(t.Context()); err != nil || otherIndex(table) == "" || hasIndex(table) {
		t.Fatal(table, err)
	}
}

// TestFinalStates has tables in states that they do not leave: the call ends.
func TestFinalStates(t *testing.T) {
	for _, state := range finalStates {
		b, _ := fake(t, answer{status: 200, body: `{"Table":{"TableName":"t","TableStatus":"` + string(state) + `"}}`})
		for call, err := range map[string]error{"create": b.CreateStorage(t.Context()), "delete": b.DeleteStorage(t.Context())} {
			if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), string(state)) {
				t.Errorf("%s, %s: %v", state, call, err)
			}
		}
	}
}
