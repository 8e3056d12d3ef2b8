package redis

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records in Redis, Redis Cluster, Valkey or what speaks their
// protocol. It is safe for concurrent use; its zero value is not usable, New
// makes one.
type Backend struct {
	client   goredis.UniversalClient
	name     string
	labels   []string
	grace    int64 // ms; negative: the server reaps nothing
	maxValue int
	logger   *slog.Logger
	buckets  [bucketCount]bucket
	turn     atomic.Uint32 // the bucket with which the next sweep begins
	kept     usual         // the length of the labels sections that updates kept
	closed   atomic.Bool
	owned    io.Closer // the client, where the backend made it
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
)

// New returns a Backend for the store of that name on the client's server,
// which stays the caller's own to close. It does no I/O. The name has 1 to 128
// bytes of UTF-8 without braces and NUL; stores of different names never meet.
// Nil options are the defaults.
//
// ErrInvalid for another name, an illegal option, and for a client whose reads
// may miss an acknowledged write: one that reads from replicas, caches on the
// client's side, or is a Ring.
func New(client goredis.UniversalClient, name string, opts *Options) (*Backend, error) {
	fail := func(err error) (*Backend, error) {
		return nil, &model.Error{Op: "New", Backend: backendName, Err: err}
	}
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
	b := &Backend{
		client: client, name: name, labels: o.Labels,
		grace: o.GraceTTL.Milliseconds(), maxValue: o.MaxValue, logger: o.Logger,
	}
	if o.GraceTTL < 0 {
		b.grace = -1
	}
	for i := range b.buckets {
		b.buckets[i] = newBucket(name, i, o.Labels)
	}
	return b, nil
}

const backendName = "redis"

// Describe returns what the backend is. It does no I/O.
func (b *Backend) Describe() driver.Description {
	return driver.Description{Backend: backendName, Labels: slices.Clone(b.labels), MaxValue: b.maxValue}
}

// Ping asks the server for a sign of life.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	if err := b.client.Ping(ctx).Err(); err != nil {
		return b.readFault(ctx, err)
	}
	return nil
}

// Close makes every other method but Describe return ErrClosed. The client
// stays open, unless it was made of a URL.
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

// script is a Lua script with its digest.
type script struct {
	source, digest any
}

// run is one run of a script: a command that go-redis never sends twice, since
// NoRetry turns its retries off, and that knows whether it was sent at all.
type run struct {
	*goredis.StringCmd
	script *script
	mark   *mark
	stage  *goredis.StatusCmd // that goes before it, in one pipeline; mostly none
}

// NoRetry tells go-redis not to send the command again after an error.
func (r *run) NoRetry() bool { return true }

// fault makes an error of what went wrong with a run that was sent or not.
type fault func(ctx context.Context, err error, sent bool) error

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

// newRun makes a command of a script's arguments, which k.command began and
// which have m among them.
func newRun(ctx context.Context, s *script, args []any, m *mark) *run {
	cmd := goredis.NewStringCmd(ctx, args...)
	cmd.SetFirstKeyPos(3)
	return &run{StringCmd: cmd, script: s, mark: m}
}

// whole is the same command with the script's source, for a server that does
// not know the digest; it has run nothing.
func (r *run) whole(ctx context.Context) *run {
	args := slices.Clone(r.Args())
	args[0], args[1] = "eval", r.script.source
	r.mark.sent = false
	return newRun(ctx, r.script, args, r.mark)
}

// write runs a script that writes, once, and returns its reply.
func (b *Backend) write(ctx context.Context, r *run) (string, error) {
	if r.stage != nil {
		runs := []*run{r}
		err := b.runAll(ctx, runs, b.writeFault)[0]
		return runs[0].Val(), err
	}
	err := b.client.Process(ctx, r)
	if unknownScript(err) {
		r = r.whole(ctx)
		err = b.client.Process(ctx, r)
	}
	if err != nil {
		return "", b.writeFault(ctx, err, r.mark.sent)
	}
	return r.Val(), nil
}

// runAll runs scripts in one pipeline. Each run has its own
// error.
func (b *Backend) runAll(ctx context.Context, runs []*run, f fault) []error {
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
			runs[i] = runs[i].whole(ctx) // what was staged still is
		case stage != nil && err == nil && stage.Err() != nil:
			// The script found nothing staged and has done nothing.
			errs[i], runs[i].mark.sent = stage.Err(), false
		}
	}
	send(func(i int) bool { return again[i] })
	for i, err := range errs {
		if err != nil {
			errs[i] = f(ctx, err, runs[i].mark.sent)
		}
	}
	return errs
}

func unknownScript(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") }
