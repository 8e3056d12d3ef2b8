package dynamodb

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// odd is a client of a server that does something else than DynamoDB.
type odd struct {
	API
	put      func(*awsdynamodb.PutItemInput)
	update   func(*awsdynamodb.UpdateItemInput)
	remove   func(*awsdynamodb.DeleteItemInput)
	query    func(*awsdynamodb.QueryInput)
	get      func(*awsdynamodb.GetItemInput)
	transact func(*awsdynamodb.TransactWriteItemsInput) error
	describe func(*types.TableDescription)
	ttl      bool  // is forgotten
	noTTL    error // of the operations on it
}

func (o *odd) PutItem(ctx context.Context, in *awsdynamodb.PutItemInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.PutItemOutput, error) {
	if o.put != nil {
		o.put(in)
	}
	return o.API.PutItem(ctx, in, opts...)
}

func (o *odd) UpdateItem(ctx context.Context, in *awsdynamodb.UpdateItemInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateItemOutput, error) {
	if o.update != nil {
		o.update(in)
	}
	return o.API.UpdateItem(ctx, in, opts...)
}

func (o *odd) DeleteItem(ctx context.Context, in *awsdynamodb.DeleteItemInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.DeleteItemOutput, error) {
	if o.remove != nil {
		o.remove(in)
	}
	return o.API.DeleteItem(ctx, in, opts...)
}

func (o *odd) Query(ctx context.Context, in *awsdynamodb.QueryInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.QueryOutput, error) {
	if o.query != nil {
		o.query(in)
	}
	return o.API.Query(ctx, in, opts...)
}

func (o *odd) GetItem(ctx context.Context, in *awsdynamodb.GetItemInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.GetItemOutput, error) {
	if o.get != nil {
		o.get(in)
	}
	return o.API.GetItem(ctx, in, opts...)
}

func (o *odd) TransactWriteItems(ctx context.Context, in *awsdynamodb.TransactWriteItemsInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.TransactWriteItemsOutput, error) {
	if o.transact != nil {
		if err := o.transact(in); err != nil {
			return nil, err
		}
	}
	return o.API.TransactWriteItems(ctx, in, opts...)
}

func (o *odd) DescribeTable(ctx context.Context, in *awsdynamodb.DescribeTableInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTableOutput, error) {
	out, err := o.API.DescribeTable(ctx, in, opts...)
	if o.describe != nil && err == nil {
		o.describe(out.Table)
	}
	return out, err
}

func (o *odd) DescribeTimeToLive(ctx context.Context, in *awsdynamodb.DescribeTimeToLiveInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTimeToLiveOutput, error) {
	if o.noTTL != nil {
		return nil, o.noTTL
	}
	if o.ttl {
		return &awsdynamodb.DescribeTimeToLiveOutput{}, nil
	}
	return o.API.DescribeTimeToLive(ctx, in, opts...)
}

// codeError is the SDK's error of a server's refusal.
func codeError(code string) error {
	return &smithy.OperationError{ServiceID: "DynamoDB", Err: &smithy.GenericAPIError{Code: code, Message: "hunter2"}}
}

// TestCheck has a server as it must be, and servers that are not. The findings
// name what was seen, and the trials leave nothing. ScyllaDB Alternator has no
// transactions, and conditions that are not atomic with the write isolation
// unsafe_rmw: docs.scylladb.com/manual/stable/alternator/compatibility.html and
// new-apis.html.
func TestCheck(t *testing.T) {
	replicas := func(d *types.TableDescription) {
		d.Replicas = []types.ReplicaDescription{{RegionName: aws.String("eu-central-1")}}
	}
	tests := map[string]struct {
		server odd
		opts   Options
		name   string // of the finding
		level  driver.CheckLevel
		seen   string
		others bool // are found too
	}{
		"right": {},
		"conditions of creates ignored": {
			server: odd{put: func(in *awsdynamodb.PutItemInput) { in.ConditionExpression, in.ExpressionAttributeNames = nil, nil }},
			name:   "conditional creates", level: driver.CheckUnsafe, seen: "16 of 16",
		},
		"refusals without the item": {
			server: odd{put: func(in *awsdynamodb.PutItemInput) { in.ReturnValuesOnConditionCheckFailure = "" }},
			name:   "conditional creates", level: driver.CheckUnsafe, seen: "without the stored item",
		},
		"reads of old items": {
			server: odd{get: func(in *awsdynamodb.GetItemInput) { in.Key = itemKey("m#nothing", "x") }},
			name:   "conditional creates", level: driver.CheckUnsafe, seen: "another item", others: true,
		},
		"conditions of updates ignored": {
			server: odd{update: func(in *awsdynamodb.UpdateItemInput) {
				in.ConditionExpression = nil
				delete(in.ExpressionAttributeValues, ":known")
			}},
			name: "conditional updates", level: driver.CheckUnsafe, seen: "6 of 6",
		},
		"conditions of deletes ignored": {
			server: odd{remove: func(in *awsdynamodb.DeleteItemInput) {
				in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = nil, nil, nil
			}},
			name: "conditional deletes", level: driver.CheckUnsafe, seen: "at another revision",
		},
		"pages that begin anew": {
			server: odd{query: func(in *awsdynamodb.QueryInput) { in.ExclusiveStartKey = nil }},
			name:   "order of queries", level: driver.CheckUnsafe, seen: `"ab|ab|ab|"`,
		},
		"pages in another order": {
			server: odd{query: func(in *awsdynamodb.QueryInput) { in.ScanIndexForward = aws.Bool(false) }},
			name:   "order of queries", level: driver.CheckUnsafe, seen: `"cb|a|"`,
		},
		"no transactions": {
			server: odd{transact: func(*awsdynamodb.TransactWriteItemsInput) error { return codeError("UnknownOperationException") }},
			name:   "transactions", level: driver.CheckUnsafe, seen: "UnknownOperationException",
		},
		"no transactions and no labels": {
			server: odd{transact: func(*awsdynamodb.TransactWriteItemsInput) error { return codeError("UnknownOperationException") }},
			opts:   Options{Labels: []string{}},
		},
		"transactions that are denied": {
			server: odd{transact: func(*awsdynamodb.TransactWriteItemsInput) error { return codeError("AccessDeniedException") }},
			name:   "transactions", level: driver.CheckUnknown, seen: "AccessDeniedException",
		},
		"half transactions": {
			server: odd{transact: func(in *awsdynamodb.TransactWriteItemsInput) error {
				for i := range in.TransactItems {
					if p := in.TransactItems[i].Put; p != nil {
						p.ConditionExpression, p.ExpressionAttributeNames = nil, nil
					}
				}
				return nil
			}},
			name: "transactions", level: driver.CheckUnsafe, seen: "4 of 4",
		},
		"a forgotten TTL":                    {server: odd{ttl: true}, name: "TTL", level: driver.CheckWarning, seen: "no TTL"},
		"a server without TTL":               {server: odd{noTTL: codeError(codeNoOperation)}, name: "TTL", level: driver.CheckUnknown, seen: codeNoOperation},
		"no TTL is asked":                    {server: odd{ttl: true}, opts: Options{GraceTTL: -1}},
		"replicas":                           {server: odd{describe: replicas}, name: "replicas", level: driver.CheckUnsafe, seen: "eu-central-1"},
		"replicas that are allowed":          {server: odd{describe: replicas}, opts: Options{AllowReplicas: true}, name: "replicas", level: driver.CheckWarning, seen: "eu-central-1"},
		"strong consistency between regions": {server: odd{describe: func(d *types.TableDescription) { d.MultiRegionConsistency = types.MultiRegionConsistencyStrong }}, opts: Options{AllowReplicas: true}, name: "replicas", level: driver.CheckUnsafe, seen: "strong"},
		"an index without labels": {
			server: odd{describe: func(d *types.TableDescription) {
				d.GlobalSecondaryIndexes[0].Projection = &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}
			}},
			name: "index by expiry", level: driver.CheckWarning, seen: "does not contain labels",
		},
		"an index with little throughput": {
			server: odd{describe: func(d *types.TableDescription) {
				d.BillingModeSummary = nil
				d.ProvisionedThroughput = &types.ProvisionedThroughputDescription{WriteCapacityUnits: aws.Int64(100)}
				d.GlobalSecondaryIndexes[0].ProvisionedThroughput = &types.ProvisionedThroughputDescription{WriteCapacityUnits: aws.Int64(5)}
			}},
			name: "index by expiry", level: driver.CheckWarning, seen: "5 write units",
		},
		"another key": {
			server: odd{describe: func(d *types.TableDescription) {
				d.SSEDescription = &types.SSEDescription{KMSMasterKeyArn: aws.String("arn:aws:kms:r:1:key/other")}
			}},
			opts: Options{KMSKey: "mine"}, name: "encryption key", level: driver.CheckUnsafe, seen: "key/other",
		},
		"no key":                 {opts: Options{KMSKey: "alias/mine"}, name: "encryption key", level: driver.CheckUnsafe, seen: "AWS owns"},
		"no deletion protection": {server: odd{describe: func(d *types.TableDescription) { d.DeletionProtectionEnabled = nil }}, opts: Options{DeletionProtection: true}, name: "deletion protection", level: driver.CheckWarning, seen: "off"},
		"other partitions":       {opts: Options{Partitions: 64}, name: "partitions of the index by expiry", level: driver.CheckUnsafe, seen: "16"},
	}
	base := open(t, nil)
	drivertest.Seed(t, base, drivertest.Record("id", "", 0))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.server.API = sdkOf(base)
			b, err := New(&test.server, base.table, &test.opts)
			if err != nil {
				t.Fatal(err)
			}
			checks, err := b.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found := driver.Finding{}
			for _, one := range checks {
				if one.Level != driver.CheckRight && one.Name != test.name && !test.others {
					t.Errorf("found %+v too", one)
				}
				if one.Seen == "" || one.Need == "" || (one.Fix == "") != (one.Level == driver.CheckRight) || strings.Contains(one.Seen, "hunter2") {
					t.Errorf("%+v lacks a part", one)
				}
				if one.Name == test.name {
					found = one
				}
			}
			if found.Level != test.level || !strings.Contains(found.Seen, test.seen) {
				t.Errorf("found %+v, want the level %v and %q", found, test.level, test.seen)
			}
			if err := checks.Err(); (test.level == driver.CheckUnsafe) != errors.Is(err, model.ErrUnsupported) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if left := itemsOf(t, base); len(left) != 1 {
		t.Errorf("%d items are left: %v", len(left), left)
	}
}

// TestCheckOfNothing has no table, and a server that fails in the middle.
func TestCheckOfNothing(t *testing.T) {
	b, err := New(client(t), drivertest.Name(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Check(t.Context()); model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), b.table) {
		t.Errorf("without a table: %v", err)
	}
	base := open(t, nil)
	for _, code := range []string{"ThrottlingException", "InternalServerError"} {
		server := &odd{API: sdkOf(base), transact: func(*awsdynamodb.TransactWriteItemsInput) error { return codeError(code) }}
		if b, err = New(server, base.table, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Check(t.Context()); !errors.Is(err, model.ErrUnavailable) {
			t.Errorf("%s: %v", code, err)
		}
	}
	if err := base.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = base.Check(t.Context())
	drivertest.WantKind(t, err, model.ErrClosed)
}

// TestCreateStorageRefusesServers has a server without atomic conditions.
func TestCreateStorageRefusesServers(t *testing.T) {
	server := &odd{API: client(t), put: func(in *awsdynamodb.PutItemInput) { in.ConditionExpression, in.ExpressionAttributeNames = nil, nil }}
	b, err := New(server, drivertest.Name(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.DeleteStorage(context.WithoutCancel(t.Context())) })
	err = b.CreateStorage(t.Context())
	if model.Kind(err) != model.ErrUnsupported || !strings.Contains(err.Error(), "16 of 16 concurrent creates") {
		t.Errorf("created on such a server: %v", err)
	}
}

// TestCreateStorageWithoutTTL has a server that lacks the operations of the TTL.
func TestCreateStorageWithoutTTL(t *testing.T) {
	base := open(t, nil)
	b, err := New(&odd{API: sdkOf(base), noTTL: codeError(codeNoOperation)}, base.table, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestListingsOfOddServers has servers whose listings would have no end.
func TestListingsOfOddServers(t *testing.T) {
	base := open(t, nil)
	for _, id := range []string{"a", "b", "c"} {
		drivertest.Seed(t, base, drivertest.Record(id, "ann", 0))
	}
	for name, query := range map[string]func(*awsdynamodb.QueryInput){
		"begins anew": func(in *awsdynamodb.QueryInput) { in.ExclusiveStartKey = nil },
		"backwards":   func(in *awsdynamodb.QueryInput) { in.ScanIndexForward = aws.Bool(false) },
	} {
		b, err := New(&odd{API: sdkOf(base), query: query}, base.table, nil)
		if err != nil {
			t.Fatal(err)
		}
		q := driver.Query{Label: "principal", Value: "ann", Limit: 2}
		for range 3 {
			var p driver.Page
			if p, err = b.Page(t.Context(), drivertest.Now, q); err != nil || p.Next == "" {
				break
			}
			q.After = p.Next
		}
		if !errors.Is(err, model.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPartitions has a number of partitions that is fixed at CreateStorage.
func TestPartitions(t *testing.T) {
	b := open(t, &Options{Partitions: 40})
	ctx := t.Context()
	var due []string
	for i := range 200 {
		r := drivertest.Record(crowdID(i), "", 0)
		r.ExpiresAt = drivertest.Now.Add(1e9)
		drivertest.Seed(t, b, r)
		d, _ := stringOf(itemOf(t, b, recordKey(r.ID))[attrDue])
		if !slices.Contains(due, d) {
			due = append(due, d)
		}
	}
	if len(due) < 30 {
		t.Errorf("the records are in %d partitions", len(due))
	}
	if err := b.CreateStorage(ctx); err != nil {
		t.Error(err)
	}
	for _, n := range []int{16, 41} {
		other, err := New(sdkOf(b), b.table, &Options{Partitions: n})
		if err != nil {
			t.Fatal(err)
		}
		if err := other.CreateStorage(ctx); !errors.Is(err, model.ErrUnsupported) || !strings.Contains(err.Error(), "set Options.Partitions to 40") {
			t.Errorf("%d partitions: %v", n, err)
		}
	}
	wantSwept(t, b, 1e9, 200)
	if err := b.DeleteStorage(ctx); err != nil {
		t.Error(err)
	}
}
