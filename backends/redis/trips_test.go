package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// TestTrips counts round trips on the wire, and fails when one grows.
func TestTrips(t *testing.T) {
	b, p := proxied(t)
	hook := &keysHook{t: t, name: b.name}
	b.client.AddHook(hook)
	ctx := t.Context()
	write := func(w driver.Write) error { _, err := b.Write(ctx, testNow, w); return err }
	page := func(q driver.Query) error { _, err := b.Page(ctx, testNow, q); return err }
	count := func(label, value string) error {
		_, err := b.Count(ctx, testNow, driver.Query{Label: label, Value: value})
		return err
	}
	touch := func(mode driver.TouchMode) error {
		_, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: mode, ExpiresAt: testNow.Add(2 * time.Hour)})
		return err
	}
	sweep := func(each func(model.Record) error) error {
		_, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 100, OnExpire: each})
		return err
	}
	expired := func() {
		for i := range 5 {
			r := record(fmt.Sprint("old", i), "ann", 0)
			r.ExpiresAt = testNow
			seed(t, b, r)
		}
	}
	base := record("id", "ann", time.Hour)
	stored := func() { seed(t, b, base) }
	scripts := func(n int) string { return strings.TrimSpace(strings.Repeat("evalsha ", n)) }

	tests := []struct {
		name     string
		before   func()
		do       func() error
		trips    int
		commands string // where they are fixed
	}{
		{"get", stored, func() error { _, err := b.Get(ctx, testNow, driver.Get{ID: "id"}); return err }, 1, "get"},
		{"create", nil, func() error {
			return write(driver.Write{Record: record("new", "ann", time.Hour), Cond: driver.IfAbsent})
		}, 1, scripts(1)},
		{"create over expired", expired, func() error {
			return write(driver.Write{Record: record("old0", "ann", time.Hour), Cond: driver.IfAbsent})
		}, 1, scripts(1)},
		{"upsert", stored, func() error { return write(driver.Write{Record: record("id", "bob", 0), Cond: driver.IfAny}) }, 1, scripts(1)},
		{"update", stored, func() error {
			return write(driver.Write{Record: record("id", "", 0), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
		}, 1, scripts(1)},
		{"compare-and-set", stored, func() error {
			return write(driver.Write{Record: record("id", "bob", 0), Cond: driver.IfMatch, Known: base})
		}, 1, scripts(1)},
		{"compare-and-set that keeps", stored, func() error {
			return write(driver.Write{Record: record("id", "", 0), Cond: driver.IfMatch, Known: base, Keep: driver.Keep{Expiry: true, Labels: true}})
		}, 1, scripts(1)},
		{"touch", stored, func() error { return touch(driver.TouchSet) }, 1, scripts(1)},
		{"touch that changes nothing", stored, func() error { return touch(driver.TouchExtend) }, 1, scripts(1)},
		{"delete", stored, func() error { return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent}) }, 1, scripts(1)},
		{"delete at a revision", stored, func() error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: base})
		}, 1, scripts(1)},
		{"get of many", stored, func() error {
			for _, o := range b.GetMany(ctx, testNow, driver.Gets("id", "old0", "nobody")) {
				if o.Err != nil && !errors.Is(o.Err, model.ErrNotFound) {
					return o.Err
				}
			}
			return nil
		}, 1, "get get get"},
		{"many writes", stored, func() error {
			out := b.WriteMany(ctx, testNow, []driver.BatchOp{
				{Write: &driver.Write{Record: record("many", "ann", time.Hour), Cond: driver.IfAny}},
				{Delete: &driver.Delete{ID: "id", Cond: driver.IfMatch, Known: base}},
			})
			return errors.Join(out[0].Err, out[1].Err)
		}, 1, scripts(2)},
		{"page", stored, func() error { return page(driver.Query{Limit: 100}) }, 2, ""},
		{"page of ids", stored, func() error { return page(driver.Query{Limit: 100, KeysOnly: true}) }, 2, ""},
		{"page by label", stored, func() error { return page(driver.Query{Limit: 100, Label: "principal", Value: "ann"}) }, 2, ""},
		{"page of nothing", stored, func() error { return page(driver.Query{Limit: 100, Label: "principal", Value: "nobody"}) }, 1, ""},
		{"count", stored, func() error { return count("", "") }, 1, strings.TrimSpace(strings.Repeat("zcount ", bucketCount))},
		{"count by label", expired, func() error { return count("principal", "ann") }, 1, scripts(bucketCount)},
		{"sweep", expired, func() error { return sweep(nil) }, 2, ""},
		{"sweep with announcements", expired, func() error { return sweep(func(model.Record) error { return nil }) }, 3, ""},
		{"sweep of nothing", nil, func() error { return sweep(nil) }, 1, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.before != nil {
				test.before()
			}
			p.take()
			if err := test.do(); err != nil {
				t.Fatal(err)
			}
			trips, commands := p.take()
			if trips != test.trips || test.commands != "" && strings.Join(commands, " ") != test.commands {
				t.Fatalf("%d trips with %v, want %d with %s", trips, commands, test.trips, test.commands)
			}
		})
	}
	hook.mu.Lock()
	defer hook.mu.Unlock()
	if hook.seen == 0 {
		t.Fatal("the hook saw no command")
	}
}

// TestUnknownScript flushes the server's scripts: the first call sends the
// source after the server has refused the digest.
func TestUnknownScript(t *testing.T) {
	b, p := proxied(t)
	if err := b.client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	p.take()
	for range 2 {
		seed(t, b, record("id", "ann", time.Hour))
	}
	// Another test may have loaded the script meanwhile, on this very server.
	switch _, commands := p.take(); strings.Join(commands, " ") {
	case "evalsha eval evalsha", "evalsha evalsha":
	default:
		t.Fatalf("on the wire: %v", commands)
	}
	if _, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10}); err != nil {
		t.Fatal(err)
	}
}

// keysHook fails the test for a command that no cluster could route: one with
// keys in several slots, or with a foreign key.
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
	keys := args[1:2]
	switch cmd.Name() {
	case "evalsha", "eval":
		keys = args[3 : 3+args[2].(int)]
	case "script", "ping", "hello", "client", "auth", "select":
		return
	case "mget", "unlink", "exists":
		keys = args[1:]
	case "keys", "scan", "flushdb", "flushall":
		h.t.Errorf("%s is never sent", cmd.Name())
	}
	tag := ""
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key.(string), h.name+":{")
		this, _, closed := strings.Cut(rest, "}:")
		if !ok || !closed || tag != "" && this != tag {
			h.t.Errorf("%s: %q and %v", cmd.Name(), tag, key)
		}
		tag = this
	}
}

// TestLongUpdateThatKeepsLabels updates long values without a version. The
// value stays out of Lua where the labels are as long as those of the updates
// before, most of them.
func TestLongUpdateThatKeepsLabels(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	kept := ""
	for i, label := range []string{"", "ann", "ann", "bob", "", "", strings.Repeat("l", 256), "eve"} {
		var reads [4]int // GETRANGE: those of the head and, in the first update after others, of the value
		for j := range reads {
			id := fmt.Sprint("id-", i)
			want := record(id, label, time.Hour)
			want.Value, want.Encoding = bytes.Repeat([]byte{byte('a' + i)}, stageSize+i*1000+j), "gob"
			if j == 0 {
				seed(t, b, record(id, label, time.Hour))
			}
			before := served(t, b)["getrange"]
			sent := want
			sent.Labels, sent.ExpiresAt = nil, testNow.Add(2*time.Hour)
			got, err := b.Write(ctx, testNow, driver.Write{Record: sent, Cond: driver.IfPresent, Keep: driver.Keep{Expiry: j < 3, Labels: true}})
			if err != nil {
				t.Fatal(err)
			}
			reads[j] = served(t, b)["getrange"] - before
			if j == 3 {
				want.ExpiresAt = sent.ExpiresAt
			}
			read, err := b.Get(ctx, testNow, driver.Get{ID: id})
			if err != nil || !bytes.Equal(read.Value, want.Value) || read.Encoding != "gob" || !maps.Equal(read.Labels, want.Labels) || !read.ExpiresAt.Equal(want.ExpiresAt) ||
				read.Revision != want.Revision || got.Revision != want.Revision || !maps.Equal(got.Labels, want.Labels) || !got.ExpiresAt.Equal(want.ExpiresAt) {
				t.Fatalf("%d: %v, answered %v, want %v; %v", i, read.Head(), got, want.Head(), err)
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
