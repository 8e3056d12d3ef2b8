package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// keysOf are all keys of the store, found by force.
func keysOf(t testing.TB, b *Backend) []string {
	t.Helper()
	var keys []string
	all := b.client.Scan(t.Context(), 0, b.name+":*", 1000).Iterator()
	for all.Next(t.Context()) {
		keys = append(keys, all.Val())
	}
	if all.Err() != nil {
		t.Fatal(all.Err())
	}
	slices.Sort(keys)
	return keys
}

func noKeys(t testing.TB, b *Backend) {
	t.Helper()
	if keys := keysOf(t, b); len(keys) > 0 {
		t.Fatalf("keys are left: %q", keys)
	}
}

func recordKey(b *Backend, id string) string { return b.bucket(id).records + id }

func bearers(t testing.TB, b *Backend, value string) []string {
	t.Helper()
	var ids []string
	q := driver.Query{Label: "principal", Value: value, Limit: 100, KeysOnly: true}
	for {
		p, err := b.Page(t.Context(), testNow, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			ids = append(ids, r.ID)
		}
		if q.After = p.Next; q.After == "" {
			slices.Sort(ids)
			return ids
		}
	}
}

// TestServerTTL reads what the server knows of the expiry.
func TestServerTTL(t *testing.T) {
	b := open(t, &Options{GraceTTL: 10 * time.Minute})
	without := open(t, &Options{GraceTTL: -1})
	ctx := t.Context()
	is := func(step string, want time.Duration) {
		t.Helper()
		got, err := b.client.PTTL(ctx, recordKey(b, "id")).Result()
		if err != nil || got > want || got < want-time.Minute {
			t.Fatalf("%s: the server's TTL is %v, %v, want about %v", step, got, err, want)
		}
	}
	write := func(w driver.Write) {
		t.Helper()
		if _, err := b.Write(ctx, testNow, w); err != nil {
			t.Fatal(err)
		}
	}
	touch := func(mode driver.TouchMode, ttl time.Duration) {
		t.Helper()
		if _, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: mode, ExpiresAt: testNow.Add(ttl)}); err != nil {
			t.Fatal(err)
		}
	}
	const none = -time.Nanosecond // as go-redis says it
	write(driver.Write{Record: record("id", "ann", time.Hour), Cond: driver.IfAbsent})
	is("create", 70*time.Minute)
	write(driver.Write{Record: record("id", "ann", 0), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}})
	is("update that keeps it", 70*time.Minute)
	touch(driver.TouchExtend, 2*time.Hour)
	is("extend", 130*time.Minute)
	touch(driver.TouchExtend, time.Hour)
	is("extend to an earlier time", 130*time.Minute)
	touch(driver.TouchSet, time.Hour)
	is("set", 70*time.Minute)
	touch(driver.TouchClear, 0)
	is("clear", none)
	touch(driver.TouchSet, time.Hour)
	write(driver.Write{Record: record("id", "ann", 0), Cond: driver.IfPresent})
	is("update without one", none)
	write(driver.Write{Record: record("id", "ann", 2*time.Hour), Cond: driver.IfAny})
	is("upsert", 130*time.Minute)

	seed(t, without, record("id", "ann", time.Hour))
	if got := without.client.PTTL(ctx, recordKey(without, "id")).Val(); got != none {
		t.Errorf("without a server's TTL: %v", got)
	}
}

// TestServerReaps waits for the server's own TTL, the one test that does.
func TestServerReaps(t *testing.T) {
	b := open(t, &Options{GraceTTL: time.Millisecond})
	seed(t, b, record("id", "ann", time.Millisecond))
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(10 * time.Second); b.client.Exists(t.Context(), recordKey(b, "id")).Val() > 0; {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("the server has not reaped the record")
		}
	}
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Second), Limit: 10})
	if err != nil || swept.Removed != 1 {
		t.Fatalf("%+v, %v", swept, err)
	}
	noKeys(t, b)
}

// TestNothingIsLeft deletes and sweeps: no index entry stays.
func TestNothingIsLeft(t *testing.T) {
	b := open(t, &Options{Labels: []string{"principal", "tenant"}})
	for i := range 100 {
		r := record(fmt.Sprint("id", i), "ann", time.Hour)
		r.Labels["tenant"] = fmt.Sprint(i % 3)
		seed(t, b, r)
	}
	for i := range 50 {
		if err := b.Delete(t.Context(), testNow, driver.Delete{ID: fmt.Sprint("id", i), Cond: driver.IfPresent}); err != nil {
			t.Fatal(err)
		}
	}
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 100})
	if err != nil || swept.Removed != 50 || swept.More {
		t.Fatalf("%+v, %v", swept, err)
	}
	noKeys(t, b)
}

// TestReaped removes a record behind the backend's back, as the server's TTL
// does: what was known of it is announced, and no entry stays.
func TestReaped(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	seed(t, b, record("swept", "ann", time.Hour), record("again", "ann", time.Hour))
	b.client.Del(ctx, recordKey(b, "swept"), recordKey(b, "again"))
	if _, err := b.Write(ctx, testNow, driver.Write{Record: record("again", "bob", 0), Cond: driver.IfAbsent}); err != nil {
		t.Fatal(err)
	}
	if n := b.client.ZCard(ctx, b.bucket("again").labels+"principal").Val(); b.bucket("again") != b.bucket("swept") && n != 1 {
		t.Errorf("%d label entries after the create, want its own", n)
	}
	var seen []model.Record
	swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10, OnExpire: func(r model.Record) error {
		seen = append(seen, r)
		return nil
	}})
	if err != nil || swept.Removed != 1 || len(seen) != 1 {
		t.Fatalf("%+v, %v, announced %v", swept, err, seen)
	}
	if r := seen[0]; r.ID != "swept" || r.Labels["principal"] != "ann" || !r.ExpiresAt.Equal(testNow.Add(time.Hour)) {
		t.Errorf("announced %+v", r)
	}
	if got := bearers(t, b, "bob"); !slices.Equal(got, []string{"again"}) {
		t.Errorf("bob bears %v", got)
	}
	if err := b.Delete(ctx, testNow, driver.Delete{ID: "again", Cond: driver.IfPresent}); err != nil {
		t.Fatal(err)
	}
	noKeys(t, b)
}

// TestEvicted removes a live record behind the backend's back: a listing
// prunes what it meets of it.
func TestEvicted(t *testing.T) {
	b := open(t, nil)
	seed(t, b, record("gone", "ann", 0), record("here", "ann", 0))
	b.client.Del(t.Context(), recordKey(b, "gone"))
	for range 2 {
		if got := bearers(t, b, "ann"); !slices.Equal(got, []string{"here"}) {
			t.Fatalf("ann bears %v", got)
		}
		entries, err := b.client.ZRange(t.Context(), b.bucket("gone").labels+"principal", 0, -1).Result()
		if err != nil || slices.Contains(entries, "\x00\x03anngone") {
			t.Fatalf("entries %q, %v", entries, err)
		}
	}
}

// TestUnreadable puts what is no record under an id: an error for that id
// alone, which nothing but an upsert overwrites.
func TestUnreadable(t *testing.T) {
	whole := record("bad", "ann", 0)
	bytesOf := func(data []byte) func(context.Context, *goredis.Client, string) error {
		return func(ctx context.Context, c *goredis.Client, key string) error { return c.Set(ctx, key, data, 0).Err() }
	}
	tests := map[string]func(ctx context.Context, c *goredis.Client, key string) error{
		"foreign":          bytesOf([]byte("hello")),
		"empty":            bytesOf(nil),
		"an integer":       bytesOf([]byte("12345")),
		"a newer version":  bytesOf(append([]byte{formatMagic, 2}, encode(&whole)[2:]...)),
		"truncated":        bytesOf(encode(&whole)[:len(encode(&whole))-1]),
		"head alone":       bytesOf(encode(&whole)[:labelsAt]),
		"two bytes":        bytesOf(encode(&whole)[:2]),
		"long and foreign": bytesOf(bytes.Repeat([]byte("x"), 5000)),
		"another type":     func(ctx context.Context, c *goredis.Client, key string) error { return c.RPush(ctx, key, "x").Err() },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			b := open(t, nil)
			c := b.client.(*goredis.Client)
			ctx := t.Context()
			seed(t, b, whole, record("good", "ann", 0))
			key := recordKey(b, "bad")
			c.Del(ctx, key)
			if err := damage(ctx, c, key); err != nil {
				t.Fatal(err)
			}
			before := c.Dump(ctx, key).Val()

			_, err := b.Get(ctx, testNow, driver.Get{ID: "bad"})
			only(t, err, model.ErrCorrupt)
			for _, cond := range []driver.Condition{driver.IfAbsent, driver.IfPresent, driver.IfMatch} {
				_, err := b.Write(ctx, testNow, driver.Write{Record: record("bad", "bob", 0), Cond: cond, Known: whole})
				only(t, err, model.ErrCorrupt)
			}
			_, err = b.Touch(ctx, testNow, driver.Touch{ID: "bad", Mode: driver.TouchSet, ExpiresAt: testNow.Add(time.Hour)})
			only(t, err, model.ErrCorrupt)
			only(t, b.Delete(ctx, testNow, driver.Delete{ID: "bad", Cond: driver.IfPresent}), model.ErrCorrupt)
			if c.Dump(ctx, key).Val() != before {
				t.Fatal("it was overwritten")
			}
			for _, q := range []driver.Query{
				{Limit: 10}, {Limit: 10, KeysOnly: true}, {Limit: 10, Label: "principal", Value: "ann"},
				{Limit: 10, Label: "principal", Value: "ann", KeysOnly: true},
			} {
				p, err := b.Page(ctx, testNow, q)
				if err != nil || len(p.Records) != 1 || !slices.Equal(p.Corrupt, []string{"bad"}) {
					t.Fatalf("page %+v: %+v, %v", q, p, err)
				}
			}
			seed(t, b, record("bad", "bob", 0))
			if got := bearers(t, b, "ann"); !slices.Equal(got, []string{"good"}) {
				t.Fatalf("ann bears %v", got)
			}
			for _, id := range []string{"bad", "good"} {
				if err := b.Delete(ctx, testNow, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil {
					t.Fatal(err)
				}
			}
			noKeys(t, b)
		})
	}
}

// TestUnreadableAndDue has a sweep pass by what it cannot read.
func TestUnreadableAndDue(t *testing.T) {
	b := open(t, nil)
	for i := range 40 {
		seed(t, b, record(fmt.Sprint("id", i), "ann", time.Hour))
	}
	for i := range 20 {
		b.client.Set(t.Context(), recordKey(b, fmt.Sprint("id", i)), "foreign", 0)
	}
	for _, each := range []func(model.Record) error{nil, func(model.Record) error { return nil }} {
		swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10, OnExpire: each})
		if err != nil || swept.Removed != 10 || !swept.More {
			t.Fatalf("%+v, %v", swept, err)
		}
	}
	if swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10}); err != nil || swept.Removed != 0 || swept.More {
		t.Fatalf("%+v, %v", swept, err)
	}
}

// TestForeignIndex has a string where an index should be: a write fails and
// leaves no record.
func TestForeignIndex(t *testing.T) {
	for name, index := range map[string]func(k *bucket) string{
		"by expiry": func(k *bucket) string { return k.due }, "by id": func(k *bucket) string { return k.ids },
		"of a label": func(k *bucket) string { return k.labels + "principal" },
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, nil)
			key := index(b.bucket("id"))
			b.client.Set(t.Context(), key, "foreign", 0)
			for _, cond := range []driver.Condition{driver.IfAbsent, driver.IfAny} {
				_, err := b.Write(t.Context(), testNow, driver.Write{Record: record("id", "ann", 0), Cond: cond})
				only(t, err, model.ErrCorrupt)
				_, err = b.Get(t.Context(), testNow, driver.Get{ID: "id"})
				only(t, err, model.ErrNotFound)
			}
			b.client.Del(t.Context(), key)
		})
	}
}

// TestOtherNodesLabels has a node that declares fewer labels than the one that
// wrote: index entries stay exact all the same.
func TestOtherNodesLabels(t *testing.T) {
	all := open(t, &Options{Labels: []string{"principal", "tenant", "device"}})
	few := openOn(t, all.client, all.name, &Options{Labels: []string{}})
	ctx := t.Context()
	full := func(id string) model.Record {
		r := record(id, "ann", time.Hour)
		r.Labels["tenant"], r.Labels["device"] = "t", "d"
		return r
	}
	count := func(want int) {
		t.Helper()
		for _, label := range []string{"principal", "tenant", "device"} {
			value := map[string]string{"principal": "ann", "tenant": "t", "device": "d"}[label]
			if n, err := all.Count(ctx, testNow, driver.Query{Label: label, Value: value}); err != nil || n != want {
				t.Fatalf("%d of %s, %v, want %d", n, label, err, want)
			}
		}
	}
	seed(t, all, full("deleted"), full("updated"), full("kept"), full("upserted"), full("swept"))
	count(5)
	if err := few.Delete(ctx, testNow, driver.Delete{ID: "deleted", Cond: driver.IfPresent}); err != nil {
		t.Fatal(err)
	}
	count(4)
	if _, err := few.Write(ctx, testNow, driver.Write{Record: record("updated", "", 0), Cond: driver.IfPresent}); err != nil {
		t.Fatal(err)
	}
	seed(t, few, record("upserted", "", 0))
	count(2)
	rec, err := few.Write(ctx, testNow, driver.Write{Record: record("kept", "", 0), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
	if err != nil || len(rec.Labels) != 3 {
		t.Fatalf("%+v, %v", rec, err)
	}
	count(2)
	swept, err := few.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10})
	if err != nil || swept.Removed != 2 {
		t.Fatalf("%+v, %v", swept, err)
	}
	count(0)
	seed(t, all, full("purged"))
	if err := few.DeleteStorage(ctx); err != nil {
		t.Fatal(err)
	}
	noKeys(t, all)
}

// TestLongHeads has labels and an encoding that make heads longer than what
// scripts and listings read at first.
func TestLongHeads(t *testing.T) {
	b := open(t, &Options{Labels: []string{"one", "two", "three", "four"}})
	ctx := t.Context()
	for _, size := range []int{40, 60, 180, model.MaxLabel} {
		r := record("id", "", time.Hour)
		r.Encoding = strings.Repeat("e", min(size, 255))
		r.Labels = map[string]string{}
		for _, label := range b.labels {
			r.Labels[label] = strings.Repeat("v", size)
		}
		seed(t, b, r)
		next := record("id", "", 0)
		next.Encoding = r.Encoding
		got, err := b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfMatch, Known: model.Record{Revision: r.Revision}, Keep: driver.Keep{Expiry: true, Labels: true}})
		if err != nil || len(got.Labels) != 4 || !got.ExpiresAt.Equal(r.ExpiresAt) {
			t.Fatalf("%d: %+v, %v", size, got, err)
		}
		got, err = b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: driver.TouchClear})
		if err != nil || got.Labels["four"] != r.Labels["four"] || got.Encoding != r.Encoding {
			t.Fatalf("%d: %+v, %v", size, got, err)
		}
		p, err := b.Page(ctx, testNow, driver.Query{Limit: 10, KeysOnly: true, Label: "two", Value: r.Labels["two"]})
		if err != nil || len(p.Records) != 1 || p.Records[0].Encoding != r.Encoding || p.Records[0].Value != nil {
			t.Fatalf("%d: %+v, %v", size, p, err)
		}
	}
	if err := b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent}); err != nil {
		t.Fatal(err)
	}
	noKeys(t, b)
}

// TestLongValues has values that are staged, with right and wrong guesses of
// what is kept, next to one that is not.
func TestLongValues(t *testing.T) {
	ctx := t.Context()
	for _, size := range []int{stageSize - 1, stageSize, 10 * stageSize} {
		b := open(t, &Options{Labels: []string{"principal", "tenant"}, GraceTTL: 10 * time.Minute})
		long := func(r model.Record) model.Record {
			r.Value = bytes.Repeat([]byte(r.ID[:1]), size)
			return r
		}
		write := func(w driver.Write) (model.Record, error) { return b.Write(ctx, testNow, w) }
		is := func(step string, want model.Record, got model.Record, err error) {
			t.Helper()
			for range 2 {
				if err != nil || got.Revision != want.Revision || !got.ExpiresAt.Equal(want.ExpiresAt) || !maps.Equal(got.Labels, want.Labels) || got.Encoding != want.Encoding {
					t.Fatalf("%s of %d: %v, %v, want %v", step, size, got.Head(), err, want.Head())
				}
				got, err = b.Get(ctx, testNow, driver.Get{ID: want.ID})
			}
			if !bytes.Equal(got.Value, want.Value) {
				t.Fatalf("%s of %d: another value", step, size)
			}
			ttl := b.client.PTTL(ctx, recordKey(b, want.ID)).Val()
			due := want.ExpiresAt.Sub(testNow) + 10*time.Minute
			if never := want.ExpiresAt.IsZero(); never && ttl != -1 || !never && (ttl > due || ttl < due-time.Minute) {
				t.Fatalf("%s of %d: the server's TTL is %v", step, size, ttl)
			}
			if got := bearers(t, b, "ann"); (len(got) == 1) != (want.Labels["principal"] == "ann") {
				t.Fatalf("%s of %d: ann bears %v", step, size, got)
			}
		}
		first := long(record("id", "ann", time.Hour))
		got, err := write(driver.Write{Record: first, Cond: driver.IfAbsent})
		is("create", first, got, err)
		_, err = write(driver.Write{Record: long(record("id", "bob", 0)), Cond: driver.IfAbsent})
		only(t, err, model.ErrExists)
		is("create again", first, first, nil)

		now := first
		for what, prev := range map[string]model.Record{
			"right": first, "nothing": {}, "other labels": {Revision: first.Revision, ExpiresAt: first.ExpiresAt, Labels: map[string]string{"tenant": strings.Repeat("t", 300)}},
			"other expiry": {Revision: first.Revision, Labels: first.Labels}, "revision alone": {Revision: first.Revision},
		} {
			next := long(record("id", "", 0))
			next.ExpiresAt, next.Labels = now.ExpiresAt, now.Labels
			sent := next
			sent.ExpiresAt, sent.Labels = time.Time{}, nil
			got, err = write(driver.Write{Record: sent, Cond: driver.IfPresent, Known: prev, Keep: driver.Keep{Expiry: true, Labels: true}})
			is("update, guessed "+what, next, got, err)
			now = next
		}
		next := long(record("id", "", 0))
		next.Labels = now.Labels
		got, err = write(driver.Write{Record: next, Cond: driver.IfMatch, Known: now, Keep: driver.Keep{Labels: true}})
		is("compare-and-set without an expiry", next, got, err)
		_, err = write(driver.Write{Record: long(record("id", "bob", 0)), Cond: driver.IfMatch, Known: now})
		only(t, err, model.ErrConflict)
		last := long(record("id", "bob", 2*time.Hour))
		got, err = write(driver.Write{Record: last, Cond: driver.IfAny})
		is("upsert", last, got, err)
		b.client.Del(ctx, recordKey(b, "id")) // as the server's TTL does
		got, err = write(driver.Write{Record: first, Cond: driver.IfAbsent})
		is("create over a reaped one", first, got, err)
		few := openOn(t, b.client, b.name, &Options{Labels: []string{}})
		plain := long(record("id", "", 0))
		if _, err = few.Write(ctx, testNow, driver.Write{Record: plain, Cond: driver.IfPresent}); err != nil {
			t.Fatal(err)
		}
		out := b.WriteMany(ctx, testNow, []driver.BatchOp{
			{Write: &driver.Write{Record: first, Cond: driver.IfAny}},
			{Write: &driver.Write{Record: long(record("none", "ann", 0)), Cond: driver.IfPresent}},
			{Write: &driver.Write{Record: record("short", "", 0), Cond: driver.IfAbsent}},
		})
		is("upsert of many", first, out[0].Record, out[0].Err)
		only(t, out[1].Err, model.ErrNotFound)
		only(t, out[2].Err, nil)
		for _, id := range []string{"id", "short"} {
			if err := b.Delete(ctx, testNow, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil {
				t.Fatal(err)
			}
		}
		noKeys(t, b)
	}
}

// TestStagingRefused has a server that does not take the value, or has lost it
// before the script comes: nothing has happened.
func TestStagingRefused(t *testing.T) {
	long := record("id", "ann", time.Hour)
	long.Value = make([]byte, stageSize)
	for reply, word := range map[string]string{
		"-OOM command not allowed when used memory > 'maxmemory'.\r\n": "OOM", "-ERR upstream\r\n": "ERR", "+OK\r\n": "kept",
	} {
		f := startFake(t, func(command string) string {
			if command == "set" {
				return reply
			}
			return "$1\r\ns\r\n"
		})
		b, err := New(clientOf(t, &goredis.Options{Addr: f.addr, MaxRetries: -1}), "n", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Write(t.Context(), testNow, driver.Write{Record: long, Cond: driver.IfAbsent})
		only(t, err, model.ErrUnavailable)
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v", reply, err)
		}
	}
}

// TestLongValueOfUnknownScript flushes the server's scripts: what is staged
// waits for the source.
func TestLongValueOfUnknownScript(t *testing.T) {
	b := open(t, nil)
	long := record("id", "ann", time.Hour)
	long.Value = make([]byte, stageSize)
	if err := b.client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), testNow, driver.Write{Record: long, Cond: driver.IfAbsent}); err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(t, b) {
		if strings.Contains(key, "}:w:") {
			t.Errorf("%s is left", key)
		}
	}
}

// TestCountVisitsNoRecord counts 100,000 records, of which 20 have expired, by
// commands alone whose number does not grow with the store.
func TestCountVisitsNoRecord(t *testing.T) { countAmong(t, 100_000) }

func countAmong(t testing.TB, records int) {
	t.Helper()
	const principals, expired = 4, 20
	b := open(t, nil)
	ctx := t.Context()
	ops := make([]driver.BatchOp, 0, 1000)
	for i := range records {
		r := record(strconv.Itoa(i), "user"+strconv.Itoa(i%principals), time.Hour)
		if i < expired {
			r.ExpiresAt = testNow
		}
		r.Value = []byte("1")
		if ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: r, Cond: driver.IfAbsent}}); len(ops) < cap(ops) {
			continue
		}
		for _, out := range b.WriteMany(ctx, testNow, ops) {
			if out.Err != nil {
				t.Fatal(out.Err)
			}
		}
		ops = ops[:0]
	}
	o := options(t)
	p := startProxy(t, o.Addr)
	through := openOn(t, clientOf(t, p.through(o)), b.name, nil)
	for label, want := range map[string]int{"": records - expired, "principal": (records - expired) / principals} {
		value := ""
		if label != "" {
			value = "user1"
		}
		if _, err := through.Count(ctx, testNow, driver.Query{Label: label, Value: value}); err != nil { // the server may not know the script yet
			t.Fatal(err)
		}
		p.take()
		before := served(t, b)
		began := time.Now()
		n, err := through.Count(ctx, testNow, driver.Query{Label: label, Value: value})
		if err != nil || n != want {
			t.Fatalf("%q: %d, %v, want %d", label, n, err, want)
		}
		t.Logf("%d of %d records counted in %v", n, records, time.Since(began))
		if batches, commands := p.take(); batches != 1 || len(commands) != bucketCount {
			t.Errorf("%q: %d commands in %d batches on the wire", label, len(commands), batches)
		}
		run := 0 // in scripts and out of them
		for command, calls := range served(t, b) {
			n := calls - before[command]
			switch command {
			case "info", "config|get", "client|setinfo", "hello":
				continue
			case "scan", "keys", "get", "getrange", "strlen", "mget", "exists", "zscan":
				if n > 0 {
					t.Errorf("%q: %d times %s", label, n, command)
				}
			}
			run += n
		}
		// For each bucket a script with two counts and one range at most, and one look for each expired record.
		if limit := 4*bucketCount + expired; run > limit {
			t.Errorf("%q: the server ran %d commands, %d at most", label, run, limit)
		}
	}
}

// served is how often the server has run each command.
func served(t testing.TB, b *Backend) map[string]int {
	t.Helper()
	info, err := b.client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for line := range strings.Lines(info) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		calls, _, _ := strings.Cut(rest, ",")
		if n, err := strconv.Atoi(calls); ok && err == nil {
			out[name] = n
		}
	}
	return out
}

// TestStorage makes and removes one of two stores in one database.
func TestStorage(t *testing.T) {
	b, neighbour := open(t, nil), open(t, nil)
	ctx := t.Context()
	for range 2 {
		if err := b.CreateStorage(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 700 {
		seed(t, b, record(fmt.Sprint("id", i), "ann", time.Hour))
	}
	seed(t, neighbour, record("id", "ann", time.Hour))
	for range 2 {
		if err := b.DeleteStorage(ctx); err != nil {
			t.Fatal(err)
		}
		noKeys(t, b)
	}
	if got := bearers(t, neighbour, "ann"); !slices.Equal(got, []string{"id"}) {
		t.Fatalf("the neighbour has %v", got)
	}
	b.client.HSet(ctx, b.metaKey(), "layout", "2")
	err := b.CreateStorage(ctx)
	only(t, err, model.ErrCorrupt)
	if !strings.Contains(err.Error(), `layout "2"`) {
		t.Error(err)
	}
}

// TestEvictionWarning has a server that evicts, or does not tell.
func TestEvictionWarning(t *testing.T) {
	policy := func(memory, policy string) string {
		return fmt.Sprintf("%%2\r\n$9\r\nmaxmemory\r\n$%d\r\n%s\r\n$16\r\nmaxmemory-policy\r\n$%d\r\n%s\r\n", len(memory), memory, len(policy), policy)
	}
	for config, want := range map[string]string{
		policy("100", "allkeys-lru"):                     "may evict index keys",
		policy("100", "volatile-ttl"):                    "before they expire",
		policy("100", "noeviction"):                      "",
		policy("0", "allkeys-lru"):                       "",
		"-NOPERM no permissions to run 'config|get'\r\n": "",
	} {
		f := startFake(t, func(command string) string {
			switch command {
			case "hsetnx":
				return ":0\r\n"
			case "hgetall":
				return "%2\r\n$6\r\nlayout\r\n$1\r\n1\r\n$7\r\nbuckets\r\n$2\r\n16\r\n"
			}
			return config
		})
		var log bytes.Buffer
		b, err := New(clientOf(t, &goredis.Options{Addr: f.addr, MaxRetries: -1}), "n", &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.CreateStorage(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q: logged %q, want %q", config, got, want)
		}
	}
}

// permissions are those of doc.go.
const permissions = `+get +getrange +strlen +exists +set +setrange +rename +renamenx +pexpire +pttl +persist +unlink
+zadd +zrem +zscore +zcount +zlexcount +zrange +zrangebyscore +zrangebylex +zremrangebylex
+hsetnx +hgetall +evalsha +eval +ping`

// failover is a run of writers on a cluster of which one master is killed.
type failover struct {
	*Backend
	t       *testing.T
	cluster *goredis.ClusterClient
	ctx     context.Context

	mu      sync.Mutex
	tally   map[string]*tally // by id
	failed  map[error]int     // answers by their kind
	written map[string]int    // acknowledged writes by the address of the master
}

// tally is what one writer knows of its record.
type tally struct {
	sent, acknowledged, replicated int
	principal                      string
	counter                        bool
}

// TestFailover kills one master of three while writers create labelled records
// and count up others by compare-and-set. Its replica takes over. What was
// acknowledged and replicated is there, and so is all that was acknowledged by
// the other masters; no counter has more than was sent; errors are typed; the
// client recovers; and the indexes agree with the records.
func TestFailover(t *testing.T) {
	nodes := containers.RedisCluster(t)
	o := clusterOptions(t)
	o.DialTimeout, o.ReadTimeout, o.DialerRetries = time.Second, 2*time.Second, 1
	c := clusterOf(t, o)
	b, err := New(c, storeName(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	f := &failover{
		Backend: b, t: t, cluster: c, ctx: ctx,
		tally: map[string]*tally{}, failed: map[error]int{}, written: map[string]int{},
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 6 {
		writers.Go(func() { f.write(w, stop) })
	}
	finish := sync.OnceFunc(func() { close(stop); writers.Wait() })
	defer finish()

	// Each master has acknowledged something.
	f.await("writes to all masters", func() bool { return len(f.written) >= 3 && f.least() >= 20 })
	first := &b.buckets[0]
	dead := f.master(first)
	spared := map[*bucket]bool{} // those of the other masters
	for i := range b.buckets {
		k := &b.buckets[i]
		spared[k] = f.master(k) != dead
	}
	if err := nodes.SetTimeout(ctx, "1000"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	nodes.Kill(t, dead)
	// A write to the first bucket is acknowledged by another node.
	f.await("a replica to take over", func() bool {
		now := f.master(first)
		return now != dead && f.written[now] > 0
	})
	took := time.Since(began)
	if took > 30*time.Second { // by itself the client asks once a minute who has taken over
		t.Errorf("writes to the new master came after %v", took)
	}
	f.locked(func() { clear(f.written) })
	f.await("writes to all masters afterwards", func() bool { return len(f.written) >= 3 && f.least() >= 20 })
	finish()
	f.check(spared)
	t.Logf("%s took over in %v; %d records; answers: %v", dead, took.Round(time.Millisecond), len(f.tally), f.failed)
	if err := b.DeleteStorage(ctx); err != nil {
		t.Error(err)
	}
}

func (f *failover) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// await polls a condition on what the writers know.
func (f *failover) await(what string, done func() bool) {
	f.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(time.Minute); ; {
		met := false
		f.locked(func() { met = done() })
		if met {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			f.t.Fatalf("waited a minute for %s: %v, errors %v", what, f.written, f.failed)
		}
	}
}

// least is the smallest number of writes that a master has acknowledged.
func (f *failover) least() int {
	n := math.MaxInt
	for _, m := range f.written {
		n = min(n, m)
	}
	return n
}

// master is the address of the node that has the bucket.
func (f *failover) master(k *bucket) string {
	c, err := f.cluster.MasterForKey(f.ctx, k.due)
	if err != nil {
		return ""
	}
	return c.Options().Addr
}

// write creates records and counts others up, until it is told to stop.
func (f *failover) write(w int, stop <-chan struct{}) {
	principal := fmt.Sprint("user", w)
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-pace.C: // not as fast as it can: the nodes share this machine
		}
		r := record(fmt.Sprintf("made-%d-%d", w, n), principal, time.Hour)
		_, err := f.Write(f.ctx, testNow, driver.Write{Record: r, Cond: driver.IfAbsent})
		f.note(r.ID, principal, false, err)
		f.count(fmt.Sprintf("count-%d-%d", w, n%16), principal)
	}
}

// count counts a record up, which only this writer does.
func (f *failover) count(id, principal string) {
	old, err := f.Get(f.ctx, testNow, driver.Get{ID: id})
	w := driver.Write{Record: record(id, principal, time.Hour), Cond: driver.IfMatch, Known: old}
	switch {
	case errors.Is(err, model.ErrNotFound):
		w.Cond = driver.IfAbsent
	case err != nil:
		f.note(id, principal, true, err)
		return
	}
	n, _ := strconv.Atoi(string(old.Value))
	w.Record.Value = []byte(strconv.Itoa(n + 1))
	_, err = f.Write(f.ctx, testNow, w)
	f.note(id, principal, true, err)
}

// note keeps what became of a write. One that was acknowledged is replicated
// where a marker that was written after it to the same node has reached a
// replica: replication keeps the order.
func (f *failover) note(id, principal string, counter bool, err error) {
	master, replicated := "", false
	if err == nil {
		if c, err := f.cluster.MasterForKey(f.ctx, f.bucket(id).due); err == nil {
			master = c.Options().Addr
			pipe := c.Pipeline()
			pipe.Set(f.ctx, f.bucket(id).staged+"marker", id, stageTTL)
			acks := goredis.NewIntCmd(f.ctx, "wait", 1, 200)
			_ = pipe.Process(f.ctx, acks) // queued only
			_, err = pipe.Exec(f.ctx)
			replicated = err == nil && acks.Val() > 0
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tally[id]
	if t == nil {
		t = &tally{principal: principal, counter: counter}
		f.tally[id] = t
	}
	t.sent++
	if err != nil {
		f.failed[model.Kind(err)]++
		if !errors.Is(err, model.ErrUnavailable) { // as ErrUnknown is
			f.t.Errorf("%s: %v", id, err)
		}
		return
	}
	t.acknowledged++
	f.written[master]++
	if replicated {
		t.replicated = t.acknowledged
	}
}

// check compares the store with what the writers know.
func (f *failover) check(spared map[*bucket]bool) {
	f.t.Helper()
	stored := map[string]int{} // records by principal
	all, lost, replicated := 0, 0, 0
	for id, t := range f.tally {
		rec, err := f.Get(f.ctx, testNow, driver.Get{ID: id})
		n := 0
		switch {
		case err == nil:
			stored[t.principal]++
			all++
			if n = 1; t.counter {
				n, _ = strconv.Atoi(string(rec.Value))
			}
		case !errors.Is(err, model.ErrNotFound):
			f.t.Errorf("%s: %v", id, err)
		}
		replicated += t.replicated
		lost += max(t.acknowledged-n, 0)
		switch {
		case n < t.replicated:
			f.t.Errorf("%s: %d writes were replicated, %d are there", id, t.replicated, n)
		case spared[f.bucket(id)] && n < t.acknowledged:
			f.t.Errorf("%s: %d writes were acknowledged by a master that lives, %d are there", id, t.acknowledged, n)
		case n > t.sent:
			f.t.Errorf("%s: %d writes were sent, %d are there", id, t.sent, n)
		}
	}
	if replicated == 0 {
		f.t.Error("nothing was replicated")
	}
	f.t.Logf("%d writes were acknowledged and replicated; %d were acknowledged and are lost", replicated, lost)
	count := func(label, value string, want int) {
		f.t.Helper()
		if n, err := f.Count(f.ctx, testNow, driver.Query{Label: label, Value: value}); err != nil || n != want {
			f.t.Errorf("%d records are counted under %q, %v, %d are there", n, value, err, want)
		}
		listed := 0
		for q := (driver.Query{Label: label, Value: value, Limit: 500}); ; {
			p, err := f.Page(f.ctx, testNow, q)
			if err != nil || len(p.Corrupt) > 0 {
				f.t.Fatalf("corrupt: %v, %v", p.Corrupt, err)
			}
			listed += len(p.Records)
			if q.After = p.Next; q.After == "" {
				break
			}
		}
		if listed != want {
			f.t.Errorf("%d records are listed under %q, %d are there", listed, value, want)
		}
	}
	count("", "", all)
	for principal, n := range stored {
		count("principal", principal, n)
	}
}

// TestPermissions gives a user no more than doc.go says, and does all there is.
func TestPermissions(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(permissions, "\n") {
		if !strings.Contains(string(doc), line) {
			t.Errorf("doc.go lacks the line %s", line)
		}
	}
	name, admin := storeName(), clientOf(t, options(t))
	ctx := t.Context()
	rules := []any{"acl", "setuser", name, "on", ">secret", "resetkeys", "~" + name + ":*", "-@all"}
	for _, p := range strings.Fields(permissions) {
		rules = append(rules, p)
	}
	if err := admin.Do(ctx, rules...).Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Do(context.WithoutCancel(ctx), "acl", "deluser", name).Err() })
	o := options(t)
	o.Username, o.Password = name, "secret"
	b := openOn(t, clientOf(t, o), name, nil)
	steps := map[string]error{"ping": b.Ping(ctx), "create storage": b.CreateStorage(ctx)}
	seed(t, b, record("a", "ann", time.Hour), record("b", "ann", 0), record("c", "ann", time.Hour))
	seed(t, b, record("a", "bob", time.Hour))
	admin.Del(ctx, recordKey(b, "c"))
	_, steps["create"] = b.Write(ctx, testNow, driver.Write{Record: record("c", "bob", time.Hour), Cond: driver.IfAbsent})
	long := record("e", "ann", time.Hour)
	long.Value = make([]byte, stageSize)
	_, steps["create long"] = b.Write(ctx, testNow, driver.Write{Record: long, Cond: driver.IfAbsent})
	_, steps["update long"] = b.Write(ctx, testNow, driver.Write{Record: long, Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
	_, steps["upsert long"] = b.Write(ctx, testNow, driver.Write{Record: long, Cond: driver.IfAny})
	_, steps["update"] = b.Write(ctx, testNow, driver.Write{Record: record("c", "", 0), Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true, Labels: true}})
	for _, mode := range []driver.TouchMode{driver.TouchClear, driver.TouchSet} {
		_, steps[fmt.Sprint("touch ", mode)] = b.Touch(ctx, testNow, driver.Touch{ID: "c", Mode: mode, ExpiresAt: testNow.Add(time.Hour)})
	}
	admin.Del(ctx, recordKey(b, "c"))
	_, steps["page"] = b.Page(ctx, testNow, driver.Query{Limit: 10})
	_, steps["page by label"] = b.Page(ctx, testNow, driver.Query{Limit: 10, Label: "principal", Value: "bob", KeysOnly: true})
	_, steps["count"] = b.Count(ctx, testNow, driver.Query{Label: ""})
	_, steps["count by label"] = b.Count(ctx, testNow.Add(time.Hour), driver.Query{Label: "principal", Value: "ann"})
	steps["delete"] = b.Delete(ctx, testNow, driver.Delete{ID: "b", Cond: driver.IfPresent})
	_, steps["sweep"] = b.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10, OnExpire: func(model.Record) error { return nil }})
	seed(t, b, record("d", "ann", time.Hour))
	steps["delete storage"] = b.DeleteStorage(ctx)
	for step, err := range steps {
		if err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}
}
