package mongo

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	mongodriver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records in a collection of a MongoDB database. It is safe for
// concurrent use. The zero value is not usable; New makes one.
type Backend struct {
	gate      *driverkit.Gate
	coll      *mongodriver.Collection
	grace     int32 // seconds; -1: the server removes nothing by itself
	queryable bool
	undamaged bson.RawValue // a part of each filter
	logger    *slog.Logger
	found     atomic.Bool          // the collection exists
	watch     func() time.Duration // nil, or a test's stopwatch
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
	_ driver.Statter            = (*Backend)(nil)
	_ driver.Checker            = (*Backend)(nil)
)

const backendName = "mongo"

// New returns a Backend on the collection with that name. The collection
// belongs to the store alone. Close does not disconnect the database's client.
// New does no I/O. Nil options mean the defaults.
//
// Writes are acknowledged by a majority, and reads go to the primary with read
// concern majority, whatever the client and the database are set to. Encoders
// registered with them are not used.
//
// It returns ErrInvalid for a nil database, a name that MongoDB does not
// accept for a collection, and an invalid option.
func New(db *mongodriver.Database, collection string, opts *Options) (*Backend, error) {
	if db == nil {
		return nil, driverkit.NewError(backendName, model.NewError(model.ErrInvalid, "the database is nil", nil))
	}
	if err := checkName(db.Name(), collection); err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	o, grace, err := opts.withDefaults()
	if err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	own := db.Client().Database(db.Name(), options.Database().
		SetWriteConcern(writeconcern.Majority()).SetReadConcern(readconcern.Majority()).SetReadPreference(readpref.Primary()).
		SetBSONOptions(&options.BSONOptions{}).SetRegistry(bson.NewRegistry()))
	d := driver.Description{Backend: backendName, Labels: o.Labels, MaxValue: o.MaxValue}
	gate := driverkit.NewGate(d, db.Name(), collection)
	gate.CheckWrites(checkEncoding)
	sound, err := undamaged(gate.Labels())
	if err != nil {
		return nil, driverkit.NewError(backendName, model.NewError(model.ErrInvalid, "the labels have no form in BSON", err))
	}
	return &Backend{
		gate: gate, coll: own.Collection(collection),
		grace: grace, queryable: o.Queryable, undamaged: sound, logger: o.Logger,
	}, nil
}

// Describe returns the backend's name, labels and largest value. It does no
// I/O.
func (b *Backend) Describe() driver.Description { return b.gate.Describe() }

// Close makes every other method except Describe return ErrClosed. It
// disconnects the client only if the backend was opened from a URL.
func (b *Backend) Close() error { return b.gate.Close() }

// Ping returns nil if the primary answers.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	ctx = withoutSession(ctx)
	if err := b.coll.Database().RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err(); err != nil {
		return readError(ctx, err)
	}
	return nil
}

// withoutSession returns the context without the caller's session. In the
// caller's transaction, a write would be acknowledged before others see it.
func withoutSession(ctx context.Context) context.Context {
	if mongodriver.SessionFromContext(ctx) != nil {
		return mongodriver.NewSessionContext(ctx, nil)
	}
	return ctx
}

// ready returns the context for a call on records, without the caller's
// session. It returns ErrUnavailable if the collection does not exist. It asks
// before the first call, and moves now by the time that this takes (rule R100).
func (b *Backend) ready(ctx context.Context, now *time.Time) (context.Context, error) {
	ctx = withoutSession(ctx)
	if b.found.Load() {
		return ctx, nil
	}
	w := driverkit.Waited{Watch: b.watch}
	err := w.During(func() error { return b.find(ctx) })
	if now != nil { // else the call does not decide as of a time that moves
		*now = w.Now(*now)
	}
	return ctx, err
}

// disconnectTimeout bounds how long Close waits for the goroutines of a client
// that was made from a URL.
const disconnectTimeout = 5 * time.Second

// ownedClient is a client that the backend made from a URL.
type ownedClient struct{ *mongodriver.Client }

// Close disconnects the client. The server closes its side by itself if it
// cannot be told.
func (c ownedClient) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), disconnectTimeout)
	defer cancel()
	return c.Disconnect(ctx)
}
