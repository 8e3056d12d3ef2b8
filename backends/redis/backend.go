package redis

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Backend keeps records in Redis, Redis Cluster, Valkey or another server with
// their protocol. It is safe for concurrent use. New makes one: the zero value
// is not usable.
type Backend struct {
	gate       *driverkit.Gate
	client     goredis.UniversalClient
	name       string
	grace      int64 // milliseconds; negative: the server removes nothing by itself
	logger     *slog.Logger
	buckets    [bucketCount]bucket
	sweeps     atomic.Uint32 // sweeps so far: each starts at another bucket
	keptLabels commonLength  // the length of the labels sections that updates kept
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
)

const backendName = "redis"

// New returns a Backend for the named store on the client's server. It does no
// I/O, and the caller closes the client. The name has 1 to 128 bytes of UTF-8
// without braces and NUL. Stores with different names share no record. Nil
// options mean the defaults.
//
// It returns ErrInvalid for an invalid name or option. It also returns
// ErrInvalid for a client whose reads may miss an acknowledged write: one that
// reads from replicas, caches on the client's side, or is a Ring.
func New(client goredis.UniversalClient, name string, opts *Options) (*Backend, error) {
	fail := func(err error) (*Backend, error) { return nil, driverkit.NewError(backendName, err) }
	if err := checkClient(client); err != nil {
		return fail(err)
	}
	if err := checkName(name); err != nil {
		return fail(err)
	}
	o, err := opts.withDefaults()
	if err != nil {
		return fail(err)
	}
	d := driver.Description{Backend: backendName, Labels: o.Labels, MaxValue: o.MaxValue}
	b := &Backend{
		gate: driverkit.NewGate(d, name), client: client, name: name,
		grace: o.GraceTTL.Milliseconds(), logger: o.Logger,
	}
	if o.GraceTTL < 0 {
		b.grace = -1
	}
	for i := range b.buckets {
		b.buckets[i] = newBucket(name, i, o.Labels)
	}
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
	if err := b.client.Ping(ctx).Err(); err != nil {
		return b.readError(ctx, err)
	}
	return nil
}

// Close makes every other method except Describe return ErrClosed. It closes
// the client only if the backend was opened from a URL.
func (b *Backend) Close() error { return b.gate.Close() }

// script is a Lua script with its digest.
type script struct {
	source, digest any
}

// run is one run of a script. Go-redis never sends it twice, because NoRetry
// turns its retries off.
type run struct {
	*goredis.StringCmd
	script *script
	mark   *mark              // says whether the command was sent
	stage  *goredis.StatusCmd // sent before it in the same pipeline; usually nil
}

// NoRetry tells go-redis not to send the command again after an error.
func (r *run) NoRetry() bool { return true }

// toError maps the error of a run, which was sent or not.
type toError func(ctx context.Context, err error, sent bool) error

// mark is an argument that notes when go-redis begins to write it to a
// connection. Before that, an error means that nothing was sent.
type mark struct {
	data []byte
	sent bool
}

// MarshalBinary is called by go-redis while it writes the command.
func (m *mark) MarshalBinary() ([]byte, error) {
	m.sent = true
	return m.data, nil
}

// String keeps record bytes out of traces that print commands.
func (m *mark) String() string { return strconv.Itoa(len(m.data)) + " bytes" }

// newRun makes the command of a script from its arguments. The method command
// of a bucket began them, and m is one of them.
func newRun(ctx context.Context, s *script, args []any, m *mark) *run {
	cmd := goredis.NewStringCmd(ctx, args...)
	cmd.SetFirstKeyPos(3)
	return &run{StringCmd: cmd, script: s, mark: m}
}

// withSource returns the same command with the script's source, for a server
// that does not know the digest and has run nothing.
func (r *run) withSource(ctx context.Context) *run {
	args := slices.Clone(r.Args())
	args[0], args[1] = "eval", r.script.source
	r.mark.sent = false
	return newRun(ctx, r.script, args, r.mark)
}

// write sends a script that writes, once, and returns its reply.
func (b *Backend) write(ctx context.Context, r *run) (string, error) {
	if r.stage != nil {
		runs := []*run{r}
		err := b.runAll(ctx, runs, b.writeError)[0]
		return runs[0].Val(), err
	}
	err := b.client.Process(ctx, r)
	if unknownScript(err) {
		r = r.withSource(ctx)
		err = b.client.Process(ctx, r)
	}
	if err != nil {
		return "", b.writeError(ctx, err, r.mark.sent)
	}
	return r.Val(), nil
}

// runAll runs scripts in one pipeline and returns the error of each.
func (b *Backend) runAll(ctx context.Context, runs []*run, toError toError) []error {
	errs := make([]error, len(runs))
	send := func(need func(i int) bool) {
		pipe := b.client.Pipeline()
		for i, r := range runs {
			if !need(i) {
				continue
			}
			if r.stage != nil {
				_ = pipe.Process(ctx, r.stage) // queued only
			}
			_ = pipe.Process(ctx, r)
		}
		if pipe.Len() == 0 {
			return
		}
		_, err := pipe.Exec(ctx)
		for i, r := range runs {
			if !need(i) {
				continue
			}
			if errs[i] = r.Err(); errs[i] == nil && err != nil && !r.mark.sent {
				errs[i] = err // a hook kept the pipeline from being sent
			}
		}
	}
	send(func(int) bool { return true })
	again := make([]bool, len(runs))
	for i, err := range errs {
		switch stage := runs[i].stage; {
		case unknownScript(err):
			again[i] = true
			runs[i] = runs[i].withSource(ctx) // the staged record is still there
		case stage != nil && err == nil && stage.Err() != nil:
			// The script found no staged record and did nothing.
			errs[i], runs[i].mark.sent = stage.Err(), false
		}
	}
	send(func(i int) bool { return again[i] })
	for i, err := range errs {
		if err != nil {
			errs[i] = toError(ctx, err, runs[i].mark.sent)
		}
	}
	return errs
}

func unknownScript(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") }
