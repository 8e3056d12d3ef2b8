package mongo

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// trick is what a proxy does to the next command.
type trick int

const (
	pass       trick = iota
	loseAnswer       // lets the server carry it out, then cuts the connection
	cutHalf          // sends half of it to the server, then cuts the connection
	hold             // lets the server carry it out and passes no answer on
)

// proxy stands between a client and a server. It counts commands, each of
// which waits for its answer, so that there are as many as round trips.
type proxy struct {
	listener net.Listener
	server   string
	closed   atomic.Bool // to new connections

	mu       sync.Mutex
	next     trick
	times    int    // how often
	then     func() // called when the server has carried out the next command
	commands []string
	sent     []bson.Raw
}

func startProxy(t testing.TB, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: server}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(ctx, c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		running.Wait()
	})
	return p
}

// through is the server's options with the proxy before it.
func (p *proxy) through(o *options.ClientOptions) *options.ClientOptions {
	return o.SetHosts([]string{p.listener.Addr().String()}).SetDirect(true)
}

func (p *proxy) serve(ctx context.Context, client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil || p.closed.Load() {
		_ = client.Close()
		return
	}
	cut := sync.OnceFunc(func() { _ = client.Close(); _ = server.Close() })
	defer cut()
	defer context.AfterFunc(ctx, cut)()
	var answers sync.WaitGroup
	defer answers.Wait()
	defer cut()

	waiting := make(chan played, 1) // what to do with the next answer
	answers.Go(func() {
		defer cut()
		in := bufio.NewReader(server)
		for {
			raw, err := readMessage(in)
			if err != nil {
				return
			}
			var now played
			select {
			case now = <-waiting:
			default:
			}
			if now.then != nil {
				now.then() // the answer says that the server has carried it out
			}
			switch now.trick {
			case loseAnswer:
				return
			case hold:
				continue
			}
			if _, err := client.Write(raw); err != nil {
				return
			}
		}
	})
	in := bufio.NewReader(client)
	for {
		raw, err := readMessage(in)
		if err != nil {
			return
		}
		now := p.count(raw)
		if now.trick == cutHalf {
			_, _ = server.Write(raw[:len(raw)/2])
			return
		}
		if now.trick != pass || now.then != nil {
			waiting <- now
		}
		if _, err := server.Write(raw); err != nil {
			return
		}
	}
}

// readMessage reads one message of MongoDB's wire protocol.
func readMessage(in *bufio.Reader) ([]byte, error) {
	size, err := in.Peek(4)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, binary.LittleEndian.Uint32(size))
	_, err = io.ReadFull(in, raw)
	return raw, err
}

const opMsg = 2013

// command is the body of a message; nil for the handshake's old form.
func command(raw []byte) bson.Raw {
	if binary.LittleEndian.Uint32(raw[12:]) != opMsg || raw[20] != 0 {
		return nil
	}
	body := bson.Raw(raw[21:])
	return body[:binary.LittleEndian.Uint32(body)]
}

// count notes a command and says what becomes of it. Those of the client's own
// are none: handshakes, heartbeats, sessions that end.
func (p *proxy) count(raw []byte) played {
	p.mu.Lock()
	defer p.mu.Unlock()
	body := command(raw)
	if body == nil {
		return played{}
	}
	name := body.Index(0).Key()
	switch name {
	case "hello", "isMaster", "ismaster", "saslStart", "saslContinue", "endSessions":
		return played{}
	}
	p.commands = append(p.commands, name)
	p.sent = append(p.sent, append(bson.Raw(nil), body...))
	now := played{p.next, p.then}
	if p.times--; p.times <= 0 {
		p.next, p.then = pass, nil
	}
	return now
}

// played is a trick, and what to do once the server has carried it out.
type played struct {
	trick trick
	then  func()
}

func (p *proxy) play(next trick) { p.set(next, 1, nil) }

func (p *proxy) playTimes(next trick, times int) { p.set(next, times, nil) }

func (p *proxy) playThen(next trick, then func()) { p.set(next, 1, then) }

func (p *proxy) set(next trick, times int, then func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.times, p.then = next, times, then
}

// refuse cuts every new connection at once.
func (p *proxy) refuse() { p.closed.Store(true) }

// take returns what was counted since the last call.
func (p *proxy) take() (commands []string, sent []bson.Raw) {
	p.mu.Lock()
	defer p.mu.Unlock()
	commands, sent = p.commands, p.sent
	p.commands, p.sent = nil, nil
	return commands, sent
}

// proxied is a backend behind a proxy, which has looked for its collection. Its
// client retries as the driver does by default, unless changed.
func proxied(t testing.TB, change func(*options.ClientOptions)) (*Backend, *proxy) {
	t.Helper()
	p := startProxy(t, containers.MongoDB(t).Addr)
	o := p.through(clientOptions(t))
	if change != nil {
		change(o)
	}
	b := openOn(t, clientOf(t, o), storeName(), nil)
	if _, err := b.Get(t.Context(), testNow, driver.Get{ID: "none"}); model.Kind(err) != model.ErrNotFound {
		t.Fatal(err)
	}
	p.take()
	return b, p
}

func noRetries(o *options.ClientOptions) { o.SetRetryWrites(false).SetRetryReads(false) }

// only fails unless the error matches the kind and no other sentinel.
func only(t testing.TB, err, kind error) {
	t.Helper()
	if got := model.Kind(err); got != kind {
		t.Fatalf("got the error %v of kind %v, want kind %v", err, got, kind)
	}
}

func seed(t testing.TB, b *Backend, recs ...model.Record) {
	t.Helper()
	for _, r := range recs {
		if _, err := b.Write(t.Context(), testNow, driver.Write{Record: r, Cond: driver.IfAny}); err != nil {
			t.Fatal(err)
		}
	}
}

// base is what the writes of singleWrites are about; next is what some of them
// leave.
var (
	base = record("id", "ann", time.Hour)
	next = record("id", "bob", 2*time.Hour)
)

// singleWrite is a write with what it does and leaves.
type singleWrite struct {
	do   func(ctx context.Context, b *Backend) error
	done func(t testing.TB, b *Backend) // fails unless it was applied once
}

func writeOf(w driver.Write) func(ctx context.Context, b *Backend) error {
	return func(ctx context.Context, b *Backend) error { _, err := b.Write(ctx, testNow, w); return err }
}

func holds(id string, rev model.Revision, at time.Time) func(t testing.TB, b *Backend) {
	return func(t testing.TB, b *Backend) {
		t.Helper()
		got, err := b.Get(t.Context(), testNow, driver.Get{ID: id})
		if err != nil || got.Revision != rev || !got.ExpiresAt.Equal(at) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func singleWrites() map[string]singleWrite {
	fresh := record("new", "ann", time.Hour)
	return map[string]singleWrite{
		"create": {writeOf(driver.Write{Record: fresh, Cond: driver.IfAbsent}), holds("new", fresh.Revision, fresh.ExpiresAt)},
		"upsert": {writeOf(driver.Write{Record: next, Cond: driver.IfAny}), holds("id", next.Revision, next.ExpiresAt)},
		"update": {
			writeOf(driver.Write{Record: next, Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}}), holds("id", next.Revision, base.ExpiresAt),
		},
		"compare-and-set": {writeOf(driver.Write{Record: next, Cond: driver.IfMatch, Known: base}), holds("id", next.Revision, next.ExpiresAt)},
		"touch": {func(ctx context.Context, b *Backend) error {
			_, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: testNow.Add(time.Minute)})
			return err
		}, holds("id", base.Revision, testNow.Add(time.Minute))},
		"delete": {func(ctx context.Context, b *Backend) error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: base})
		}, func(t testing.TB, b *Backend) {
			t.Helper()
			_, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"})
			only(t, err, model.ErrNotFound)
		}},
	}
}

// TestLostAnswers loses the answer to each write, and cuts it in half on the
// way, with the driver's retries off: one command is on the wire, and the
// outcome is unknown.
func TestLostAnswers(t *testing.T) {
	for name, w := range singleWrites() {
		for how, tr := range map[string]trick{"answer lost": loseAnswer, "cut in half": cutHalf} {
			t.Run(name+"/"+how, func(t *testing.T) {
				b, p := proxied(t, noRetries)
				seed(t, b, base)
				p.take()
				p.play(tr)
				only(t, w.do(t.Context(), b), model.ErrUnknown)
				if commands, _ := p.take(); len(commands) != 1 {
					t.Fatalf("on the wire: %v, want one command", commands)
				}
				if tr == loseAnswer {
					w.done(t, b)
				}
			})
		}
	}
}

// retrying reports whether the driver resends a write to the server at all: it
// does to members of replica sets.
func retrying(t testing.TB, b *Backend) bool {
	t.Helper()
	var hello struct {
		Set string `bson:"setName"`
	}
	_ = b.coll.Database().RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Decode(&hello)
	return hello.Set != ""
}

// TestRetriedWrites has the driver's retries on, as they are by default: of a
// replica set the second sending bears the number of the first, and the server
// carries it out once; a standalone server is sent nothing twice.
func TestRetriedWrites(t *testing.T) {
	for name, w := range singleWrites() {
		t.Run(name, func(t *testing.T) {
			b, p := proxied(t, nil)
			seed(t, b, base)
			p.take()
			p.play(loseAnswer)
			err := w.do(t.Context(), b)
			commands, sent := p.take()
			if !retrying(t, b) {
				only(t, err, model.ErrUnknown)
				if len(commands) != 1 {
					t.Fatalf("on the wire: %v, want one command", commands)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w.done(t, b)
			if len(sent) != 2 || commands[0] != commands[1] {
				t.Fatalf("on the wire: %v, want one command twice", commands)
			}
			for _, key := range []string{"lsid", "txnNumber"} {
				if first, second := sent[0].Lookup(key), sent[1].Lookup(key); first.IsZero() || !first.Equal(second) {
					t.Errorf("%s: %v, then %v", key, first, second)
				}
			}
		})
	}
}

// TestRetryIsLostToo loses both answers: the outcome stays unknown.
func TestRetryIsLostToo(t *testing.T) {
	for name, w := range singleWrites() {
		t.Run(name, func(t *testing.T) {
			b, p := proxied(t, nil)
			seed(t, b, base)
			p.take()
			p.playTimes(loseAnswer, 2)
			only(t, w.do(t.Context(), b), model.ErrUnknown)
			p.play(pass)
			if commands, _ := p.take(); len(commands) > 2 {
				t.Fatalf("on the wire: %v", commands)
			}
			w.done(t, b)
		})
	}
}

// TestRetryMeetsAnotherWriter has another client change the record between a
// write whose answer is lost and the driver's second sending: that must not
// undo it.
func TestRetryMeetsAnotherWriter(t *testing.T) {
	b, p := proxied(t, nil)
	if !retrying(t, b) {
		t.Skip("the driver resends nothing to a server on its own")
	}
	other := open(t, nil)
	other.coll = other.coll.Database().Collection(b.coll.Name())
	seed(t, b, base)
	p.take()
	p.playThen(loseAnswer, func() {
		if err := other.Delete(context.WithoutCancel(t.Context()), testNow, driver.Delete{ID: "id", Cond: driver.IfPresent}); err != nil {
			t.Error(err)
		}
	})
	if _, err := b.Write(t.Context(), testNow, driver.Write{Record: next, Cond: driver.IfAny}); err != nil {
		t.Fatal(err)
	}
	_, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"})
	only(t, err, model.ErrNotFound)
}

// TestLostSweep loses the answer of the removing half of a sweep.
func TestLostSweep(t *testing.T) {
	b, p := proxied(t, noRetries)
	seed(t, b, record("a", "ann", time.Hour), record("b", "ann", time.Hour))
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10, OnExpire: func(r model.Record) error {
		if r.ID == "a" {
			return errors.New("not this one")
		}
		p.take()
		p.play(loseAnswer)
		return nil
	}})
	only(t, err, model.ErrUnknown)
	if commands, _ := p.take(); swept.Removed != 0 || swept.Unknown != 1 || len(commands) != 1 {
		t.Fatalf("swept %+v by %v, want one unknown", swept, commands)
	}
	swept, err = b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10})
	if err != nil || swept.Removed != 1 {
		t.Fatalf("swept %+v, %v, want the other one", swept, err)
	}
}

// TestLostBatch loses the answer to a batch: what was sent is unknown.
func TestLostBatch(t *testing.T) {
	b, p := proxied(t, noRetries)
	seed(t, b, base)
	p.play(loseAnswer)
	out := b.WriteMany(t.Context(), testNow, []driver.BatchOp{
		{Write: &driver.Write{Record: record("x", "", 0), Cond: driver.IfAbsent}},
		{Write: &driver.Write{Record: record("y", "", 0), Cond: driver.IfAny}},
		{Write: &driver.Write{Record: record("z", "", 0)}},
	})
	only(t, out[0].Err, model.ErrUnknown)
	only(t, out[1].Err, model.ErrUnknown)
	only(t, out[2].Err, model.ErrInvalid)
	// Of deletes under way together one loses its answer. It takes the others'
	// connections with it; those that were not sent are sent then.
	const n = 40
	var ops []driver.BatchOp
	for i := range n {
		seed(t, b, record(fmt.Sprint(i), "", 0))
		ops = append(ops, driver.BatchOp{Delete: &driver.Delete{ID: fmt.Sprint(i), Cond: driver.IfPresent}})
	}
	p.take()
	p.play(loseAnswer)
	unknown := 0
	for _, o := range b.WriteMany(t.Context(), testNow, ops) {
		if o.Err != nil {
			only(t, o.Err, model.ErrUnknown)
			unknown++
		}
	}
	if commands, _ := p.take(); unknown != 1 || len(commands) != n {
		t.Errorf("%d are unknown after %d commands, want 1 after %d", unknown, len(commands), n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, o := range b.WriteMany(ended, testNow, []driver.BatchOp{{Delete: &driver.Delete{ID: "x", Cond: driver.IfPresent}}}) {
		if !errors.Is(o.Err, context.Canceled) || model.Kind(o.Err) != nil {
			t.Error(o.Err)
		}
	}
}

func TestLostReads(t *testing.T) {
	b, p := proxied(t, noRetries)
	seed(t, b, base)
	reads := map[string]func() error{
		"get":      func() error { _, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"}); return err },
		"get many": func() error { return b.GetMany(t.Context(), testNow, driver.Gets("id"))[0].Err },
		"page":     func() error { _, err := b.Page(t.Context(), testNow, driver.Query{Limit: 10}); return err },
		"count":    func() error { _, err := b.Count(t.Context(), testNow, driver.Query{Label: ""}); return err },
		"count by label": func() error {
			_, err := b.Count(t.Context(), testNow, driver.Query{Label: "principal", Value: "ann"})
			return err
		},
		"ping":    func() error { return b.Ping(t.Context()) },
		"storage": func() error { return b.CreateStorage(t.Context()) },
	}
	for name, do := range reads {
		t.Run(name, func(t *testing.T) {
			p.play(loseAnswer)
			only(t, do(), model.ErrUnavailable)
			if err := do(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestReasonIsLost has a write fail its condition, and loses the answer that
// would say why: nothing was applied.
func TestReasonIsLost(t *testing.T) {
	b, p := proxied(t, noRetries)
	seed(t, b, base)
	p.playThen(pass, func() { p.play(loseAnswer) })
	_, err := b.Write(t.Context(), testNow, driver.Write{Record: next, Cond: driver.IfAbsent})
	only(t, err, model.ErrUnavailable)
	holds("id", base.Revision, base.ExpiresAt)(t, b)
}

// TestOwnSuccess looks through expiry.Store, which recognises a write whose
// answer was lost as its own.
func TestOwnSuccess(t *testing.T) {
	b, p := proxied(t, noRetries)
	s, err := expiry.NewStore[string](b, &expiry.StoreOptions{Clock: expiry.ClockFunc(func() time.Time { return testNow })})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	p.play(loseAnswer)
	it, err := s.Create(ctx, "id", "one", nil)
	if err != nil {
		t.Fatal(err)
	}
	p.play(loseAnswer)
	if it, err = s.Update(ctx, "id", "two", &expiry.WriteOptions{IfMatch: it.Known()}); err != nil {
		t.Fatal(err)
	}
	p.play(cutHalf) // not applied: the look finds the old revision
	if it, err = s.Update(ctx, "id", "three", &expiry.WriteOptions{IfMatch: it.Known()}); err != nil {
		t.Fatal(err)
	}
	p.play(loseAnswer)
	if _, err := s.Touch(ctx, "id", expiry.After(time.Hour), nil); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(ctx, "id")
	if err != nil || got.Value != "three" || got.Revision != it.Revision || !got.ExpiresAt.Equal(testNow.Add(time.Hour)) {
		t.Fatalf("got %+v, %v", got, err)
	}
	p.play(loseAnswer)
	only(t, s.Delete(ctx, "id", &expiry.DeleteOptions{IfMatch: got.Known()}), model.ErrUnknown)
}

// TestContexts ends the context before and after a write is sent, and while
// there is no free connection.
func TestContexts(t *testing.T) {
	b, p := proxied(t, func(o *options.ClientOptions) { o.SetMaxPoolSize(1) })
	write := func(ctx context.Context) error {
		_, err := b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfAny})
		return err
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := write(ended); !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
		t.Fatalf("before sending: %v", err)
	}
	underWay, cancel := context.WithCancel(t.Context())
	defer cancel()
	p.playThen(hold, cancel)
	err := write(underWay)
	only(t, err, model.ErrUnknown)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("after sending: %v", err)
	}
	holds("id", next.Revision, next.ExpiresAt)(t, b)

	// One write holds the only connection; another waits for it in vain.
	busy, release := context.WithCancel(t.Context())
	defer release()
	sent := make(chan struct{})
	p.playThen(hold, func() { close(sent) })
	var first sync.WaitGroup
	first.Go(func() { _ = write(busy) })
	<-sent
	waiting, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := write(waiting); !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil {
		t.Errorf("without a connection: %v", err)
	}
	release()
	first.Wait()
}

// TestNoServer dials where nobody listens, and uses a client that is
// disconnected: nothing was sent.
func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	c := clientOf(t, options.Client().ApplyURI("mongodb://ann:hunter2@"+l.Addr().String()+"/?directConnection=true").
		SetServerSelectionTimeout(50*time.Millisecond))
	b, err := New(c.Database(databaseName), "none", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.found.Store(true) // nor does it look for the collection
	write := func(ctx context.Context) error {
		_, err := b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfAny})
		return err
	}
	only(t, write(t.Context()), model.ErrUnavailable)
	_, err = b.Get(t.Context(), testNow, driver.Get{ID: "id"})
	only(t, err, model.ErrUnavailable)
	if strings.Contains(err.Error(), "hunter2") {
		t.Fatal("the password is in the message")
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := write(short); !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil {
		t.Errorf("while it looks for a server: %v", err)
	}
	if err := c.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	only(t, write(t.Context()), model.ErrUnavailable)
}

// TestServerGoes cuts connections while they are made: nothing was sent.
func TestServerGoes(t *testing.T) {
	b, p := proxied(t, func(o *options.ClientOptions) { noRetries(o); o.SetServerSelectionTimeout(200 * time.Millisecond) })
	seed(t, b, base)
	p.refuse()
	p.play(loseAnswer)
	_, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"}) // the last connection
	only(t, err, model.ErrUnavailable)
	p.take()
	_, err = b.Write(t.Context(), testNow, driver.Write{Record: next, Cond: driver.IfAny})
	only(t, err, model.ErrUnavailable)
	if commands, _ := p.take(); len(commands) != 0 {
		t.Fatalf("on the wire: %v", commands)
	}
}
