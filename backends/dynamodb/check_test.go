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
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
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
	global   func() (*types.GlobalTableDescription, error) // of version 2017
	ttl      bool                                          // is forgotten
	noTTL    error                                         // of the operations on it
}

func (o *odd) DescribeGlobalTable(_ context.Context, in *awsdynamodb.DescribeGlobalTableInput, _ ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeGlobalTableOutput, error) {
	if o.global == nil {
		return nil, codeError("GlobalTableNotFoundException")
	}
	table, err := o.global()
	if table != nil {
		table.GlobalTableName = in.GlobalTableName
	}
	return &awsdynamodb.DescribeGlobalTableOutput{GlobalTableDescription: table}, err
}

// changesRequests reports whether the trials of a check can find something.
func (o *odd) changesRequests() bool {
	return o.put != nil || o.update != nil || o.remove != nil || o.query != nil || o.get != nil || o.transact != nil
}

// streaming is the description of a table with the stream that a global table of
// version 2017.11.29 needs.
func streaming(d *types.TableDescription) {
	d.TableArn = aws.String("arn:aws:dynamodb:eu-west-1:123456789012:table/carts")
	d.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages}
}

// inRegions answers DescribeGlobalTable.
func inRegions(regions ...string) func() (*types.GlobalTableDescription, error) {
	return func() (*types.GlobalTableDescription, error) {
		d := &types.GlobalTableDescription{}
		for _, r := range regions {
			d.ReplicationGroup = append(d.ReplicationGroup, types.ReplicaDescription{RegionName: aws.String(r)})
		}
		return d, nil
	}
}

// encrypted is the description of a table with a key of KMS.
func encrypted(d *types.TableDescription) {
	d.SSEDescription = &types.SSEDescription{KMSMasterKeyArn: aws.String("arn:aws:kms:eu-west-1:123456789012:key/1")}
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
		"replicas of version 2017": {
			server: odd{describe: streaming, global: inRegions("eu-west-1", "us-east-1")},
			name:   "replicas", level: driver.CheckUnsafe, seen: "version 2017.11.29 with replicas in us-east-1",
		},
		"replicas of version 2017 that are allowed": {
			server: odd{describe: streaming, global: inRegions("eu-west-1", "us-east-1")}, opts: Options{AllowReplicas: true},
			name: "replicas", level: driver.CheckWarning, seen: "us-east-1",
		},
		"a version that the server names": {
			server: odd{describe: func(d *types.TableDescription) {
				streaming(d)
				d.GlobalTableVersion, d.StreamSpecification = aws.String(version2017), nil
			}, global: inRegions("eu-west-1", "us-east-1")},
			name: "replicas", level: driver.CheckUnsafe, seen: "us-east-1",
		},
		"a version that the server only names": {
			server: odd{describe: func(d *types.TableDescription) { d.GlobalTableVersion = aws.String(version2017) }},
			name:   "replicas", level: driver.CheckUnknown, seen: "another account",
		},
		"one region of version 2017":             {server: odd{describe: streaming, global: inRegions("eu-west-1")}},
		"other regions with a table of the name": {server: odd{describe: streaming, global: inRegions("us-east-1", "us-west-2")}},
		"a stream of another program":            {server: odd{describe: streaming}},
		"no stream":                              {server: odd{global: inRegions("eu-west-1", "us-east-1")}},
		"a server without global tables":         {server: odd{describe: streaming, global: func() (*types.GlobalTableDescription, error) { return nil, codeError(codeNoOperation) }}},
		"global tables that are denied": {
			server: odd{describe: streaming, global: func() (*types.GlobalTableDescription, error) { return nil, codeError(codeDenied) }},
			name:   "replicas", level: driver.CheckUnknown, seen: codeDenied,
		},
		"an alias of a key": {server: odd{describe: encrypted}, opts: Options{KMSKey: "alias/mine"}, name: "encryption key", level: driver.CheckUnknown, seen: "key/1"},
		"an alias by its ARN": {
			server: odd{describe: encrypted}, opts: Options{KMSKey: "arn:aws:kms:eu-west-1:123456789012:alias/mine"},
			name: "encryption key", level: driver.CheckUnknown, seen: "key/1",
		},
		"an alias of another account": {
			server: odd{describe: encrypted}, opts: Options{KMSKey: "arn:aws:kms:eu-west-1:210987654321:alias/mine"},
			name: "encryption key", level: driver.CheckUnsafe, seen: "key/1",
		},
		"the key by its ARN":     {server: odd{describe: encrypted}, opts: Options{KMSKey: "arn:aws:kms:eu-west-1:123456789012:key/1"}},
		"the key by its id":      {server: odd{describe: encrypted}, opts: Options{KMSKey: "1"}},
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
			look := b.Check
			if name != "right" && !test.server.changesRequests() {
				look = func(ctx context.Context) (driver.Checks, error) { return b.settled(ctx, &driverkit.Clock{}) } // Check without the trials, which have nothing to find
			}
			checks, err := look(t.Context())
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

// TestUnknownGlobalTables has a table that may be a global one, and a client or
// an account that cannot tell. Any other failure is an error.
func TestUnknownGlobalTables(t *testing.T) {
	t.Parallel()
	table := &types.TableDescription{}
	streaming(table)
	for _, test := range []struct {
		client API
		table  string
		seen   string
	}{
		{struct{ API }{}, "carts", "client without DescribeGlobalTable"},
		{&odd{}, "arn:aws:dynamodb:eu-west-1:123456789012:table/carts", "another account"},
		{&odd{global: func() (*types.GlobalTableDescription, error) { return nil, nil }}, "carts", "does not describe"}, //nolint:nilnil // such a server
	} {
		b, err := New(test.client, test.table, nil)
		if err != nil {
			t.Fatal(err)
		}
		checks, err := b.replicated(t.Context(), table)
		if err != nil || len(checks) != 1 || checks[0].Level != driver.CheckUnknown || !strings.Contains(checks[0].Seen, test.seen) {
			t.Errorf("%s: %+v, %v", test.seen, checks, err)
		}
	}
	b, err := New(&odd{global: func() (*types.GlobalTableDescription, error) { return nil, codeError("InternalServerError") }}, "carts", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.replicated(t.Context(), table)
	drivertest.WantKind(t, err, model.ErrUnavailable)
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
	load(t, b, 200, func(i int) model.Record {
		r := drivertest.Record(crowdID(i), "", 0)
		r.ExpiresAt = drivertest.Now.Add(1e9)
		return r
	})
	for _, it := range itemsOf(t, b) {
		if d, ok := stringOf(it[attrDue]); ok && !slices.Contains(due, d) {
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
