package dynamodb

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/sojourn-go/sojourn/expiry/driver"
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
		wantOnlyOrder(t, b)
	}
}

// wantOnlyOrder fails the test unless the table has only the item of another
// program, and neither the index nor the TTL.
func wantOnlyOrder(t testing.TB, b *Backend) {
	t.Helper()
	table, err := b.describe(t.Context())
	if err != nil || table == nil || hasIndex(table) {
		t.Fatalf("the table %+v, %v", table, err)
	}
	if name, err := b.ttlAttribute(t.Context()); name != "" || err != nil {
		t.Fatalf("the TTL is by %q, %v", name, err)
	}
	out, err := b.client.Scan(t.Context(), &awsdynamodb.ScanInput{TableName: &b.table})
	if err != nil || len(out.Items) != 1 || out.Items[0]["total"] == nil {
		t.Fatalf("left %+v, %v", out, err)
	}
}

// putsOff is a client of a server that refuses to change the TTL.
type putsOff struct {
	API
	err error
}

func (c *putsOff) UpdateTimeToLive(ctx context.Context, in *awsdynamodb.UpdateTimeToLiveInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateTimeToLiveOutput, error) {
	if c.err != nil {
		return nil, c.err
	}
	return c.API.UpdateTimeToLive(ctx, in, opts...)
}

// invalid is a refusal with ValidationException and a text.
func invalid(text string) error {
	return &smithy.OperationError{ServiceID: "DynamoDB", Err: &smithy.GenericAPIError{Code: codeValidation, Message: text}}
}

// TestTTLChangedLately has a TTL that was changed within the last hour, as
// github.com/aws/aws-cdk/pull/13720 saw it. DeleteStorage of a shared table
// removes the records, and says that the TTL and the index are left. A call after
// the hour removes these. CreateStorage leaves the TTL to a later call, and Check
// says so. Any other refusal is an error, before a record is removed.
func TestTTLChangedLately(t *testing.T) {
	base, ctx := open(t, nil), t.Context()
	server := &putsOff{API: sdkOf(base)}
	b, err := New(server, base.table, nil)
	if err != nil {
		t.Fatal(err)
	}
	drivertest.Seed(t, b, drivertest.Record("a", "ann", time.Hour), drivertest.Record("b", "", 0))
	putItem(t, sdkOf(base), b.table, order())

	server.err = invalid("TimeToLive is active on a different AttributeName: current AttributeName is other")
	drivertest.WantKind(t, b.DeleteStorage(ctx), model.ErrUnavailable)
	wantBearers(t, b, "a")
	lately := invalid("Time to live has been modified multiple times within a fixed interval")
	server.err = lately
	for range 2 {
		err := b.DeleteStorage(ctx)
		drivertest.WantForeign(t, err, `"total"`)
		if !strings.Contains(err.Error(), "the TTL by ttl and the index due are left") || !strings.Contains(err.Error(), "once in an hour") {
			t.Errorf("it says: %v", err)
		}
		if left := itemsOf(t, base); len(left) != 1 || left[0]["total"] == nil {
			t.Fatalf("left %+v", left)
		}
	}
	server.err = nil
	drivertest.WantForeign(t, b.DeleteStorage(ctx), `"total"`)
	wantOnlyOrder(t, b)

	if b, err = New(server, drivertest.Name(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.DeleteStorage(context.WithoutCancel(ctx)) })
	ttl := func() driver.CheckLevel {
		checks, err := b.Check(ctx)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(checks, func(f driver.Finding) bool { return f.Name == "TTL" })
		return checks[i].Level
	}
	server.err = invalid("hunter2")
	drivertest.WantKind(t, b.CreateStorage(ctx), model.ErrUnavailable)
	server.err = lately
	if err := b.CreateStorage(ctx); err != nil || ttl() != driver.CheckWarning {
		t.Errorf("a TTL that cannot be enabled for now: %v, %v", ttl(), err)
	}
	server.err = nil
	if err := b.CreateStorage(ctx); err != nil || ttl() != driver.CheckRight {
		t.Errorf("after an hour: %v, %v", ttl(), err)
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
