package dynamodb

import (
	"context"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records in a DynamoDB table. It is safe for concurrent use.
// New makes one; the zero value is not usable.
type Backend struct {
	gate       *driverkit.Gate
	client     *awsdynamodb.Client
	table      string
	grace      int64 // milliseconds; negative: the table has no TTL
	queryable  bool
	firstShard atomic.Uint32 // the shard with which the last sweep began
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
)

const backendName = "dynamodb"

// New returns a Backend whose store is the given table in the client's region
// and account. The table must not be used for anything else. Close leaves the
// client open. Nil options mean the defaults.
//
// New does no I/O: CreateStorage creates the table. New returns ErrInvalid if
// the client is nil, or if DynamoDB does not allow the table's name, or for an
// invalid option.
func New(client *awsdynamodb.Client, table string, opts *Options) (*Backend, error) {
	if client == nil {
		return nil, driverkit.NewError(backendName, model.NewError(model.ErrInvalid, "the client is nil", nil))
	}
	if err := checkTable(table); err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	desc := driver.Description{Backend: backendName, Labels: o.Labels, MaxValue: maxItem - headSize(o.Labels)}
	b := &Backend{
		gate: driverkit.NewGate(desc, table), client: client, table: table,
		grace: o.GraceTTL.Milliseconds(), queryable: o.Queryable,
	}
	if o.GraceTTL < 0 {
		b.grace = -1
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

// sendOnce carries out one write. The option that do gets turns off the SDK's
// resending and records whether the request left the process. A write that
// DynamoDB refused because of another transaction is sent again after a pause.
// A failed condition is part of the outcome and not an error.
func (b *Backend) sendOnce(ctx context.Context, do func(context.Context, func(*awsdynamodb.Options)) error) (outcome, error) {
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return outcome{}, err
		}
		m := &internalaws.Mark{}
		err := do(m.Trace(ctx), writeOptions(m))
		if err == nil {
			return outcome{}, nil
		}
		switch out := outcomeOf(err); {
		case out.failed:
			return out, nil
		case out.busy && attempt+1 < busyAttempts:
			if err := driverkit.Pause(ctx, attempt); err != nil {
				return outcome{}, err
			}
			continue
		}
		if cancelled := cancelledError(err); cancelled != nil {
			return outcome{}, cancelled
		}
		return outcome{}, b.writeError(ctx, err, !m.Unsent(err))
	}
}

// busyAttempts limits how often a write is sent while other transactions hold
// its items. All attempts together take about two seconds.
const busyAttempts = 40

// writeOptions returns the option of a call that writes.
func writeOptions(m *internalaws.Mark) func(*awsdynamodb.Options) {
	return func(o *awsdynamodb.Options) {
		o.Retryer = internalaws.Retryer{Retryer: o.Retryer, Refused: refused}
		o.APIOptions = append(o.APIOptions, m.Watch)
	}
}

// parallelism is the maximum number of requests that one call sends
// concurrently.
const parallelism = 16
