package dynamodb

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// API is what a Backend uses of a client. *dynamodb.Client of the SDK has it,
// and so do clients that measure or trace around it. A client must use the
// options of each call: they keep it from sending a write twice. A client with
// DescribeGlobalTable, as the SDK's has it, also tells Check about global tables
// of version 2017.11.29.
type API interface {
	GetItem(context.Context, *awsdynamodb.GetItemInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *awsdynamodb.BatchGetItemInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.BatchGetItemOutput, error)
	PutItem(context.Context, *awsdynamodb.PutItemInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *awsdynamodb.UpdateItemInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *awsdynamodb.DeleteItemInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.DeleteItemOutput, error)
	TransactWriteItems(context.Context, *awsdynamodb.TransactWriteItemsInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.TransactWriteItemsOutput, error)
	Query(context.Context, *awsdynamodb.QueryInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.QueryOutput, error)
	Scan(context.Context, *awsdynamodb.ScanInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.ScanOutput, error)

	CreateTable(context.Context, *awsdynamodb.CreateTableInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.CreateTableOutput, error)
	DescribeTable(context.Context, *awsdynamodb.DescribeTableInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTableOutput, error)
	UpdateTable(context.Context, *awsdynamodb.UpdateTableInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateTableOutput, error)
	DeleteTable(context.Context, *awsdynamodb.DeleteTableInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.DeleteTableOutput, error)
	DescribeTimeToLive(context.Context, *awsdynamodb.DescribeTimeToLiveInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTimeToLiveOutput, error)
	UpdateTimeToLive(context.Context, *awsdynamodb.UpdateTimeToLiveInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateTimeToLiveOutput, error)
	DescribeContinuousBackups(context.Context, *awsdynamodb.DescribeContinuousBackupsInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeContinuousBackupsOutput, error)
	UpdateContinuousBackups(context.Context, *awsdynamodb.UpdateContinuousBackupsInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateContinuousBackupsOutput, error)
}

// Backend keeps records in a DynamoDB table. It is safe for concurrent use.
// New makes one; the zero value is not usable.
type Backend struct {
	gate       *driverkit.Gate
	client     API
	given      API    // what New was given
	table      string // its name or ARN
	opts       Options
	grace      int64  // milliseconds; negative: the table has no TTL
	shards     int    // of the index by expiry
	texts      string // see textLabels
	labelNames map[string]string
	firstShard atomic.Uint32 // the shard with which the last sweep began
	keepsStale atomic.Bool   // the permission to remove label items is missing
	tried      atomic.Bool   // CreateStorage has tried the server
	pause      func(context.Context, time.Duration) error
	contended  func(ctx context.Context, attempt int) error // pauses before a contended write is sent again
	watch      func() time.Duration                         // the stopwatch of waits; nil: the system's
	patience   time.Duration                                // how long a change to the table is waited for
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
	_ driver.Checker            = (*Backend)(nil)
)

const backendName = "dynamodb"

// New returns a Backend whose store is the given table in the client's region
// and account, or the table with the given ARN. The table must not be used for
// anything else. Close leaves the client open. Nil options mean the defaults.
//
// New does no I/O: CreateStorage creates the table. New returns ErrInvalid if
// the client is nil, or if DynamoDB does not allow the table's name, or for an
// invalid option.
func New(client API, table string, opts *Options) (*Backend, error) {
	sdk, ok := client.(*awsdynamodb.Client)
	if client == nil || ok && sdk == nil {
		return nil, driverkit.NewError(backendName, model.NewError(model.ErrInvalid, "the client is nil", nil))
	}
	if err := checkTable(table); err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	desc := driver.Description{Backend: backendName, Labels: o.Labels, MaxValue: maxItem - headSize(o.Labels, o.Partitions)}
	b := &Backend{
		gate: driverkit.NewGate(desc, tableName(table)), client: client, given: client, table: table, opts: o,
		grace: o.GraceTTL.Milliseconds(), shards: o.Partitions, pause: driverkit.Wait, contended: driverkit.Pause, patience: maxWait,
	}
	b.texts, b.labelNames = textLabels(b.gate.Labels())
	if o.GraceTTL < 0 {
		b.grace = -1
	}
	if ok {
		b.client = withoutNoise(sdk)
	}
	return b, nil
}

// Describe returns the backend's name, its declared labels and the size of its
// largest value. It does no I/O.
func (b *Backend) Describe() driver.Description { return b.gate.Describe() }

// Close makes every other method except Describe return ErrClosed. It leaves a
// client that was passed to New open, and closes the connections of one that
// was created from a URL. It returns nil.
func (b *Backend) Close() error { return b.gate.Close() }

// Client returns the client that the backend uses: the one that New was given,
// or the *dynamodb.Client of the SDK that the backend opened from a URL. Close
// closes the connections of the latter.
func (b *Backend) Client() API { return b.given }

// Ping returns nil if the table answers. It reads an item with a key that no
// record has, and needs only the permission of Get. It returns ErrUnavailable
// if the table does not exist.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	_, err := b.client.GetItem(ctx, &awsdynamodb.GetItemInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), Key: itemKey("ping", "ping"),
	})
	if err != nil {
		return b.readError(ctx, err)
	}
	return nil
}
