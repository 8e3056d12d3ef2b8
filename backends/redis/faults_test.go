package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// proxy stands in front of a server or the nodes of a cluster. It records the
// commands on the wire. A message is what the client sends before it waits for
// an answer, so one server gets one message for each round trip.
type proxy struct {
	*faultnet.TCPProxy
	messages atomic.Int64
}

func newProxy(t testing.TB) *proxy {
	t.Helper()
	p := &proxy{}
	p.TCPProxy = faultnet.NewTCPProxy(t, faultnet.Protocol{
		ReadRequest: readMessage, Done: waitDone, Sent: func([]byte) { p.messages.Add(1) },
	})
	return p
}

// options returns options that lead through the proxy, with the retries that
// go-redis makes by default.
func (p *proxy) options(o *goredis.Options) *goredis.Options {
	c := *o
	c.Dialer, c.PoolSize, c.MaxRetries = p.DialContext, 4, 3
	return &c
}

// clusterOptions does the same for the nodes of a cluster.
func (p *proxy) clusterOptions(o *goredis.ClusterOptions) *goredis.ClusterOptions {
	c := *o
	c.Dialer, c.PoolSize = p.DialContext, 4
	return &c
}

// sent returns the round trips and commands since its last call.
func (p *proxy) sent() (trips int, commands []string) {
	return int(p.messages.Swap(0)), p.Requests()
}

// waitDone returns once the server has carried out what it was sent before. The
// server carries out the commands of several connections in about the order in
// which they arrive, so waitDone sends a few commands of its own.
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

// readMessage reads all commands that have arrived. The handshake of a new
// connection has no names.
func readMessage(in *bufio.Reader) (raw []byte, names []string, err error) {
	handshake := false
	for {
		command, name, err := readCommand(in)
		if err != nil {
			return nil, nil, err
		}
		switch name {
		case "hello", "client", "select", "auth", "command", "cluster":
			handshake = true
		}
		raw, names = append(raw, command...), append(names, name)
		if in.Buffered() > 0 {
			continue
		}
		if handshake {
			names = nil
		}
		return raw, names, nil
	}
}

// readCommand reads one command and returns its bytes and name.
func readCommand(in *bufio.Reader) (raw []byte, name string, err error) {
	number := func(prefix string) (int, error) {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		raw = append(raw, line...)
		return strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, prefix)))
	}
	n, err := number("*")
	for i := 0; i < n && err == nil; i++ {
		var size int
		if size, err = number("$"); err != nil {
			break
		}
		arg := make([]byte, size+2)
		_, err = io.ReadFull(in, arg)
		if i == 0 {
			name = strings.ToLower(string(arg[:size]))
		}
		raw = append(raw, arg...)
	}
	return raw, name, err
}

// proxied returns a backend behind a proxy. The server knows all scripts.
func proxied(t testing.TB) (*Backend, *proxy) {
	t.Helper()
	o := options(t)
	loadScripts(t, clientOf(t, o))
	p := newProxy(t)
	return openOn(t, clientOf(t, p.options(o)), drivertest.Name(), nil), p
}

// proxiedCluster does the same with the cluster's client, which retries in its
// own way. Its map of slots names one server.
func proxiedCluster(t testing.TB) (*Backend, *proxy) {
	t.Helper()
	o := options(t)
	loadScripts(t, clientOf(t, o))
	p := newProxy(t)
	c := oneNodeCluster(t, o.Addr, func() *goredis.Client { return goredis.NewClient(p.options(o)) })
	return openOn(t, c, drivertest.Name(), nil), p
}

// oneNodeCluster returns a cluster's client whose map of slots names one server.
func oneNodeCluster(t testing.TB, addr string, connect func() *goredis.Client) *goredis.ClusterClient {
	t.Helper()
	c := goredis.NewClusterClient(&goredis.ClusterOptions{
		ClusterSlots: func(context.Context) ([]goredis.ClusterSlot, error) {
			return []goredis.ClusterSlot{{Start: 0, End: 16383, Nodes: []goredis.ClusterNode{{Addr: addr}}}}, nil
		},
		NewClient: func(*goredis.Options) *goredis.Client { return connect() },
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func isScript(name string) bool { return name == "evalsha" }

func countCommands(commands []string, name string) (n int) {
	for _, c := range commands {
		if c == name {
			n++
		}
	}
	return n
}

// TestLostAnswers loses the answer of each write, or cuts the request in half:
// one command is on the wire, and the outcome is unknown.
func TestLostAnswers(t *testing.T) {
	for name, open := range map[string]func(t testing.TB) (*Backend, *proxy){"client": proxied, "cluster client": proxiedCluster} {
		t.Run(name, func(t *testing.T) {
			drivertest.LostWrites(t, drivertest.Lost{
				Open:   func(t testing.TB) (driver.ModelExpirySupport, drivertest.Wire) { return open(t) },
				Faults: []faultnet.Fault{faultnet.LoseAnswer, faultnet.CutRequest},
			})
			t.Run("sweep", func(t *testing.T) {
				b, p := open(t)
				drivertest.LostSweep(t, b, p, isScript)
			})
		})
	}
}

// TestLostBatch loses the answers of a pipeline: each of its writes was sent
// once, and all are ErrUnknown.
func TestLostBatch(t *testing.T) {
	b, p := proxied(t)
	p.sent()
	p.Next(faultnet.LoseAnswer)
	for _, o := range b.WriteMany(t.Context(), drivertest.Now, []driver.BatchOp{
		{Write: &driver.Write{Record: drivertest.Record("a", "ann", time.Hour), Cond: driver.IfAbsent}},
		{Write: &driver.Write{Record: drivertest.Record("b", "ann", time.Hour), Cond: driver.IfAbsent}},
		{Delete: &driver.Delete{ID: "c", Cond: driver.IfPresent}},
	}) {
		drivertest.WantKind(t, o.Err, model.ErrUnknown)
	}
	if _, commands := p.sent(); len(commands) != 3 {
		t.Errorf("sent %v, want each operation once", commands)
	}
}

// TestLostBatchOfCluster loses the answer of one of three masters to its part of
// a batch, which has long values. No operation is sent twice, only those of that
// master are unknown, and all are carried out.
func TestLostBatchOfCluster(t *testing.T) {
	p := newProxy(t)
	b := createOn(t, clusterOf(t, p.clusterOptions(clusterOptions(t))), drivertest.Name(), nil)
	ctx := t.Context()
	batch := func(prefix string) []driver.BatchResult {
		var ops []driver.BatchOp
		for i := range 60 {
			r := drivertest.Record(fmt.Sprint(prefix, i), "ann", time.Hour)
			if i%10 == 0 {
				r = long(r.ID)
			}
			ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: r, Cond: driver.IfAbsent}})
		}
		return b.WriteMany(ctx, drivertest.Now, ops)
	}
	for _, o := range batch("first") { // every node knows the script then
		drivertest.WantKind(t, o.Err, nil)
	}
	p.sent()
	p.Next(faultnet.LoseAnswer)
	unknown := 0
	for i, o := range batch("second") {
		if o.Err != nil {
			drivertest.WantKind(t, o.Err, model.ErrUnknown)
			unknown++
		}
		drivertest.Get(t, b, fmt.Sprint("second", i))
	}
	if unknown == 0 || unknown > 40 {
		t.Errorf("%d of 60 are unknown, want those of one master", unknown)
	}
	if _, commands := p.sent(); countCommands(commands, "evalsha") != 60 || countCommands(commands, "set") != 6 {
		t.Errorf("on the wire: %v, want 60 scripts and 6 values", commands)
	}
	wantCount(t, b, "principal", "ann", 120)
	if err := b.DeleteStorage(ctx); err != nil {
		t.Error(err)
	}
}

func TestLostReads(t *testing.T) {
	p := newProxy(t)
	through := p.options(options(t))
	through.MaxRetries = -1
	b := openOn(t, clientOf(t, through), drivertest.Name(), nil)
	drivertest.SeedCalls(t, b)
	drivertest.LostReads(t, b, nil, p, drivertest.Reads(), faultnet.LoseAnswer)
}

// lostWrite is one kind of write through a Store whose answer gets lost.
type lostWrite struct {
	do      func(ctx context.Context, s *expiry.Store[string], it expiry.Item[string]) error
	fresh   bool // it starts without a record
	touches bool // it leaves value and revision
	deletes bool
	matches bool // the Store sends it again if the known revision is still stored
	staged  bool // its value has a command of its own
}

func lostWrites() map[string]lostWrite {
	long := strings.Repeat("v", 2*stageSize)
	type items = expiry.Item[string]
	type store = expiry.Store[string]
	type call = func(ctx context.Context, s *store, it items) error
	out := func(_ items, err error) error { return err }
	update := func(value string, at bool) call {
		return func(ctx context.Context, s *store, it items) error {
			if !at {
				return out(s.Update(ctx, "id", value, nil))
			}
			return out(s.Update(ctx, "id", value, &expiry.WriteOptions{IfMatch: it.Known()}))
		}
	}
	create := func(value string) call {
		return func(ctx context.Context, s *store, _ items) error {
			return out(s.Create(ctx, "id", value, &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}}))
		}
	}
	upsert := func(ctx context.Context, s *store, _ items) error { return out(s.Upsert(ctx, "id", "own", nil)) }
	touch := func(e expiry.Expiry, extend bool) call {
		return func(ctx context.Context, s *store, _ items) error {
			return out(s.Touch(ctx, "id", e, &expiry.TouchOptions{Extend: extend}))
		}
	}
	remove := func(at bool) call {
		return func(ctx context.Context, s *store, it items) error {
			if !at {
				return s.Delete(ctx, "id", nil)
			}
			return s.Delete(ctx, "id", &expiry.DeleteOptions{IfMatch: it.Known()})
		}
	}
	bulk := func(kind expiry.OpKind) call {
		return func(ctx context.Context, s *store, _ items) error {
			res, err := s.Bulk(ctx, []expiry.Op[string]{{Kind: kind, ID: "id", Value: "own"}})
			if err != nil {
				return err
			}
			return res.Results[0].Err
		}
	}
	return map[string]lostWrite{
		"create":               {do: create("own"), fresh: true},
		"create long":          {do: create(long), fresh: true, staged: true},
		"upsert":               {do: upsert},
		"upsert of nothing":    {do: upsert, fresh: true},
		"update":               {do: update("own", false)},
		"update long":          {do: update(long, false), staged: true},
		"compare-and-set":      {do: update("own", true), matches: true},
		"compare-and-set long": {do: update(long, true), matches: true, staged: true},
		"touch that sets":      {do: touch(expiry.After(2*time.Hour), false), touches: true},
		"touch that extends":   {do: touch(expiry.After(2*time.Hour), true), touches: true},
		"touch that clears":    {do: touch(expiry.Never(), false), touches: true},
		"delete":               {do: remove(false), deletes: true},
		"delete at a revision": {do: remove(true), deletes: true, matches: true},
		"bulk create":          {do: bulk(expiry.OpCreate), fresh: true},
		"bulk update":          {do: bulk(expiry.OpUpdate)},
		"bulk upsert":          {do: bulk(expiry.OpUpsert)},
		"bulk delete":          {do: bulk(expiry.OpDelete), deletes: true},
	}
}

// TestLostWrites loses each kind of write or its answer. In some cases another
// writer acts before the Store reads the outcome. The Store recognises its own
// success, brings no record back, and returns ErrUnknown if it cannot tell. A
// write is sent again only if it is conditional and was not carried out.
func TestLostWrites(t *testing.T) {
	const own, base, other, gone = "own", "base", "other", "" // what is stored in the end
	direct, p := proxied(t)
	another := openOn(t, clientOf(t, options(t)), direct.name, nil)
	at := expiry.ClockFunc(func() time.Time { return drivertest.Now })
	s, err := expiry.NewStore[string](direct, &expiry.StoreOptions{Clock: at, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	o, err := expiry.NewStore[string](another, &expiry.StoreOptions{Clock: at, TTL: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	meantimes := map[string]func(ctx context.Context) error{
		"alone": func(context.Context) error { return nil },
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
		for _, fault := range []faultnet.Fault{faultnet.LoseAnswer, faultnet.CutRequest} {
			for who, meantime := range meantimes {
				t.Run(name+"/"+fault.String()+"/"+who, func(t *testing.T) {
					ctx := t.Context()
					want, left, sent := model.ErrUnknown, base, 1
					switch {
					case who == "another deletes", who == "alone" && fault == faultnet.LoseAnswer && w.deletes:
						left = gone
					case who == "another writes":
						left = other
					case fault == faultnet.LoseAnswer:
						want, left = nil, own
					case w.matches: // not carried out, and the known revision is still stored
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
					done := make(chan error, 1)
					p.sent()
					p.Set(faultnet.Plan{Fault: fault, Then: func() { done <- meantime(ctx) }})
					drivertest.WantKind(t, w.do(ctx, s, it), want)
					select {
					case err := <-done:
						if err != nil {
							t.Fatal(err)
						}
					default:
						t.Fatal("no command met the fault")
					}
					_, commands := p.sent()
					if n := countCommands(commands, "evalsha"); n != sent {
						t.Errorf("on the wire: %v, want %d scripts", commands, sent)
					}
					if n := countCommands(commands, "set"); w.staged && n != sent || !w.staged && n != 0 {
						t.Errorf("on the wire: %v, %d staged", commands, n)
					}
					wantStored(t, another, left, w.touches)
				})
			}
		}
	}
	if err := another.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(t, another) {
		// After a cut between a long value and its script, the server's TTL removes the value.
		const over = -2 * time.Nanosecond // how go-redis returns that the key is gone, now
		if ttl := another.client.PTTL(t.Context(), key).Val(); !strings.Contains(key, "}:w:") || ttl != over && (ttl <= 0 || ttl > stageTTL) {
			t.Errorf("%s is left for %v", key, ttl)
		}
	}
}

// wantStored checks the record with the id, and that only the listing and count
// of its label have it.
func wantStored(t *testing.T, b *Backend, want string, touched bool) {
	t.Helper()
	rec, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	got, soon := string(rec.Value), drivertest.Now.Add(10*time.Minute)
	switch {
	case want == "":
		drivertest.WantKind(t, err, model.ErrNotFound)
	case err != nil:
		t.Fatal(err)
	case want == "own" && touched:
		if rec.ExpiresAt.Equal(soon) || got != `"base"` {
			t.Errorf("%q expires at %v", got, rec.ExpiresAt)
		}
	case want == "own" && (got == `"base"` || got == `"other"`), want != "own" && got != `"`+want+`"`:
		t.Errorf("%.20q is stored, want %s", got, want)
	case want != "own" && !rec.ExpiresAt.Equal(soon):
		t.Errorf("it expires at %v, want %v", rec.ExpiresAt, soon)
	}
	for _, who := range []string{"ann", "bob"} {
		var ids []string
		if rec.Labels["principal"] == who {
			ids = []string{"id"}
		}
		wantBearers(t, b, who, ids...)
		wantCount(t, b, "principal", who, len(ids))
	}
}

// TestLostSweepAgainstAnother loses the answer of a sweep while another writer
// creates one of the ids again: that record stays, and no later sweep counts it.
func TestLostSweepAgainstAnother(t *testing.T) {
	b, p := proxied(t)
	another := openOn(t, clientOf(t, options(t)), b.name, nil)
	drivertest.Seed(t, b, drivertest.Record("a", "ann", time.Hour), drivertest.Record("b", "ann", time.Hour))
	later := drivertest.Now.Add(time.Hour)
	again := drivertest.Record("a", "bob", 0)
	p.Set(faultnet.Plan{Fault: faultnet.LoseAnswer, Match: isScript, Then: func() { drivertest.Seed(t, another, again) }})
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 10, OnExpire: func(model.Record) error {
		p.sent()
		return nil
	}})
	drivertest.WantKind(t, err, model.ErrUnknown)
	scripts := 2
	if b.bucket("a") == b.bucket("b") {
		scripts = 1
	}
	if _, commands := p.sent(); swept.Removed != 0 || swept.Unknown != 2 || len(commands) != scripts || countCommands(commands, "evalsha") != scripts {
		t.Fatalf("swept %+v, on the wire %v", swept, commands)
	}
	if swept, err = b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 10}); err != nil || swept.Removed != 0 {
		t.Fatalf("swept %+v, %v, want no removal", swept, err)
	}
	if got, err := b.Get(t.Context(), later, driver.Get{ID: "a"}); err != nil || got.Revision != again.Revision {
		t.Fatalf("got %+v, %v, want what the other writer wrote", got, err)
	}
	wantBearers(t, b, "bob", "a")
}

// TestContexts ends the context before and after a write is sent.
func TestContexts(t *testing.T) {
	t.Run("before sending", func(t *testing.T) {
		b, p := proxied(t)
		drivertest.EndedContexts(t, b, p)
	})
	t.Run("after sending", func(t *testing.T) {
		// On a busy machine a short time is over before anything is sent.
		for limit := 20 * time.Millisecond; ; limit *= 2 {
			var arrived atomic.Bool
			hung := startFake(t, func(string) string { arrived.Store(true); return "" }) // never answers
			hung.ContextTimeoutEnabled, hung.ReadTimeout = true, time.Minute
			b := newOn(t, clientOf(t, hung), "hung", nil)
			short, cancel := context.WithTimeout(t.Context(), limit)
			_, err := b.Write(short, drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfAny})
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v, want %v", err, context.DeadlineExceeded)
			}
			if arrived.Load() {
				drivertest.WantKind(t, err, model.ErrUnknown)
				return
			}
		}
	})
}

// startFake starts a server that answers the handshake. To every other command
// it sends the reply, or nothing if that is empty; it closes the connection for
// the reply "close". The options are for a client without retries.
func startFake(t testing.TB, reply func(command string) string) *goredis.Options {
	t.Helper()
	return startRawFake(t, func(_ []byte, command string) string { return reply(command) })
}

// startSentinel starts a sentinel that names the master of every name.
func startSentinel(t testing.TB, master string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		t.Fatal(err)
	}
	return startRawFake(t, func(raw []byte, command string) string {
		switch {
		case strings.Contains(string(raw), "get-master-addr-by-name"):
			return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(host), host, len(port), port)
		case command == "subscribe", command == "ping":
			return "" // nothing is ever published
		}
		return "*0\r\n"
	}).Addr
}

// startRawFake is startFake with the bytes of the command.
func startRawFake(t testing.TB, reply func(raw []byte, command string) string) *goredis.Options {
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
			raw, name, err := readCommand(in)
			if err != nil {
				return
			}
			var answer string
			switch name {
			case "hello":
				answer = "%0\r\n"
			case "client":
				answer = "+OK\r\n"
			case "hgetall": // there is no storage yet
				answer = "%0\r\n"
			default:
				answer = reply(raw, name)
			}
			if answer == "close" {
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
	return &goredis.Options{Addr: l.Addr().String(), MaxRetries: -1, DialerRetries: 1}
}

// TestRefusals has a server that answers every command with an error, in the
// words of real servers.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
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
		{"-ERR Error running script (call to f_0ad): @user_script:40: @user_script: 40: -OOM command not allowed when used memory > 'maxmemory'.\r\n", model.ErrUnavailable, model.ErrUnavailable},
		{"-ERR upstream failure\r\n", model.ErrUnknown, model.ErrUnavailable},
		{"+OK\r\n", model.ErrUnknown, model.ErrCorrupt},
		{"!nonsense\r\n", model.ErrUnknown, model.ErrUnavailable},
		{"close", model.ErrUnknown, model.ErrUnavailable},
	} {
		t.Run(strings.TrimSpace(test.reply[:min(len(test.reply), 12)]), func(t *testing.T) {
			b := newOn(t, clientOf(t, startFake(t, func(string) string { return test.reply })), "refused", nil)
			for _, c := range drivertest.Pick(t, drivertest.Writes(model.Record{}), "create labelled", "clear", "delete") {
				drivertest.WantKind(t, c.Do(t.Context(), b), test.write)
			}
			drivertest.WantKind(t, drivertest.Pick(t, drivertest.Reads(), "get")[0].Do(t.Context(), b), test.read)
		})
	}
}

// TestSweepRefusedAndLost has a sweep that one bucket refuses, and of which the
// other answers are lost. The sweep returns ErrUnknown, because removals are
// unknown (rule R56).
func TestSweepRefusedAndLost(t *testing.T) {
	var removals atomic.Int64
	fake := startFake(t, func(command string) string {
		switch {
		case command == "zscore":
			return ",0\r\n" // the mark
		case !isScript(command):
			return "*1\r\n*2\r\n$1\r\na\r\n,1\r\n" // one due record in every bucket
		case removals.Add(1) == 1:
			return "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
		}
		return "close"
	})
	swept, err := newOn(t, clientOf(t, fake), "swept", nil).DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 100})
	drivertest.WantKind(t, err, model.ErrUnknown)
	if want := (driver.Swept{Unknown: bucketCount - 1}); swept != want {
		t.Errorf("swept %+v, want %+v", swept, want)
	}
}

// TestNoServer uses a port on which no server listens: nothing is sent.
func TestNoServer(t *testing.T) {
	c := clientOf(t, &goredis.Options{Addr: drivertest.NoServer(t), MaxRetries: -1, DialerRetries: 1, Password: "hunter2"})
	b := newOn(t, c, "none", nil)
	calls := slices.Concat(drivertest.Pick(t, drivertest.Writes(model.Record{}), "upsert"), drivertest.Pick(t, drivertest.Reads(), "get"))
	for range 2 {
		for _, call := range calls {
			err := call.Do(t.Context(), b)
			drivertest.WantKind(t, err, model.ErrUnavailable)
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the error has the password in its text")
			}
		}
		_ = c.Close() // and once more with a closed client
	}
}
