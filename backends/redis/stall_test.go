package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestStalled stops the server between the calls: every call ends with its
// context, whatever the client is, also if it ignores deadlines.
func TestStalled(t *testing.T) {
	t.Run("calls", stalledCalls)
	// The clients are closed: whatever waited for an answer has ended.
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	stacks := make([]byte, 16<<20)
	for deadline := time.After(10 * time.Second); bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("redis.await.func")); {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("goroutines still wait for answers")
		}
	}
}

func stalledCalls(t *testing.T) {
	for _, heeds := range []bool{false, true} {
		for name, connect := range map[string]func(p *proxy) goredis.UniversalClient{
			"client": func(p *proxy) goredis.UniversalClient {
				o := p.options(options(t))
				o.ContextTimeoutEnabled = heeds
				return clientOf(t, o)
			},
			"cluster client": func(p *proxy) goredis.UniversalClient {
				o := options(t)
				return oneNodeCluster(t, o.Addr, func() *goredis.Client {
					o := p.options(o)
					o.ContextTimeoutEnabled = heeds
					return goredis.NewClient(o)
				})
			},
			"sentinel client": func(p *proxy) goredis.UniversalClient {
				o := p.options(options(t))
				c := goredis.NewFailoverClient(&goredis.FailoverOptions{
					MasterName: "main", SentinelAddrs: []string{startSentinel(t, o.Addr)},
					Dialer: p.DialContext, PoolSize: o.PoolSize, ContextTimeoutEnabled: heeds,
				})
				t.Cleanup(func() { _ = c.Close() })
				return c
			},
		} {
			t.Run(fmt.Sprint(name, "/ContextTimeoutEnabled ", heeds), func(t *testing.T) {
				t.Parallel() // the calls wait

				p := newProxy(t)
				b := createOn(t, connect(p), drivertest.Name(), nil)
				t.Cleanup(func() {
					again := newOn(t, clientOf(t, options(t)), b.name, nil)
					if err := again.DeleteStorage(context.WithoutCancel(t.Context())); err != nil {
						t.Error(err)
					}
				})
				drivertest.Stalled(t, b, p.Stall)
			})
		}
	}
}

// lateHook holds every command until the caller has left, and sends it then.
type lateHook struct {
	held func()        // called when a command is held
	left chan struct{} // closed when the caller has left
	errs chan error    // of the commands
}

func (h *lateHook) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (h *lateHook) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		return h.hold(ctx, cmd, func(ctx context.Context) error { return next(ctx, cmd) })
	}
}

func (h *lateHook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		return h.hold(ctx, cmds[len(cmds)-1], func(ctx context.Context) error { return next(ctx, cmds) })
	}
}

func (h *lateHook) hold(ctx context.Context, last goredis.Cmder, next func(context.Context) error) error {
	if !isScript(last.Name()) {
		return next(ctx) // the handshake
	}
	h.held()
	<-h.left
	err := next(context.WithoutCancel(ctx))
	h.errs <- err
	return err
}

// TestNothingIsSentAfterwards cancels the context before go-redis has a
// connection: the caller gets the context's error alone, and no write is sent
// after that.
func TestNothingIsSentAfterwards(t *testing.T) {
	b, p := proxied(t)
	base := drivertest.SeedCalls(t, b)
	calls := append(drivertest.Writes(base), drivertest.Call{Name: "write of two", Do: func(ctx context.Context, _ driver.ModelExpirySupport) error {
		out := b.WriteMany(ctx, drivertest.Now, []driver.BatchOp{
			{Write: &driver.Write{Record: long("id"), Cond: driver.IfAny}},
			{Delete: &driver.Delete{ID: "old", Cond: driver.IfPresent}},
		})
		drivertest.WantKind(t, out[1].Err, nil)
		return out[0].Err
	}})
	for _, c := range calls {
		t.Run(c.Name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			late := &lateHook{held: cancel, left: make(chan struct{}), errs: make(chan error, 1)}
			client := clientOf(t, p.options(options(t)))
			client.AddHook(late)
			own := b
			b = newOn(t, client, own.name, nil)
			defer func() { b = own }()
			p.sent()
			err := c.Do(ctx, b)
			close(late.left)
			if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
				t.Errorf("got %s, want %v alone", drivertest.Causes(err), context.Canceled)
			}
			if err := <-late.errs; !errors.Is(err, errLeft) {
				t.Errorf("the command came to %v, want %v", err, errLeft)
			}
			if _, commands := p.sent(); countCommands(commands, "evalsha") > 0 {
				t.Errorf("sent %v", commands)
			}
		})
	}
	drivertest.Holds(t, b, base.ID, base.Revision, base.ExpiresAt)
}

// brokenHook fails every pipeline before it is sent.
type brokenHook struct{ lateHook }

var errBroken = errors.New("the circuit is open")

func (*brokenHook) ProcessHook(goredis.ProcessHook) goredis.ProcessHook {
	return func(context.Context, goredis.Cmder) error { return errBroken }
}

func (*brokenHook) ProcessPipelineHook(goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(context.Context, []goredis.Cmder) error { return errBroken }
}

// TestHookFails has a hook that fails all calls: they are ErrUnavailable, because
// nothing was sent, and no reply is made up.
func TestHookFails(t *testing.T) {
	c := unconnected(t)
	c.AddHook(&brokenHook{})
	b := newOn(t, c, "n", nil)
	for _, call := range append(drivertest.Writes(drivertest.Record("id", "ann", time.Hour)), drivertest.Reads()...) {
		err := call.Do(t.Context(), b)
		if kind := model.Kind(err); kind != model.ErrUnavailable || !errors.Is(err, errBroken) {
			t.Errorf("%s: %s, want %v", call.Name, drivertest.Causes(err), model.ErrUnavailable)
		}
	}
	for name, err := range map[string]error{
		"create storage": b.CreateStorage(t.Context()), "delete storage": b.DeleteStorage(t.Context()),
		"write of one": b.WriteMany(t.Context(), drivertest.Now, []driver.BatchOp{{Delete: &driver.Delete{ID: "id", Cond: driver.IfPresent}}})[0].Err,
	} {
		if !errors.Is(err, model.ErrUnavailable) || errors.Is(err, model.ErrUnknown) {
			t.Errorf("%s: %s, want %v", name, drivertest.Causes(err), model.ErrUnavailable)
		}
	}
	_, err := b.Stat(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	drivertest.WantKind(t, err, model.ErrUnavailable)
}
