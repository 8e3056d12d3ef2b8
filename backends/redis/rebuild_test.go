package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// around calls before each command and each pipeline of a client, and after those
// that were sent.
type around struct {
	goredis.Hook
	before func(cmds []goredis.Cmder) error
	after  func(cmds []goredis.Cmder)
}

func (h *around) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (h *around) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		return h.ProcessPipelineHook(func(ctx context.Context, _ []goredis.Cmder) error { return next(ctx, cmd) })(ctx, []goredis.Cmder{cmd})
	}
}

func (h *around) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if h.before != nil {
			if err := h.before(cmds); err != nil {
				return err
			}
		}
		err := next(ctx, cmds)
		if h.after != nil {
			h.after(cmds)
		}
		return err
	}
}

// about reports whether one of the commands has the name and the argument.
func about(cmds []goredis.Cmder, name, arg string) bool {
	return slices.ContainsFunc(cmds, func(c goredis.Cmder) bool {
		return c.Name() == name && slices.ContainsFunc(c.Args(), func(a any) bool { return a == arg })
	})
}

// hooked returns a backend on the same store whose client has the hook.
func hooked(t testing.TB, b *Backend, h *around) *Backend {
	t.Helper()
	c := clientOf(t, options(t))
	c.AddHook(h)
	return newOn(t, c, b.name, nil)
}

// TestRebuildFromAnIndexThatIsLost evicts the index by id while another one is
// rebuilt from it, at two moments: neither is taken for whole.
func TestRebuildFromAnIndexThatIsLost(t *testing.T) {
	for name, when := range map[string]func(k *bucket, cmds []goredis.Cmder) bool{
		"before it is read":        func(k *bucket, cmds []goredis.Cmder) bool { return about(cmds, "zadd", k.due) },
		"while it is read":         func(k *bucket, cmds []goredis.Cmder) bool { return about(cmds, "zrangebylex", k.ids) },
		"after it was read at all": func(_ *bucket, cmds []goredis.Cmder) bool { return about(cmds, "evalsha", markScript.digest.(string)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, nil)
			anns := seedPeople(t, b)
			k := b.bucket("id000")
			b.client.Del(t.Context(), k.due)
			var lost atomic.Bool
			other := hooked(t, b, &around{before: func(cmds []goredis.Cmder) error {
				if when(k, cmds) && lost.CompareAndSwap(false, true) {
					b.client.Del(context.WithoutCancel(t.Context()), k.ids)
				}
				return nil
			}})
			err := other.CreateStorage(t.Context())
			if !lost.Load() {
				t.Fatal("the index was not lost")
			}
			if err != nil {
				drivertest.WantKind(t, err, model.ErrUnavailable)
				if _, err := b.Count(t.Context(), drivertest.Now, driver.Query{}); !errors.Is(err, model.ErrUnavailable) {
					t.Errorf("count: %v", err)
				}
				wantNoDrafts(t, b)
				if err := b.CreateStorage(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			wantCount(t, b, "", "", 200)
			wantBearers(t, b, "ann", anns...)
			wantNoDrafts(t, b)
		})
	}
}

// wantNoDrafts fails the test if a rebuild has left a draft.
func wantNoDrafts(t testing.TB, b *Backend) {
	t.Helper()
	for _, key := range keysOf(t, b) {
		for _, m := range b.client.ZRange(t.Context(), key, 0, -1).Val() {
			if strings.HasPrefix(m, indexDraft) {
				t.Errorf("%s has a draft", key)
			}
		}
	}
}

// TestRebuildOverAFailover has another server take over during a rebuild, which
// the id of the run tells: once during the SCAN, whose cursor then skips all, and
// once before the marks. The rebuild begins again.
func TestRebuildOverAFailover(t *testing.T) {
	for name, lose := range map[string]func(k *bucket) string{
		"with SCAN":    func(k *bucket) string { return k.ids },
		"without SCAN": func(k *bucket) string { return k.due },
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, nil)
			anns := seedPeople(t, b)
			k := b.bucket("id000")
			b.client.Del(t.Context(), lose(k))
			var moved atomic.Bool
			run := "run_id:"
			other := hooked(t, b, &around{after: func(cmds []goredis.Cmder) {
				switch c := cmds[0].(type) {
				case *goredis.ScanCmd:
					if moved.CompareAndSwap(false, true) {
						c.SetVal(nil, 0)
					}
				case *goredis.StringSliceCmd: // the entries that are read
					if c.Name() == "zrangebylex" && lose(k) == k.due && moved.CompareAndSwap(false, true) {
						c.SetVal(nil)
					}
				case *goredis.StringCmd:
					if c.Name() == "info" && moved.Load() {
						c.SetVal(strings.ReplaceAll(c.Val(), run, run+"other"))
					}
				}
			}})
			if err := other.CreateStorage(t.Context()); err != nil {
				t.Fatal(drivertest.Causes(err))
			}
			if !moved.Load() {
				t.Fatal("nothing took over")
			}
			wantCount(t, b, "", "", 200)
			if all := listed(t, b, driver.Query{Limit: 1000}); len(all) != 200 {
				t.Errorf("listed %d records", len(all))
			}
			wantBearers(t, b, "ann", anns...)
			wantNoDrafts(t, b)
		})
	}
}

// TestRebuildThatMovesOn has another server with each answer: the rebuild gives
// up, and no index that it marked stays so.
func TestRebuildThatMovesOn(t *testing.T) {
	b := open(t, nil)
	seedPeople(t, b)
	b.client.Del(t.Context(), b.bucket("id000").due)
	for first := range 4 { // how many answers come from the same server, of four
		var runs atomic.Int64
		err := hooked(t, b, &around{after: func(cmds []goredis.Cmder) {
			for _, c := range cmds {
				if c, ok := c.(*goredis.StringCmd); ok && c.Name() == "info" {
					if n := runs.Add(1); n > int64(first) {
						c.SetVal(strings.ReplaceAll(c.Val(), "run_id:", fmt.Sprint("run_id:", n)))
					}
				}
			}
		}}).CreateStorage(t.Context())
		drivertest.WantKind(t, err, model.ErrUnavailable)
		if !strings.Contains(err.Error(), "another server") {
			t.Error(err)
		}
		if _, err := b.Count(t.Context(), drivertest.Now, driver.Query{}); !errors.Is(err, model.ErrUnavailable) {
			t.Fatalf("count: %v", err)
		}
		wantNoDrafts(t, b)
	}
}

// TestRebuildWithoutAnAnswerToItsMarks loses the answer to the marks. Nobody
// knows then whether the server that has them has the entries too, so that the
// next rebuild begins again.
func TestRebuildWithoutAnAnswerToItsMarks(t *testing.T) {
	b := open(t, nil)
	seedPeople(t, b)
	due := b.bucket("id000").due
	b.client.Del(t.Context(), due)
	lost := false
	err := hooked(t, b, &around{after: func(cmds []goredis.Cmder) {
		for _, c := range cmds {
			if c.Name() == "evalsha" && c.Args()[1] == markScript.digest && c.Err() == nil {
				lost = true
				c.SetErr(io.ErrUnexpectedEOF)
			}
		}
	}}).CreateStorage(t.Context())
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !lost {
		t.Fatal("no mark was put")
	}
	if n, err := b.client.ZScore(t.Context(), due, indexMark).Result(); !errors.Is(err, goredis.Nil) {
		t.Errorf("the index is marked as whole: %v, %v", n, err)
	}
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(drivertest.Causes(err))
	}
	wantCount(t, b, "", "", 200)
	wantNoDrafts(t, b)
}

// TestDeleteStorageOverAFailover finds records by SCAN although another server
// takes over meanwhile.
func TestDeleteStorageOverAFailover(t *testing.T) {
	b := createOn(t, clientOf(t, options(t)), drivertest.Name(), nil)
	seedPeople(t, b)
	b.client.Del(t.Context(), lostKeys(b)["all of a bucket"]...)
	var moved atomic.Bool
	other := hooked(t, b, &around{after: func(cmds []goredis.Cmder) {
		switch c := cmds[0].(type) {
		case *goredis.ScanCmd:
			if moved.CompareAndSwap(false, true) {
				c.SetVal(nil, 0)
			}
		case *goredis.StringCmd:
			if c.Name() == "info" && moved.Load() {
				c.SetVal(strings.ReplaceAll(c.Val(), "run_id:", "run_id:other"))
			}
		}
	}})
	if err := other.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, b)
}

// TestRebuildRemovesGhosts loses the index by id and records, as an eviction does:
// the rebuild removes the entries that stand for nothing.
func TestRebuildRemovesGhosts(t *testing.T) {
	b := open(t, nil)
	k := b.bucket("id")
	same := func(n int) string { // the n-th id of the bucket
		for i := 0; ; i++ {
			if id := fmt.Sprint("id", i); b.bucket(id) == k {
				if n--; n < 0 {
					return id
				}
			}
		}
	}
	gone, forever, stays, moved := same(0), same(1), same(2), same(3)
	drivertest.Seed(t, b, drivertest.Record(gone, "ann", time.Hour), drivertest.Record(forever, "ann", 0),
		drivertest.Record(stays, "ann", time.Hour), drivertest.Record(moved, "ann", 0))
	entry := b.client.ZRangeByLex(t.Context(), k.labels+"principal", &goredis.ZRangeBy{Min: "-", Max: "(\xff"}).Val()
	b.client.Del(t.Context(), b.recordKey(gone), b.recordKey(forever), k.ids)
	drivertest.Seed(t, b, drivertest.Record(moved, "bob", 0))
	for _, m := range entry { // of the former label too
		b.client.ZAdd(t.Context(), k.labels+"principal", goredis.Z{Member: m})
	}
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCount(t, b, "principal", "ann", 1)
	wantCount(t, b, "principal", "bob", 1)
	wantCount(t, b, "", "", 3) // the one that is gone counts until its expiry
	wantBearers(t, b, "ann", stays)
	wantBearers(t, b, "bob", moved)
	remove(t, b, stays, moved)
	wantSwept(t, b, 10, nil, driver.Swept{Removed: 1})
	wantNoKeys(t, b)
}

// TestCreateStorageThatWasCutOff repeats a first CreateStorage of which only a
// part has arrived, and a DeleteStorage that ended early, by a user who may not
// visit all keys.
func TestCreateStorageThatWasCutOff(t *testing.T) {
	admin := clientOf(t, options(t))
	who := user(t, admin)
	ctx := t.Context()
	for _, arrived := range []int{1, 7, 3 * bucketCount, 3*bucketCount + 1} {
		name := drivertest.Name()
		c := limited(t, admin, who, ACLRules(name))
		// The connection ends after a part of the commands that store something.
		b := newOn(t, c, name, nil)
		n := 0
		cut := clientOf(t, options(t))
		cut.AddHook(&around{before: func(cmds []goredis.Cmder) error {
			for _, cmd := range cmds {
				if name := cmd.Name(); name == "zadd" || name == "hsetnx" {
					if n++; n > arrived {
						return errors.New("cut off")
					}
					admin.Do(ctx, cmd.Args()...)
				}
			}
			return nil
		}})
		if err := newOn(t, cut, name, nil).CreateStorage(ctx); err == nil {
			t.Fatalf("%d: CreateStorage was not cut off", arrived)
		}
		if err := b.CreateStorage(ctx); err != nil {
			t.Fatalf("%d: %v", arrived, drivertest.Causes(err))
		}
		drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
		wantCount(t, newOn(t, admin, name, nil), "", "", 1)
		// DeleteStorage ends after a few of its removals.
		for _, most := range []int{0, 1, 5, 20} {
			n := 0
			cut := clientOf(t, options(t))
			cut.AddHook(&around{before: func(cmds []goredis.Cmder) error {
				if name := cmds[0].Name(); name == "zrem" || name == "unlink" {
					if n++; n > most {
						return errors.New("cut off")
					}
				}
				return nil
			}})
			_ = newOn(t, cut, name, nil).DeleteStorage(ctx)
			if err := b.DeleteStorage(ctx); err != nil {
				t.Fatalf("%d: delete: %v", most, drivertest.Causes(err))
			}
			wantNothing(t, newOn(t, admin, name, nil))
			if err := b.CreateStorage(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.DeleteStorage(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFirstCreateStorageOnAServerThatEvicts has a server that may evict keys, and a
// user who may not visit all keys. A store of which nothing is there is new if the
// server has evicted nothing. Else the error says what to do, and nothing is left.
func TestFirstCreateStorageOnAServerThatEvicts(t *testing.T) {
	admin := clientOf(t, options(t))
	who := user(t, admin)
	ctx := t.Context()
	for evicted, fails := range map[string]bool{"0": false, "5": true} {
		name := drivertest.Name()
		c := limited(t, admin, who, ACLRules(name))
		c.AddHook(&around{after: func(cmds []goredis.Cmder) {
			for _, cmd := range cmds {
				if c, ok := cmd.(*goredis.StringCmd); ok && c.Name() == "info" {
					text := strings.ReplaceAll(c.Val(), "maxmemory_policy:noeviction", "maxmemory_policy:allkeys-lru")
					c.SetVal(strings.ReplaceAll(text, "evicted_keys:0", "evicted_keys:"+evicted))
				}
			}
		}})
		err := newOn(t, c, name, &Options{AllowEviction: true}).CreateStorage(ctx)
		if b := newOn(t, admin, name, nil); fails {
			drivertest.WantKind(t, err, model.ErrUnavailable)
			if !strings.Contains(err.Error(), "+scan") {
				t.Error(err)
			}
			wantNothing(t, b)
		} else {
			if err != nil {
				t.Fatal(drivertest.Causes(err))
			}
			wantCount(t, b, "", "", 0)
			wantNoDrafts(t, b)
			if err := b.DeleteStorage(ctx); err != nil {
				t.Error(err)
			}
		}
	}
}

// wrapper hides what its client has besides the interface.
type wrapper struct{ goredis.UniversalClient }

// TestWrapperOfACluster has a client that hides the nodes of a cluster: Check says
// so, and nothing is looked for on one node alone.
func TestWrapperOfACluster(t *testing.T) {
	c := clusterOf(t, clusterOptions(t))
	b := createOn(t, wrapper{c}, drivertest.Name(), &Options{TrustClient: true})
	checks, err := b.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(checks, func(f driver.Finding) bool { return f.Name == "nodes" })
	if i < 0 || checks[i].Level != driver.CheckWarning || !strings.Contains(checks[i].Fix, "ForEachMaster") {
		t.Errorf("found %+v", checks)
	}
	seedPeople(t, b)
	c.Del(t.Context(), b.bucket("id000").ids)
	err = b.CreateStorage(t.Context())
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "ForEachMaster") {
		t.Error(err)
	}
	direct := newOn(t, c, b.name, nil)
	if err := direct.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if checks, err = direct.Check(t.Context()); err != nil || slices.ContainsFunc(checks, func(f driver.Finding) bool { return f.Name == "nodes" && f.Level != driver.CheckRight }) {
		t.Errorf("found %+v, %v", checks, err)
	}
	wantCount(t, direct, "", "", 200)
	if err := direct.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
}
