package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// outcome is what a command came to.
type outcome struct {
	err      error
	panicked any
}

var errEnded = errors.New("a hook of the client ended its goroutine")

// await runs do, which talks to the server, and returns its error. If ctx ends
// first, await returns the context's error and left is true. Do then goes on
// until the client's own timeouts end it, so nothing that it uses may be touched
// again.
//
// Go-redis never observes a canceled context while it waits, and a deadline only
// with ContextTimeoutEnabled. With a deadline that it observes, do runs in this
// goroutine: to start another and to wake this one costs 15 to 40 µs.
func (b *Backend) await(ctx context.Context, do func() error) (left bool, err error) {
	if b.endsItself(ctx) {
		return false, do()
	}
	done := make(chan outcome, 1)
	go func() {
		o := outcome{err: errEnded}
		defer func() {
			if p := recover(); p != nil {
				o.panicked = p // a hook's: it belongs to the caller's goroutine
			}
			done <- o
		}()
		o.err = do()
	}()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		select {
		case o = <-done: // the answer came in time
		default:
			return true, ctx.Err()
		}
	}
	if o.panicked != nil {
		panic(o.panicked)
	}
	return false, o.err
}

// endsItself reports whether go-redis ends a call by itself in time: the context
// does not end, or has a deadline that the client observes.
func (b *Backend) endsItself(ctx context.Context) bool {
	if ctx.Done() == nil {
		return true
	}
	_, ok := ctx.Deadline()
	return ok && b.deadlines
}

// process sends one command. If left is true, cmd must not be touched again.
func (b *Backend) process(ctx context.Context, cmd goredis.Cmder) (left bool, err error) {
	if b.endsItself(ctx) {
		return false, b.client.Process(ctx, cmd) // without a closure
	}
	return b.await(ctx, func() error { return b.client.Process(ctx, cmd) })
}

// exec sends a pipeline and returns its first error. If left is true, its
// commands must not be touched again.
func (b *Backend) exec(ctx context.Context, pipe goredis.Pipeliner) (left bool, err error) {
	return b.await(ctx, func() error {
		_, err := pipe.Exec(ctx)
		return err
	})
}

// execGets sends a pipeline of reads. It returns an error if the commands have no
// outcome of their own: the context has ended, or a hook kept the pipeline from
// being sent.
func (b *Backend) execGets(ctx context.Context, pipe goredis.Pipeliner, cmds []*goredis.StringCmd) error {
	left, err := b.exec(ctx, pipe)
	if left || err != nil && !slices.ContainsFunc(cmds, func(c *goredis.StringCmd) bool { return c.Err() != nil }) {
		return err
	}
	return nil
}

// execIndexes sends a pipeline that reads indexes and their marks. It returns an
// error if the commands have no outcome of their own.
func (b *Backend) execIndexes(ctx context.Context, pipe goredis.Pipeliner) error {
	left, err := b.exec(ctx, pipe)
	if left || err != nil && replyCode(err) == "" && !errors.Is(err, goredis.Nil) {
		return err
	}
	return nil
}

// whole returns ErrUnavailable for an index without its mark. The mark is read
// after the entries, in the same pipeline.
func (b *Backend) whole(ctx context.Context, mark *goredis.FloatCmd, key string) error {
	switch err := mark.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, goredis.Nil):
		return b.lostIndex(key)
	default:
		return b.readError(ctx, err)
	}
}

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
	lane   *lane              // of a call that may share a round trip, else nil
	now    int64              // milliseconds, as of when it decides
	nowAt  int                // the place of now in the arguments
}

// NoRetry tells go-redis not to send the command again after an error.
func (r *run) NoRetry() bool { return true }

// toError maps the error of a run, which was sent or not.
type toError func(ctx context.Context, err error, sent bool) error

// mark is an argument that notes when go-redis begins to write it to a
// connection. Before that, an error means that nothing was sent.
type mark struct {
	data   []byte
	state  atomic.Uint32
	shared bool // the pipeline has commands of other callers
}

const (
	markUnsent = iota
	markSent
	markLeft // the caller has left: the command must no longer be sent
)

var errLeft = errors.New("the caller's context has ended")

// MarshalBinary is called by go-redis while it writes the command. After an
// error go-redis sends nothing and closes the connection. In a pipeline with
// commands of others the argument is empty instead: such a script does nothing.
func (m *mark) MarshalBinary() ([]byte, error) {
	if !m.state.CompareAndSwap(markUnsent, markSent) && m.state.Load() == markLeft {
		if m.shared {
			return nil, nil
		}
		return nil, errLeft
	}
	return m.data, nil
}

func (m *mark) sent() bool { return m.state.Load() == markSent }

// leave keeps the command from being sent, and reports whether it was before.
func (m *mark) leave() (sent bool) { return !m.state.CompareAndSwap(markUnsent, markLeft) }

// String keeps record bytes out of traces that print commands.
func (m *mark) String() string { return strconv.Itoa(len(m.data)) + " bytes" }

// payload is an argument with record bytes that traces do not print.
type payload []byte

// MarshalBinary returns the bytes themselves.
func (p payload) MarshalBinary() ([]byte, error) { return p, nil }

func (p payload) String() string { return strconv.Itoa(len(p)) + " bytes" }

// newRun makes the command of a script from its arguments. The method command
// of a bucket began them, and m is one of them.
func newRun(ctx context.Context, s *script, args []any, m *mark) *run {
	cmd := goredis.NewStringCmd(ctx, args...)
	cmd.SetFirstKeyPos(3)
	return &run{StringCmd: cmd, script: s, mark: m}
}

// share lets a run on one record share a round trip. Its argument at nowAt is now.
func (r *run) share(l *lane, now time.Time, nowAt int) *run {
	r.lane, r.now, r.nowAt = l, now.UnixMilli(), nowAt
	return r
}

// together prepares a run for a pipeline with commands of others, after it has
// waited for its turn (rule R100).
func (r *run) together(turn *driverkit.Waited) {
	r.mark.shared = true
	now := turn.Now(time.UnixMilli(r.now))
	if now.UnixMilli() == r.now {
		return
	}
	if m, ok := r.Args()[r.nowAt].(*mark); ok {
		m.data = millis(now)
	} else {
		r.Args()[r.nowAt] = now.UnixMilli()
	}
}

// again returns the same command, for a server that has run nothing: with the
// script's source if the server does not know the digest.
func (r *run) again(ctx context.Context, withSource bool) *run {
	args := slices.Clone(r.Args())
	if withSource {
		args[0], args[1] = "eval", r.script.source
	}
	r.mark.state.Store(markUnsent)
	r.mark.shared = false
	return newRun(ctx, r.script, args, r.mark)
}

// write sends a script that writes, once, and returns its reply.
func (b *Backend) write(ctx context.Context, r *run) (string, error) {
	if r.stage != nil {
		runs := []*run{r}
		err := b.runAll(ctx, runs, b.writeError)[0]
		if err != nil {
			return "", err
		}
		return runs[0].Val(), nil
	}
	left, err := b.processRun(ctx, r)
	if !left && unknownScript(err) {
		r = r.again(ctx, true)
		left, err = b.process(ctx, r)
	}
	switch {
	case left:
		return "", b.writeError(ctx, err, r.mark.leave())
	case err != nil:
		return "", b.writeError(ctx, err, r.mark.sent())
	}
	return r.Val(), nil
}

// processRun sends a run by itself or together with calls of others.
func (b *Backend) processRun(ctx context.Context, r *run) (left bool, err error) {
	if r.lane == nil || b.separate {
		return b.process(ctx, r)
	}
	if s := r.lane.enter(r, r, b.watch); s != nil {
		return b.ride(ctx, s)
	}
	defer b.leave(r.lane)
	return b.process(ctx, r)
}

// get sends a GET by itself or together with calls of others. It adds the time
// that the call has waited for its turn.
func (b *Backend) get(ctx context.Context, turn *driverkit.Waited, id string, cmd *goredis.StringCmd) (left bool, err error) {
	if b.separate {
		return b.process(ctx, cmd)
	}
	l := b.lane(id)
	if s := l.enter(once{cmd}, nil, b.watch); s != nil {
		if left, err = b.ride(ctx, s); left {
			return left, err
		}
		*turn = s.turn
		if err == nil || errors.Is(err, goredis.Nil) || ctx.Err() != nil {
			return false, err
		}
		return b.process(ctx, cmd)
	}
	defer b.leave(l)
	return b.process(ctx, cmd)
}

// runAll runs scripts in one pipeline and returns the error of each. A run with
// an error must not be touched again.
func (b *Backend) runAll(ctx context.Context, runs []*run, toError toError) []error {
	errs := make([]error, len(runs))
	sent := make([]bool, len(runs))
	todo := make([]int, len(runs))
	for i := range todo {
		todo[i] = i
	}
	for try := 1; len(todo) > 0; try++ {
		if left := b.sendAll(ctx, runs, todo, errs, sent); left {
			break
		}
		todo = slices.DeleteFunc(todo, func(i int) bool { return try == maxSends || !unknownScript(errs[i]) })
		b.addSources(ctx, runs, todo, try == 1)
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = toError(ctx, err, sent[i])
		}
	}
	return errs
}

// maxSends is how often a script is sent that the server does not know: by its
// digest, by its digest after the source of another, with its source.
const maxSends = 3

// sendAll sends the runs with the indexes in todo in one pipeline. It notes the
// error of each, and whether it was sent.
func (b *Backend) sendAll(ctx context.Context, runs []*run, todo []int, errs []error, sent []bool) (left bool) {
	pipe := b.client.Pipeline()
	for _, i := range todo {
		if runs[i].stage != nil {
			_ = pipe.Process(ctx, runs[i].stage) // queued only
		}
		_ = pipe.Process(ctx, runs[i])
	}
	left, err := b.exec(ctx, pipe)
	for _, i := range todo {
		r := runs[i]
		if left {
			errs[i], sent[i] = err, r.mark.leave()
			continue
		}
		errs[i], sent[i] = r.Err(), r.mark.sent()
		switch {
		case errs[i] == nil && err != nil && !sent[i]:
			errs[i] = err // a hook kept the pipeline from being sent
		case errs[i] == nil && r.stage != nil && r.stage.Err() != nil:
			// The script found no staged record and did nothing.
			errs[i], sent[i] = r.stage.Err(), false
		}
	}
	return left
}

// addSources prepares the runs in todo, whose scripts the server does not know,
// to be sent again. Their staged records are still there. With once, only the
// first run of each script has the source, for each bucket if these may be on
// several servers: the server knows the script when it gets to the others.
func (b *Backend) addSources(ctx context.Context, runs []*run, todo []int, once bool) {
	type place struct {
		script *script
		bucket string
	}
	known := map[place]bool{}
	for _, i := range todo {
		at := place{script: runs[i].script}
		if b.cluster {
			at.bucket, _, _ = strings.Cut(runs[i].Args()[3].(string), "}")
		}
		runs[i] = runs[i].again(ctx, !once || !known[at])
		known[at] = true
	}
}

func unknownScript(err error) bool { return err != nil && replyCode(err) == "NOSCRIPT" }
