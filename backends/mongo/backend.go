package mongo

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records in a collection of a MongoDB database. It is safe for
// concurrent use; its zero value is not usable, New makes one.
type Backend struct {
	coll      *mongodriver.Collection
	labels    []string
	grace     int32 // seconds; -1: the server reaps nothing
	maxValue  int
	queryable bool
	logger    *slog.Logger
	found     atomic.Bool // the collection was there
	closed    atomic.Bool
	owned     *mongodriver.Client // where the backend made it
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
)

// New returns a Backend for the collection of that name, which is the store's
// alone. The database's client stays the caller's own to close. It does no
// I/O. Nil options are the defaults.
//
// Whatever concerns and preference client and database have, the store's own
// writes are acknowledged by a majority, and its reads go to the primary and
// see what a majority has; encoders registered with them are not used.
//
// ErrInvalid for a missing database, a name that MongoDB does not take for a
// collection, and an illegal option.
func New(db *mongodriver.Database, collection string, opts *Options) (*Backend, error) {
	fail := func(err error) (*Backend, error) {
		return nil, &model.Error{Op: "New", Backend: backendName, Err: err}
	}
	if db == nil {
		return fail(model.NewError(model.ErrInvalid, "no database", nil))
	}
	if err := checkName(db.Name(), collection); err != nil {
		return fail(err)
	}
	o, grace, err := opts.withDefaults()
	if err != nil {
		return fail(err)
	}
	own := db.Client().Database(db.Name(), options.Database().
		SetWriteConcern(writeconcern.Majority()).SetReadConcern(readconcern.Majority()).SetReadPreference(readpref.Primary()).
		SetBSONOptions(&options.BSONOptions{}).SetRegistry(bson.NewRegistry()))
	return &Backend{
		coll: own.Collection(collection), labels: o.Labels, grace: grace,
		maxValue: o.MaxValue, queryable: o.Queryable, logger: o.Logger,
	}, nil
}

const backendName = "mongo"

// Describe returns what the backend is. It does no I/O.
func (b *Backend) Describe() driver.Description {
	return driver.Description{Backend: backendName, Labels: slices.Clone(b.labels), MaxValue: b.maxValue}
}

// Ping asks the primary for a sign of life.
func (b *Backend) Ping(ctx context.Context) error {
	ctx, err := b.begin(ctx)
	if err != nil {
		return err
	}
	if err := b.coll.Database().RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err(); err != nil {
		return readFault(ctx, err)
	}
	return nil
}

// disconnectWithin bounds how long Close waits for the goroutines of a client
// that was made of a URL.
const disconnectWithin = 5 * time.Second

// Close makes every other method but Describe return ErrClosed. The client
// stays connected, unless it was made of a URL.
func (b *Backend) Close() error {
	if b.closed.Swap(true) || b.owned == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), disconnectWithin)
	defer cancel()
	_ = b.owned.Disconnect(ctx) // what it could not tell the server, the server forgets by itself
	return nil
}

// begin is what every method checks before it sends anything. The context that
// it returns carries no session: in a transaction of the caller's, a write
// would be acknowledged before it can be seen.
func (b *Backend) begin(ctx context.Context) (context.Context, error) {
	if err := ctx.Err(); err != nil {
		return ctx, err
	}
	if b.closed.Load() {
		return ctx, model.ErrClosed
	}
	if mongodriver.SessionFromContext(ctx) != nil {
		ctx = mongodriver.NewSessionContext(ctx, nil)
	}
	return ctx, nil
}

// enter is begin for the methods on records, which need the collection.
func (b *Backend) enter(ctx context.Context) (context.Context, error) {
	ctx, err := b.begin(ctx)
	if err == nil && !b.found.Load() {
		err = b.find(ctx)
	}
	return ctx, err
}
