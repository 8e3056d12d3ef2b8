package dynamodb

import (
	"context"
	"io"
	"slices"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records in a DynamoDB table. It is safe for concurrent use; its
// zero value is not usable, New makes one.
type Backend struct {
	client    *awsdynamodb.Client
	table     string
	labels    []string
	grace     int64 // ms; negative: DynamoDB reaps nothing
	maxValue  int
	queryable bool
	turn      atomic.Uint32 // the shard with which the next sweep begins
	closed    atomic.Bool
	owned     io.Closer // the client's connections, where the backend made it
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
)

// New returns a Backend for the store in that table of the client's region and
// account; the client stays the caller's own. It does no I/O: CreateStorage
// makes the table. The table is the store's alone. Nil options are the
// defaults.
//
// ErrInvalid for a name that no table can have, an illegal option, or no
// client.
func New(client *awsdynamodb.Client, table string, opts *Options) (*Backend, error) {
	fail := func(err error) (*Backend, error) {
		return nil, &model.Error{Op: "New", Backend: backendName, Err: err}
	}
	if client == nil {
		return fail(model.NewError(model.ErrInvalid, "no client", nil))
	}
	if err := checkTable(table); err != nil {
		return fail(err)
	}
	o, err := opts.withDefaults()
	if err != nil {
		return fail(err)
	}
	b := &Backend{
		client: client, table: table, labels: o.Labels, queryable: o.Queryable,
		grace: o.GraceTTL.Milliseconds(), maxValue: maxItem - headSize(o.Labels),
	}
	if o.GraceTTL < 0 {
		b.grace = -1
	}
	return b, nil
}

const backendName = "dynamodb"

// Describe returns what the backend is. It does no I/O.
func (b *Backend) Describe() driver.Description {
	return driver.Description{Backend: backendName, Labels: slices.Clone(b.labels), MaxValue: b.maxValue}
}

// Ping reads an item that cannot be there: it needs no permission that Get does
// not, and fails where the table is missing.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	_, err := b.client.GetItem(ctx, &awsdynamodb.GetItemInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), Key: itemKey("ping", "ping"),
	})
	if err != nil {
		return b.readFault(ctx, err)
	}
	return nil
}

// Close makes every other method but Describe return ErrClosed. The client is
// the caller's own; where it was made of a URL, its connections are closed.
func (b *Backend) Close() error {
	if b.closed.Swap(true) || b.owned == nil {
		return nil
	}
	return b.owned.Close()
}

// enter is what every method checks before it sends anything.
func (b *Backend) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.closed.Load() {
		return model.ErrClosed
	}
	return nil
}

// once makes one write: do sends it with the option that it is given, which
// turns off the SDK's resending and marks how far the request came. Where other
// transactions hold the record, DynamoDB has refused the write, and it is sent
// again after a pause. A failed condition is no error but a verdict.
func (b *Backend) once(ctx context.Context, do func(context.Context, func(*awsdynamodb.Options)) error) (verdict, error) {
	for attempt := 0; ; attempt++ {
		m := &internalaws.Mark{}
		err := do(m.Trace(ctx), sentOnce(m))
		if err == nil {
			return verdict{}, nil
		}
		switch v := verdictOf(err); {
		case v.failed:
			return v, nil
		case v.again && attempt+1 < conflictAttempts:
			if err := driverkit.Pause(ctx, attempt); err != nil {
				return v, err
			}
			continue
		}
		if fault := b.cancelFault(err); fault != nil {
			return verdict{}, fault
		}
		return verdict{}, b.writeFault(ctx, err, m)
	}
}

// conflictAttempts bounds how often a write is tried while other transactions
// hold its items: some two seconds.
const conflictAttempts = 40

// sentOnce sets the options of a call that writes.
func sentOnce(m *internalaws.Mark) func(*awsdynamodb.Options) {
	return func(o *awsdynamodb.Options) {
		o.Retryer = internalaws.Retryer{Retryer: o.Retryer, Refused: refused}
		o.APIOptions = append(o.APIOptions, m.Watch)
	}
}

// parallelism is how many requests one call has under way at most.
const parallelism = 16
