package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// trick is what a proxy does to the next batch of commands.
type trick int

const (
	pass       trick = iota
	loseAnswer       // lets the server carry it out, then cuts the connection
	cutHalf          // sends half of it to the server, then cuts the connection
)

// proxy stands between a client and a server, or the nodes of a cluster. It
// counts what goes over the wire: a batch is what the client sends before it
// waits for an answer, so that of one server there are as many batches as round
// trips.
type proxy struct {
	addr   string                              // before the server that startProxy was given
	listen func(server string) (string, error) // the address before a server

	mu       sync.Mutex
	next     trick
	meantime func() // what happens between a cut and what the client does next
	batches  int
	commands []string
}

func startProxy(t testing.TB, server string) *proxy {
	t.Helper()
	p := newProxy(t)
	var err error
	if p.addr, err = p.listen(server); err != nil {
		t.Fatal(err)
	}
	return p
}

// newProxy is a proxy before servers that are not known yet: dial meets them.
func newProxy(t testing.TB) *proxy {
	t.Helper()
	p := &proxy{}
	var mu sync.Mutex
	fronts := map[string]net.Listener{}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	p.listen = func(server string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if l := fronts[server]; l != nil {
			return l.Addr().String(), nil
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		fronts[server] = l
		running.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				running.Go(func() { p.serve(ctx, c, server) })
			}
		})
		return l.Addr().String(), nil
	}
	t.Cleanup(func() {
		mu.Lock()
		for _, l := range fronts {
			_ = l.Close()
		}
		mu.Unlock()
		cancel()
		running.Wait()
	})
	return p
}

// dial connects to a server by way of the proxy.
func (p *proxy) dial(ctx context.Context, network, server string) (net.Conn, error) {
	addr, err := p.listen(server)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// through is the server's options with the proxy before it, and with the
// retries that go-redis makes by default.
func (p *proxy) through(o *goredis.Options) *goredis.Options {
	c := *o
	c.Addr = p.addr
	c.PoolSize = 4
	c.MaxRetries = 3
	return &c
}

// throughCluster is the same before the nodes of a cluster.
func (p *proxy) throughCluster(o *goredis.ClusterOptions) *goredis.ClusterOptions {
	c := *o
	c.Dialer, c.PoolSize = p.dial, 4
	return &c
}

func (p *proxy) serve(ctx context.Context, client net.Conn, addr string) {
	server, err := net.Dial("tcp", addr)
	if err != nil {
		_ = client.Close()
		return
	}
	cut := sync.OnceFunc(func() { _ = client.Close(); _ = server.Close() })
	defer cut()
	defer context.AfterFunc(ctx, cut)()
	var answers sync.WaitGroup
	defer answers.Wait()
	defer cut()

	var swallow sync.Mutex // held while answers are not passed on
	answers.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			swallow.Lock()
			if err == nil {
				_, err = client.Write(buf[:n])
			}
			swallow.Unlock()
			if err != nil {
				cut()
				return
			}
		}
	})
	in := bufio.NewReaderSize(client, 1<<20)
	for {
		batch, names, err := readBatch(in)
		if err != nil {
			return
		}
		switch p.count(names) {
		case loseAnswer:
			swallow.Lock()
			_, _ = server.Write(batch)
			waitDone(addr)
			p.pause()
			cut()
			swallow.Unlock()
			return
		case cutHalf:
			_, _ = server.Write(batch[:len(batch)/2])
			p.pause()
			return
		case pass:
			if _, err := server.Write(batch); err != nil {
				return
			}
		}
	}
}

// waitDone returns once the server has carried out what it was sent before: it
// answers a command of another connection, in the order in which they came or
// close to it, so it is asked a few times.
func waitDone(server string) {
	c, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for range 20 {
		if _, err := io.WriteString(c, "PING\r\n"); err != nil {
			return
		}
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
	}
}

// readBatch reads whole commands until none is at hand.
func readBatch(in *bufio.Reader) (batch []byte, names []string, err error) {
	for {
		raw, name, err := readCommand(in)
		if err != nil {
			return nil, nil, err
		}
		batch, names = append(batch, raw...), append(names, name)
		if in.Buffered() == 0 {
			return batch, names, nil
		}
	}
}

// readCommand reads one command and returns its bytes and name.
func readCommand(in *bufio.Reader) (raw []byte, name string, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, "", err
	}
	raw = []byte(line)
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "*")))
	if err != nil {
		return nil, "", err
	}
	for i := range n {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, "", err
		}
		size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "$")))
		if err != nil {
			return nil, "", err
		}
		arg := make([]byte, size+2)
		if _, err := io.ReadFull(in, arg); err != nil {
			return nil, "", err
		}
		if i == 0 {
			name = strings.ToLower(string(arg[:size]))
		}
		raw = append(append(raw, line...), arg...)
	}
	return raw, name, nil
}

// count notes a batch and says what becomes of it. The handshake of a new
// connection is none.
func (p *proxy) count(names []string) trick {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		switch name {
		case "hello", "client", "select", "auth", "command", "cluster":
			return pass
		}
	}
	p.batches++
	p.commands = append(p.commands, names...)
	now := p.next
	p.next = pass
	return now
}

func (p *proxy) play(next trick) { p.meet(next, nil) }

// meet plays a trick, and has something happen before the client learns of it.
func (p *proxy) meet(next trick, meantime func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.meantime = next, meantime
}

// pause lets happen what shall before the client learns of the cut.
func (p *proxy) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.meantime != nil {
		p.meantime()
	}
	p.meantime = nil
}

// take returns what was counted since the last call.
func (p *proxy) take() (batches int, commands []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	batches, commands = p.batches, p.commands
	p.batches, p.commands = 0, nil
	return batches, commands
}

// proxied is a backend behind a proxy, with all scripts known to the server.
func proxied(t testing.TB) (*Backend, *proxy) {
	t.Helper()
	o := options(t)
	loadScripts(t, clientOf(t, o))
	p := startProxy(t, o.Addr)
	b := openOn(t, clientOf(t, p.through(o)), storeName(), nil)
	if err := b.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.take()
	return b, p
}

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

// TestLostAnswers loses the answer to each write, and cuts it in half on the
// way: one command is on the wire, and the outcome is unknown.
func TestLostAnswers(t *testing.T) {
	base := record("id", "ann", time.Hour)
	next := record("id", "bob", 2*time.Hour)
	writes := map[string]func(ctx context.Context, b *Backend) error{
		"create": func(ctx context.Context, b *Backend) error {
			_, err := b.Write(ctx, testNow, driver.Write{Record: record("new", "ann", time.Hour), Cond: driver.IfAbsent})
			return err
		},
		"upsert": func(ctx context.Context, b *Backend) error {
			_, err := b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfAny})
			return err
		},
		"update": func(ctx context.Context, b *Backend) error {
			_, err := b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
			return err
		},
		"compare-and-set": func(ctx context.Context, b *Backend) error {
			_, err := b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfMatch, Known: base})
			return err
		},
		"touch": func(ctx context.Context, b *Backend) error {
			_, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: testNow.Add(time.Minute)})
			return err
		},
		"delete": func(ctx context.Context, b *Backend) error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: base})
		},
	}
	for name, do := range writes {
		for how, tr := range map[string]trick{"answer lost": loseAnswer, "cut in half": cutHalf} {
			t.Run(name+"/"+how, func(t *testing.T) {
				b, p := proxied(t)
				seed(t, b, base)
				p.take()
				p.play(tr)
				only(t, do(t.Context(), b), model.ErrUnknown)
				if _, commands := p.take(); len(commands) != 1 || commands[0] != "evalsha" {
					t.Fatalf("on the wire: %v, want one evalsha", commands)
				}
			})
		}
	}
}

// TestLostSweep loses the answer of the removing half of a sweep.
func TestLostSweep(t *testing.T) {
	b, p := proxied(t)
	seed(t, b, record("a", "ann", time.Hour), record("b", "ann", time.Hour))
	p.take()
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10, OnExpire: func(r model.Record) error {
		if r.ID == "a" {
			return errors.New("not this one")
		}
		p.play(loseAnswer) // before the removal, after the reads
		return nil
	}})
	only(t, err, model.ErrUnknown)
	if swept.Removed != 0 || swept.Unknown != 1 {
		t.Fatalf("swept %+v, want one unknown", swept)
	}
	p.take()
	swept, err = b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10})
	if err != nil || swept.Removed != 1 {
		t.Fatalf("swept %+v, %v, want the other one", swept, err)
	}
}

// TestLostBatch loses the answers to a pipeline: each of its writes was sent
// once, and none of them is said to have failed.
func TestLostBatch(t *testing.T) {
	b, p := proxied(t)
	p.take()
	p.play(loseAnswer)
	out := b.WriteMany(t.Context(), testNow, []driver.BatchOp{
		{Write: &driver.Write{Record: record("a", "ann", time.Hour), Cond: driver.IfAbsent}},
		{Write: &driver.Write{Record: record("b", "ann", time.Hour), Cond: driver.IfAbsent}},
		{Delete: &driver.Delete{ID: "c", Cond: driver.IfPresent}},
	})
	for _, o := range out {
		only(t, o.Err, model.ErrUnknown)
	}
	if _, commands := p.take(); len(commands) != 3 {
		t.Errorf("sent %v, want each operation once", commands)
	}
}

// TestLostBatchOfCluster loses what one of three masters answers to its share
// of a batch, long values among it: no operation was sent twice, those of that
// master alone are unknown, and all were carried out.
func TestLostBatchOfCluster(t *testing.T) {
	p := newProxy(t)
	b, err := New(clusterOf(t, p.throughCluster(clusterOptions(t))), storeName(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	batch := func(prefix string) []driver.BatchResult {
		var ops []driver.BatchOp
		for i := range 60 {
			r := record(fmt.Sprint(prefix, i), "ann", time.Hour)
			if i%10 == 0 {
				r.Value = make([]byte, stageSize)
			}
			ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: r, Cond: driver.IfAbsent}})
		}
		return b.WriteMany(ctx, testNow, ops)
	}
	for _, o := range batch("first") { // every node knows the script then
		only(t, o.Err, nil)
	}
	p.take()
	p.play(loseAnswer)
	unknown := 0
	for i, o := range batch("second") {
		if o.Err != nil {
			only(t, o.Err, model.ErrUnknown)
			unknown++
		}
		if _, err := b.Get(ctx, testNow, driver.Get{ID: fmt.Sprint("second", i)}); err != nil {
			t.Error(err)
		}
	}
	if unknown == 0 || unknown > 40 {
		t.Errorf("%d of 60 are unknown, want those of one master", unknown)
	}
	if _, commands := p.take(); count(commands, "evalsha") != 60 || count(commands, "set") != 6 {
		t.Errorf("on the wire: %d scripts and %d values, want 60 and 6", count(commands, "evalsha"), count(commands, "set"))
	}
	if n, err := b.Count(ctx, testNow, driver.Query{Label: "principal", Value: "ann"}); err != nil || n != 120 {
		t.Errorf("%d counted, %v", n, err)
	}
	if err := b.DeleteStorage(ctx); err != nil {
		t.Error(err)
	}
}

func TestLostReads(t *testing.T) {
	o := options(t)
	o.MaxRetries = -1
	p := startProxy(t, o.Addr)
	through := p.through(o)
	through.MaxRetries = -1
	b := openOn(t, clientOf(t, through), storeName(), nil)
	seed(t, b, record("id", "ann", time.Hour))
	reads := map[string]func() error{
		"get":   func() error { _, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"}); return err },
		"page":  func() error { _, err := b.Page(t.Context(), testNow, driver.Query{Limit: 10}); return err },
		"count": func() error { _, err := b.Count(t.Context(), testNow, driver.Query{Label: ""}); return err },
		"count by label": func() error {
			_, err := b.Count(t.Context(), testNow, driver.Query{Label: "principal", Value: "ann"})
			return err
		},
		"ping": func() error { return b.Ping(t.Context()) },
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

// TestLostAnswersOfCluster has the cluster client, which retries in its own
// way, with a map of slots that names one server.
func TestLostAnswersOfCluster(t *testing.T) {
	direct, p := proxied(t)
	c := goredis.NewClusterClient(&goredis.ClusterOptions{
		ClusterSlots: func(context.Context) ([]goredis.ClusterSlot, error) {
			addr := p.addr
			return []goredis.ClusterSlot{{Start: 0, End: 16383, Nodes: []goredis.ClusterNode{{Addr: addr}}}}, nil
		},
		NewClient: func(o *goredis.Options) *goredis.Client {
			with := p.through(options(t))
			o.Username, o.Password, o.MaxRetries = with.Username, with.Password, 3
			return goredis.NewClient(o)
		},
	})
	t.Cleanup(func() { _ = c.Close() })
	b := openOn(t, c, direct.name, nil)
	base := record("id", "ann", time.Hour)
	if err := b.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"write": func() error {
			_, err := b.Write(t.Context(), testNow, driver.Write{Record: base, Cond: driver.IfAny})
			return err
		},
		"touch": func() error {
			_, err := b.Touch(t.Context(), testNow, driver.Touch{ID: "id", Mode: driver.TouchClear})
			return err
		},
		"delete": func() error { return b.Delete(t.Context(), testNow, driver.Delete{ID: "id", Cond: driver.IfPresent}) },
		"sweep": func() error {
			_, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10, OnExpire: func(model.Record) error {
				p.take()
				p.play(loseAnswer)
				return nil
			}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			seed(t, b, base)
			p.take()
			if name != "sweep" {
				p.play(loseAnswer)
			}
			only(t, do(), model.ErrUnknown)
			if _, commands := p.take(); len(commands) != 1 || commands[0] != "evalsha" {
				t.Fatalf("on the wire: %v, want one evalsha", commands)
			}
		})
	}
}

// lostWrite is one kind of write through a Store whose answer gets lost.
type lostWrite struct {
	do      func(ctx context.Context, s *expiry.Store[string], it expiry.Item[string]) error
	fresh   bool // it starts without a record
	touches bool // it leaves value and revision
	deletes bool
	matches bool // it may be sent once more where its revision is still there
	staged  bool // its value goes by a command of its own
}

func lostWrites() map[string]lostWrite {
	long := strings.Repeat("v", 2*stageSize)
	type items = expiry.Item[string]
	type store = expiry.Store[string]
	out := func(_ items, err error) error { return err }
	update := func(value string, at bool) func(ctx context.Context, s *store, it items) error {
		return func(ctx context.Context, s *store, it items) error {
			if !at {
				return out(s.Update(ctx, "id", value, nil))
			}
			return out(s.Update(ctx, "id", value, &expiry.WriteOptions{IfMatch: it.Known()}))
		}
	}
	create := func(value string) func(ctx context.Context, s *store, it items) error {
		return func(ctx context.Context, s *store, _ items) error {
			return out(s.Create(ctx, "id", value, &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}}))
		}
	}
	touch := func(e expiry.Expiry, extend bool) func(ctx context.Context, s *store, it items) error {
		return func(ctx context.Context, s *store, _ items) error {
			return out(s.Touch(ctx, "id", e, &expiry.TouchOptions{Extend: extend}))
		}
	}
	bulk := func(kind expiry.OpKind) func(ctx context.Context, s *store, it items) error {
		return func(ctx context.Context, s *store, _ items) error {
			res, err := s.Bulk(ctx, []expiry.Op[string]{{Kind: kind, ID: "id", Value: "own"}})
			if err != nil {
				return err
			}
			return res.Results[0].Err
		}
	}
	return map[string]lostWrite{
		"create":      {do: create("own"), fresh: true},
		"create long": {do: create(long), fresh: true, staged: true},
		"upsert": {do: func(ctx context.Context, s *store, _ items) error {
			return out(s.Upsert(ctx, "id", "own", nil))
		}},
		"upsert of nothing": {fresh: true, do: func(ctx context.Context, s *store, _ items) error {
			return out(s.Upsert(ctx, "id", "own", nil))
		}},
		"update":               {do: update("own", false)},
		"update long":          {do: update(long, false), staged: true},
		"compare-and-set":      {do: update("own", true), matches: true},
		"compare-and-set long": {do: update(long, true), matches: true, staged: true},
		"touch that sets":      {do: touch(expiry.After(2*time.Hour), false), touches: true},
		"touch that extends":   {do: touch(expiry.After(2*time.Hour), true), touches: true},
		"touch that clears":    {do: touch(expiry.Never(), false), touches: true},
		"delete": {deletes: true, do: func(ctx context.Context, s *store, _ items) error {
			return s.Delete(ctx, "id", nil)
		}},
		"delete at a revision": {deletes: true, matches: true, do: func(ctx context.Context, s *store, it items) error {
			return s.Delete(ctx, "id", &expiry.DeleteOptions{IfMatch: it.Known()})
		}},
		"bulk create": {do: bulk(expiry.OpCreate), fresh: true},
		"bulk update": {do: bulk(expiry.OpUpdate)},
		"bulk upsert": {do: bulk(expiry.OpUpsert)},
		"bulk delete": {do: bulk(expiry.OpDelete), deletes: true},
	}
}

// TestLostWrites loses each kind of write on its way there or back, with and
// without another writer who acts before the Store looks what became of it:
// the Store recognises its own success, revives nothing, says ErrUnknown where
// it cannot tell, and the proxy sees no write twice, but a conditional one that
// was not carried out.
func TestLostWrites(t *testing.T) {
	const own, base, other, gone = "own", "base", "other", "" // what is there in the end
	direct, p := proxied(t)
	another := openOn(t, clientOf(t, options(t)), direct.name, nil)
	at := expiry.ClockFunc(func() time.Time { return testNow })
	s, err := expiry.NewStore[string](direct, &expiry.StoreOptions{Clock: at, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	o, err := expiry.NewStore[string](another, &expiry.StoreOptions{Clock: at, TTL: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	meantimes := map[string]func(ctx context.Context) error{
		"alone": nil,
		"another deletes": func(ctx context.Context) error {
			if err := o.Delete(ctx, "id", nil); !errors.Is(err, model.ErrNotFound) {
				return err
			}
			return nil
		},
		"another writes": func(ctx context.Context) error {
			_, err := o.Upsert(ctx, "id", other, &expiry.WriteOptions{Labels: map[string]string{"principal": "bob"}})
			return err
		},
	}
	for name, w := range lostWrites() {
		for how, tr := range map[string]trick{"answer lost": loseAnswer, "cut in half": cutHalf} {
			for who, meantime := range meantimes {
				t.Run(name+"/"+how+"/"+who, func(t *testing.T) {
					ctx := t.Context()
					want, left, sent := model.ErrUnknown, base, 1
					switch {
					case who == "another deletes":
						left = gone
					case who == "another writes":
						left = other
					case tr == loseAnswer && w.deletes:
						left = gone
					case tr == loseAnswer:
						want, left = nil, own
					case w.matches: // not carried out, and still in place
						want, left, sent = nil, own, 2
					case w.fresh:
						left = gone
					}
					if w.deletes && left == own {
						left = gone
					}
					var it expiry.Item[string]
					if _, err := o.Upsert(ctx, "id", base, &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}}); err != nil {
						t.Fatal(err)
					}
					if w.fresh {
						err = o.Delete(ctx, "id", nil)
					} else {
						it, err = s.Get(ctx, "id")
					}
					if err != nil {
						t.Fatal(err)
					}
					var between error
					p.take()
					p.meet(tr, func() {
						if meantime != nil {
							between = meantime(ctx)
						}
					})
					only(t, w.do(ctx, s, it), want)
					_, commands := p.take() // what the proxy noted before is seen from here on
					if between != nil {
						t.Fatal(between)
					}
					if n := count(commands, "evalsha"); n != sent {
						t.Errorf("on the wire: %v, want %d scripts", commands, sent)
					}
					if n := count(commands, "set"); w.staged && n != sent || !w.staged && n != 0 {
						t.Errorf("on the wire: %v, %d staged", commands, n)
					}
					found(t, another, left, w.touches)
				})
			}
		}
	}
	if err := another.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(t, another) {
		// A cut between a long value and its script leaves that to the server's TTL.
		if ttl := another.client.PTTL(t.Context(), key).Val(); !strings.Contains(key, "}:w:") || ttl <= 0 || ttl > stageTTL {
			t.Errorf("%s is left for %v", key, ttl)
		}
	}
}

func count(commands []string, name string) (n int) {
	for _, c := range commands {
		if c == name {
			n++
		}
	}
	return n
}

// found checks what is stored under the id, and that exactly its label's
// listing and count have it.
func found(t *testing.T, b *Backend, want string, touched bool) {
	t.Helper()
	rec, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"})
	got := string(rec.Value)
	switch {
	case want == "":
		only(t, err, model.ErrNotFound)
	case err != nil:
		t.Fatal(err)
	case want == "own" && touched:
		if rec.ExpiresAt.Equal(testNow.Add(10*time.Minute)) || got != `"base"` {
			t.Errorf("%q expires at %v", got, rec.ExpiresAt)
		}
	case want == "own" && (got == `"base"` || got == `"other"`), want != "own" && got != `"`+want+`"`:
		t.Errorf("%.20q is stored, want %s", got, want)
	case want != "own" && !rec.ExpiresAt.Equal(testNow.Add(10*time.Minute)):
		t.Errorf("it expires at %v", rec.ExpiresAt)
	}
	for _, who := range []string{"ann", "bob"} {
		bears := rec.Labels["principal"] == who
		if got := bearers(t, b, who); (len(got) == 1) != bears || len(got) > 1 {
			t.Errorf("%s bears %v, the record has %v", who, got, rec.Labels)
		}
		if n, err := b.Count(t.Context(), testNow, driver.Query{Label: "principal", Value: who}); err != nil || (n == 1) != bears {
			t.Errorf("%d counted under %s, %v", n, who, err)
		}
	}
}

// TestLostSweepAgainstAnother loses the answer of a sweep while another writer
// brings one of the ids back: it stays, and no later sweep counts it.
func TestLostSweepAgainstAnother(t *testing.T) {
	b, p := proxied(t)
	another := openOn(t, clientOf(t, options(t)), b.name, nil)
	seed(t, b, record("a", "ann", time.Hour), record("b", "ann", time.Hour))
	later := testNow.Add(time.Hour)
	again := record("a", "bob", 0)
	armed := false
	p.take()
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 10, OnExpire: func(model.Record) error {
		if !armed {
			armed = true
			p.take()
			p.meet(loseAnswer, func() { seed(t, another, again) })
		}
		return nil
	}})
	only(t, err, model.ErrUnknown)
	scripts := 2
	if b.bucket("a") == b.bucket("b") {
		scripts = 1
	}
	if _, commands := p.take(); swept.Removed != 0 || swept.Unknown != 2 || len(commands) != scripts || count(commands, "evalsha") != scripts {
		t.Fatalf("swept %+v, on the wire %v", swept, commands)
	}
	if swept, err = b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 10}); err != nil || swept.Removed != 0 {
		t.Fatalf("swept %+v, %v, want nothing more", swept, err)
	}
	if got, err := b.Get(t.Context(), later, driver.Get{ID: "a"}); err != nil || got.Revision != again.Revision {
		t.Fatalf("%+v, %v, want what another wrote", got, err)
	}
	if got := bearers(t, b, "bob"); len(got) != 1 {
		t.Fatalf("bob bears %v", got)
	}
}

// TestContexts ends the context before and after a write is sent.
func TestContexts(t *testing.T) {
	o := options(t)
	o.ContextTimeoutEnabled = true
	hung := startFake(t, func(string) string { return "" }) // never answers
	o.Addr, o.ReadTimeout, o.DialerRetries = hung.addr, time.Minute, 1
	b, err := New(clientOf(t, o), "hung", nil)
	if err != nil {
		t.Fatal(err)
	}
	write := driver.Write{Record: record("id", "", 0), Cond: driver.IfAny}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.Write(ended, testNow, write)
	if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
		t.Fatalf("before sending: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = b.Write(short, testNow, write)
	only(t, err, model.ErrUnknown)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("after sending: %v", err)
	}
}

// fake is a server that answers every command but the handshake with a fixed
// reply; nothing for an empty one, and it hangs up for "close".
type fake struct{ addr string }

func startFake(t testing.TB, reply func(command string) string) fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	serve := func(c net.Conn) {
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		defer func() { _ = c.Close() }()
		in := bufio.NewReader(c)
		for {
			_, name, err := readCommand(in)
			if err != nil {
				return
			}
			answer := reply(name)
			switch {
			case name == "hello":
				answer = "%0\r\n"
			case name == "client":
				answer = "+OK\r\n"
			case answer == "close":
				return
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		running.Wait()
	})
	return fake{addr: l.Addr().String()}
}

// TestRefusals has a server that refuses every command, in the words of real
// ones.
func TestRefusals(t *testing.T) {
	tests := []struct {
		reply       string
		write, read error
	}{
		{"-LOADING Redis is loading the dataset in memory\r\n", model.ErrUnavailable, model.ErrUnavailable},
		{"-READONLY You can't write against a read only replica.\r\n", model.ErrUnavailable, model.ErrUnavailable},
		{"-OOM command not allowed when used memory > 'maxmemory'. script: 0ad, on @user_script:3.\r\n", model.ErrUnavailable, model.ErrUnavailable},
		{"-NOAUTH Authentication required.\r\n", model.ErrUnavailable, model.ErrUnavailable},
		{"-NOPERM this user has no permissions to run the 'evalsha' command\r\n", model.ErrUnavailable, model.ErrUnavailable},
		{"-CLUSTERDOWN The cluster is down\r\n", model.ErrUnavailable, model.ErrUnavailable},
		{"-BUSY Redis is busy running a script.\r\n", model.ErrUnavailable, model.ErrUnavailable},
		{"-ERR upstream failure\r\n", model.ErrUnknown, model.ErrUnavailable},
		{"+OK\r\n", model.ErrUnknown, model.ErrCorrupt},
		{"!nonsense\r\n", model.ErrUnknown, model.ErrUnavailable},
		{"close", model.ErrUnknown, model.ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(strings.TrimSpace(test.reply[:min(len(test.reply), 12)]), func(t *testing.T) {
			f := startFake(t, func(string) string { return test.reply })
			c := clientOf(t, &goredis.Options{Addr: f.addr, MaxRetries: -1})
			b, err := New(c, "refused", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.Write(t.Context(), testNow, driver.Write{Record: record("id", "ann", time.Hour), Cond: driver.IfAbsent})
			only(t, err, test.write)
			_, err = b.Touch(t.Context(), testNow, driver.Touch{ID: "id", Mode: driver.TouchClear})
			only(t, err, test.write)
			only(t, b.Delete(t.Context(), testNow, driver.Delete{ID: "id", Cond: driver.IfPresent}), test.write)
			_, err = b.Get(t.Context(), testNow, driver.Get{ID: "id"})
			only(t, err, test.read)
		})
	}
}

// TestNoServer dials where nobody listens: nothing was sent.
func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	c := clientOf(t, &goredis.Options{Addr: l.Addr().String(), MaxRetries: -1, DialerRetries: 1, Password: "hunter2"})
	b, err := New(c, "none", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Write(t.Context(), testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfAny})
	only(t, err, model.ErrUnavailable)
	_, err = b.Get(t.Context(), testNow, driver.Get{ID: "id"})
	only(t, err, model.ErrUnavailable)
	if s := fmt.Sprint(err); strings.Contains(s, "hunter2") {
		t.Fatal("the password is in the message")
	}
	_ = c.Close()
	_, err = b.Write(t.Context(), testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfAny})
	only(t, err, model.ErrUnavailable)
}
