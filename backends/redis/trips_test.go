package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestTrips counts round trips on the wire. It fails if one more is needed.
func TestTrips(t *testing.T) {
	b, p := proxied(t)
	hook := &keysHook{t: t, name: b.name}
	b.client.AddHook(hook)
	base := drivertest.SeedCalls(t, b)
	expired := func() {
		for i := range 5 {
			drivertest.Seed(t, b, drivertest.Expired(fmt.Sprint("old", i), "ann"))
		}
	}
	page := func(q driver.Query) func(context.Context, driver.ModelExpirySupport) error {
		q.Limit = 100
		return func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Page(ctx, drivertest.Now, q)
			return err
		}
	}
	sweep := func(onExpire func(model.Record) error) func(context.Context, driver.ModelExpirySupport) error {
		return func(ctx context.Context, b driver.ModelExpirySupport) error {
			swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now, Limit: 100, OnExpire: onExpire})
			if err == nil && swept.Removed < 5 {
				err = fmt.Errorf("removed %d records", swept.Removed)
			}
			return err
		}
	}
	calls := slices.Concat(drivertest.Writes(base), drivertest.Reads(), []drivertest.Call{
		{Name: "compare-and-set that keeps", Do: func(ctx context.Context, _ driver.ModelExpirySupport) error {
			keep := driver.Keep{Expiry: true, Labels: true}
			_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfMatch, Known: base, Keep: keep})
			return err
		}},
		{Name: "extend that changes nothing", Do: func(ctx context.Context, _ driver.ModelExpirySupport) error {
			_, err := b.Touch(ctx, drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchExtend, ExpiresAt: drivertest.Now.Add(time.Minute)})
			return err
		}},
		{Name: "get of three", Do: func(ctx context.Context, _ driver.ModelExpirySupport) error {
			for _, o := range b.GetMany(ctx, drivertest.Now, driver.Gets("id", "old0", "nobody")) {
				if o.Err != nil && !errors.Is(o.Err, model.ErrNotFound) {
					return o.Err
				}
			}
			return nil
		}},
		{Name: "write of two", Do: func(ctx context.Context, _ driver.ModelExpirySupport) error {
			out := b.WriteMany(ctx, drivertest.Now, []driver.BatchOp{
				{Write: &driver.Write{Record: drivertest.Record("many", "ann", time.Hour), Cond: driver.IfAny}},
				{Delete: &driver.Delete{ID: "id", Cond: driver.IfMatch, Known: base}},
			})
			return errors.Join(out[0].Err, out[1].Err)
		}},
		{Name: "page of ids", Do: page(driver.Query{KeysOnly: true})},
		{Name: "page of nothing", Do: page(driver.Query{Label: "principal", Value: "nobody"})},
		{Name: "sweep", Do: sweep(nil)},
		{Name: "sweep with announcements", Do: sweep(func(model.Record) error { return nil })},
	})
	repeat := func(name string, n int) string { return strings.TrimSpace(strings.Repeat(name+" ", n)) }
	type cost struct {
		trips    int
		commands string // empty: not checked
	}
	costs := map[string]cost{ // the others are one script
		"get": {1, "get"}, "get many": {1, "get"}, "get of three": {1, "get get get"}, "write of two": {1, repeat("evalsha", 2)},
		"page": {2, ""}, "page by label": {2, ""}, "page of ids": {2, ""}, "page of nothing": {1, ""},
		"count": {1, repeat("zcount zscore", bucketCount)}, "count by label": {1, repeat("evalsha", bucketCount)},
		"sweep": {2, ""}, "sweep with announcements": {3, ""}, "sweep of nothing": {1, ""}, "ping": {1, "ping"},
	}
	for _, c := range calls {
		t.Run(c.Name, func(t *testing.T) {
			expired()
			for _, id := range []string{"new", "plain", "old"} { // what the creates of other cases left
				_ = b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent})
			}
			drivertest.Seed(t, b, base, drivertest.Expired("old", ""))
			p.sent()
			if err := c.Do(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			want, ok := costs[c.Name]
			if !ok {
				want = cost{1, "evalsha"}
			}
			trips, commands := p.sent()
			if trips != want.trips || want.commands != "" && strings.Join(commands, " ") != want.commands {
				t.Fatalf("%d round trips with %v, want %d with %s", trips, commands, want.trips, want.commands)
			}
		})
	}
	hook.mu.Lock()
	defer hook.mu.Unlock()
	if hook.seen == 0 {
		t.Fatal("the hook saw no command")
	}
}

// TestUnknownScript flushes the server's scripts: after the server has refused
// the digest, the first call sends the source.
func TestUnknownScript(t *testing.T) {
	b, p := proxied(t)
	if err := b.client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	p.sent()
	for range 2 {
		drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	}
	// Another test may have loaded the script meanwhile.
	switch _, commands := p.sent(); strings.Join(commands, " ") {
	case "evalsha eval evalsha", "evalsha evalsha":
	default:
		t.Fatalf("on the wire: %v", commands)
	}
	if _, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 10}); err != nil {
		t.Fatal(err)
	}
}

// keysHook fails the test for a command that no cluster can route: one with keys
// in several slots, or with a key of another store.
type keysHook struct {
	t    testing.TB
	name string
	mu   sync.Mutex
	seen int
}

func (h *keysHook) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *keysHook) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		h.check(cmd)
		return next(ctx, cmd)
	}
}

func (h *keysHook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		for _, cmd := range cmds {
			h.check(cmd)
		}
		return next(ctx, cmds)
	}
}

func (h *keysHook) check(cmd goredis.Cmder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen++
	args := cmd.Args()
	keys := args[1:min(2, len(args))]
	switch cmd.Name() {
	case "evalsha", "eval":
		keys = args[3 : 3+args[2].(int)]
	case "script", "ping", "hello", "client", "auth", "select":
		return
	case "mget", "unlink", "exists":
		keys = args[1:]
	case "keys", "scan", "flushdb", "flushall":
		h.t.Errorf("%s was sent, which visits all keys", cmd.Name())
	}
	tag := ""
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key.(string), h.name+":{")
		this, _, closed := strings.Cut(rest, "}:")
		if !ok || !closed || tag != "" && this != tag {
			h.t.Errorf("%s: the key %v is not in the slot of %q", cmd.Name(), key, tag)
		}
		tag = this
	}
}

// TestLongUpdateThatKeepsLabels updates long values without knowing the record.
// The value does not pass through Lua if the labels are as long as those of most
// earlier updates.
func TestLongUpdateThatKeepsLabels(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	kept := ""
	for i, label := range []string{"", "ann", "ann", "bob", "", "", strings.Repeat("l", 256), "eve"} {
		var reads [4]int // GETRANGE: of the head and, in the first update after another length, of the value
		for j := range reads {
			id := fmt.Sprint("id-", i)
			want := drivertest.Record(id, label, time.Hour)
			want.Value, want.Encoding = bytes.Repeat([]byte{byte('a' + i)}, stageSize+i*1000+j), "gob"
			if j == 0 {
				drivertest.Seed(t, b, drivertest.Record(id, label, time.Hour))
			}
			before := served(t, b.client)["getrange"].calls
			sent := want
			sent.Labels, sent.ExpiresAt = nil, drivertest.Now.Add(2*time.Hour)
			got, err := b.Write(ctx, drivertest.Now, driver.Write{Record: sent, Cond: driver.IfPresent, Keep: driver.Keep{Expiry: j < 3, Labels: true}})
			if err != nil {
				t.Fatal(err)
			}
			reads[j] = served(t, b.client)["getrange"].calls - before
			if j == 3 {
				want.ExpiresAt = sent.ExpiresAt
			}
			if read := drivertest.Get(t, b, id); !reflect.DeepEqual(read, want) || !reflect.DeepEqual(got, want.Head()) {
				t.Fatalf("%d: %v is stored and %v was returned, want %v", i, read.Head(), got, want.Head())
			}
			if label != "" && !slices.Contains(bearers(t, b, label), id) {
				t.Errorf("%d: not listed by its label", i)
			}
		}
		value := 0
		if len(label) != len(kept) {
			value = 1
		}
		if reads[0] != reads[3]+value {
			t.Errorf("%d: GETRANGE %d times", i, reads)
		}
		kept = label
	}
}

// TestTripsOfStorage counts the round trips of calls on a storage that is there.
func TestTripsOfStorage(t *testing.T) {
	b, p := proxied(t)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	p.sent()
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	trips, commands := p.sent()
	if trips != 2 || countCommands(commands, "eval") != 1 || countCommands(commands, "scan") > 0 {
		t.Errorf("create storage again: %d round trips with %v", trips, commands)
	}
	// All keys of a new store are marked in one more.
	fresh := newOn(t, b.client, drivertest.Name(), nil)
	if err := fresh.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, commands = p.sent(); countCommands(commands, "zadd") != 3*bucketCount || countCommands(commands, "eval") != 1+contenders || countCommands(commands, "scan") > 0 {
		t.Errorf("create storage: %v", commands)
	}
	if err := fresh.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
}
