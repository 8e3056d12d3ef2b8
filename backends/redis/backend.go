package redis

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Backend keeps records in Redis, Redis Cluster, Valkey or another server with
// their protocol. It is safe for concurrent use. New makes one: the zero value
// is not usable.
type Backend struct {
	gate          *driverkit.Gate
	client        goredis.UniversalClient
	cluster       bool // the client's buckets may be on several servers
	deadlines     bool // the client observes the deadline of a context
	name          string
	allowEviction bool  // the server may evict keys
	grace         int64 // milliseconds; negative: the server removes nothing by itself
	logger        *slog.Logger
	dialer        *dialer              // of a client that a URL made, else nil
	watch         func() time.Duration // nil, or a test's stopwatch
	buckets       []bucket
	lanes         []lane        // of parts of a cluster; else one
	separate      bool          // calls share no round trips
	agreed        atomic.Bool   // the store has this layout, or none yet
	sweeps        atomic.Uint32 // sweeps so far: each starts at another bucket
	keptLabels    commonLength  // the length of the labels sections that updates kept
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

const backendName = "redis"

// New returns a Backend for the named store on the client's server. It does no
// I/O, and the caller closes the client. The name has 1 to 128 bytes of UTF-8
// without braces and NUL. Stores with different names share no record. Nil
// options mean the defaults.
//
// It returns ErrInvalid for an invalid name or option. The client is a
// *redis.Client, also one of sentinels, or a *redis.ClusterClient, that neither
// reads from replicas nor caches. Others are ErrInvalid, because their reads may
// miss an acknowledged write. Options.TrustClient vouches for a kind that New
// does not know.
func New(client goredis.UniversalClient, name string, opts *Options) (*Backend, error) {
	fail := func(err error) (*Backend, error) { return nil, driverkit.NewError(backendName, err) }
	if err := checkName(name); err != nil {
		return fail(err)
	}
	o, err := opts.withDefaults()
	if err == nil {
		err = checkClient(client, o.TrustClient)
	}
	if err != nil {
		return fail(err)
	}
	d := driver.Description{Backend: backendName, Labels: o.Labels, MaxValue: o.MaxValue}
	b := &Backend{
		gate: driverkit.NewGate(d, name), client: client, name: name,
		grace: o.GraceTTL.Milliseconds(), logger: o.Logger, allowEviction: o.AllowEviction,
		separate: o.SeparateCalls,
	}
	if o.GraceTTL < 0 {
		b.grace = -1
	}
	switch c := client.(type) {
	case *goredis.Client:
		b.deadlines = c.Options().ContextTimeoutEnabled
	case *goredis.ClusterClient:
		b.cluster, b.deadlines = true, c.Options().ContextTimeoutEnabled
	default:
		b.cluster = true
	}
	b.divide(o.Buckets)
	return b, nil
}

// Describe returns the backend's name, labels and largest value. It does no
// I/O.
func (b *Backend) Describe() driver.Description { return b.gate.Describe() }

// Ping returns nil if the server answers, and ErrUnavailable if it does not.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	if _, err := b.process(ctx, goredis.NewStatusCmd(ctx, "ping")); err != nil {
		return b.readError(ctx, err)
	}
	return nil
}

// Close makes every other method except Describe return ErrClosed. It closes
// the client only if the backend was opened from a URL.
func (b *Backend) Close() error { return b.gate.Close() }
