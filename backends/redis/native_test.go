package redis

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// keysOf returns all keys of the store, with SCAN.
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

// wantNoKeys fails the test if the store has a key, but for the marks of
// CreateStorage.
func wantNoKeys(t testing.TB, b *Backend) {
	t.Helper()
	keys := slices.DeleteFunc(keysOf(t, b), func(key string) bool {
		members, err := b.client.ZRange(t.Context(), key, 0, -1).Result()
		return key == b.metaKey() || err == nil && slices.Equal(members, []string{indexMark})
	})
	if len(keys) > 0 {
		t.Fatalf("keys are left: %q", keys)
	}
}

// remove deletes live records.
func remove(t testing.TB, b *Backend, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil {
			t.Fatal(err)
		}
	}
}

// wantSwept sweeps all records that expire within an hour and checks the result.
func wantSwept(t testing.TB, b *Backend, limit int, onExpire func(model.Record) error, want driver.Swept) {
	t.Helper()
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: limit, OnExpire: onExpire})
	if err != nil || swept != want {
		t.Fatalf("swept %+v, %v, want %+v", swept, err, want)
	}
}

// listed returns the ids of a listing, sorted.
func listed(t testing.TB, b *Backend, q driver.Query) []string {
	t.Helper()
	var ids []string
	for {
		p, err := b.Page(t.Context(), drivertest.Now, q)
		if err != nil || len(p.Corrupt) > 0 {
			t.Fatalf("corrupt: %v, %v", p.Corrupt, err)
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

// bearers returns the ids that are listed under a principal.
func bearers(t testing.TB, b *Backend, value string) []string {
	t.Helper()
	return listed(t, b, driver.Query{Label: "principal", Value: value, Limit: 100, KeysOnly: true})
}

func wantBearers(t testing.TB, b *Backend, value string, want ...string) {
	t.Helper()
	if got := bearers(t, b, value); !slices.Equal(got, want) {
		t.Fatalf("listed under %s: %q, want %q", value, got, want)
	}
}

func wantCount(t testing.TB, b *Backend, label, value string, want int) {
	t.Helper()
	if n, err := b.Count(t.Context(), drivertest.Now, driver.Query{Label: label, Value: value}); err != nil || n != want {
		t.Fatalf("counted %d under %s %q, %v, want %d", n, label, value, err, want)
	}
}

// long returns a record of the principal ann whose value is staged.
func long(id string) model.Record {
	r := drivertest.Record(id, "ann", time.Hour)
	r.Value = make([]byte, stageSize)
	return r
}

// write writes a record. The write must succeed.
func write(t testing.TB, b *Backend, w driver.Write) model.Record {
	t.Helper()
	rec, err := b.Write(t.Context(), drivertest.Now, w)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// keepBoth keeps expiry and labels.
var keepBoth = driver.Keep{Expiry: true, Labels: true}

// TestServerTTL reads the server's TTL after each write.
func TestServerTTL(t *testing.T) {
	b := open(t, &Options{GraceTTL: 10 * time.Minute})
	ctx := t.Context()
	writes := func(cond driver.Condition, ttl time.Duration, keep bool) func() error {
		return func() error {
			_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: drivertest.Record("id", "ann", ttl), Cond: cond, Keep: driver.Keep{Expiry: keep}})
			return err
		}
	}
	touch := func(mode driver.TouchMode, ttl time.Duration) func() error {
		return func() error {
			_, err := b.Touch(ctx, drivertest.Now, driver.Touch{ID: "id", Mode: mode, ExpiresAt: drivertest.Now.Add(ttl)})
			return err
		}
	}
	const none = -time.Nanosecond // how go-redis returns that there is no TTL
	for _, step := range []struct {
		name string
		do   func() error
		want time.Duration
	}{
		{"create", writes(driver.IfAbsent, time.Hour, false), 70 * time.Minute},
		{"update that keeps it", writes(driver.IfPresent, 0, true), 70 * time.Minute},
		{"extend", touch(driver.TouchExtend, 2*time.Hour), 130 * time.Minute},
		{"extend to an earlier time", touch(driver.TouchExtend, time.Hour), 130 * time.Minute},
		{"set", touch(driver.TouchSet, time.Hour), 70 * time.Minute},
		{"clear", touch(driver.TouchClear, 0), none},
		{"set again", touch(driver.TouchSet, time.Hour), 70 * time.Minute},
		{"update without an expiry", writes(driver.IfPresent, 0, false), none},
		{"upsert", writes(driver.IfAny, 2*time.Hour, false), 130 * time.Minute},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got, err := b.client.PTTL(ctx, b.recordKey("id")).Result(); err != nil || got > step.want || got < step.want-time.Minute {
			t.Fatalf("%s: the server's TTL is %v, %v, want about %v", step.name, got, err, step.want)
		}
	}
	without := open(t, &Options{GraceTTL: -1})
	drivertest.Seed(t, without, drivertest.Record("id", "ann", time.Hour))
	if got := without.client.PTTL(ctx, without.recordKey("id")).Val(); got != none {
		t.Errorf("with a negative GraceTTL, the server's TTL is %v", got)
	}
}

// TestServerReaps waits for the server's own TTL. No other test does.
func TestServerReaps(t *testing.T) {
	b := open(t, &Options{GraceTTL: time.Millisecond})
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Millisecond))
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(10 * time.Second); b.client.Exists(t.Context(), b.recordKey("id")).Val() > 0; {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("the server has not removed the record")
		}
	}
	wantSwept(t, b, 10, nil, driver.Swept{Removed: 1})
	wantNoKeys(t, b)
}

// TestNothingIsLeft deletes and sweeps: no index entry stays.
func TestNothingIsLeft(t *testing.T) {
	b := open(t, &Options{Labels: []string{"principal", "tenant"}})
	for i := range 100 {
		r := drivertest.Record(fmt.Sprint("id", i), "ann", time.Hour)
		r.Labels["tenant"] = fmt.Sprint(i % 3)
		drivertest.Seed(t, b, r)
	}
	for i := range 50 {
		remove(t, b, fmt.Sprint("id", i))
	}
	wantSwept(t, b, 100, nil, driver.Swept{Removed: 50})
	wantNoKeys(t, b)
}

// TestReaped removes a record with DEL, as the server's TTL does. The sweep
// announces what the indexes know of it, and no entry stays.
func TestReaped(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	drivertest.Seed(t, b, drivertest.Record("swept", "ann", time.Hour), drivertest.Record("again", "ann", time.Hour))
	b.client.Del(ctx, b.recordKey("swept"), b.recordKey("again"))
	write(t, b, driver.Write{Record: drivertest.Record("again", "bob", 0), Cond: driver.IfAbsent})
	if n := b.client.ZCard(ctx, b.bucket("again").labels+"principal").Val(); b.bucket("again") != b.bucket("swept") && n != 2 {
		t.Errorf("%d label entries after the create, want 1 and the mark", n)
	}
	var seen []model.Record
	wantSwept(t, b, 10, func(r model.Record) error { seen = append(seen, r); return nil }, driver.Swept{Removed: 1})
	if len(seen) != 1 || seen[0].ID != "swept" || seen[0].Labels["principal"] != "ann" || !seen[0].ExpiresAt.Equal(drivertest.Now.Add(time.Hour)) {
		t.Errorf("announced %+v", seen)
	}
	wantBearers(t, b, "bob", "again")
	remove(t, b, "again")
	wantNoKeys(t, b)
}

// TestEvicted removes a live record with DEL, as an eviction does. A listing
// prunes the index entries that it meets.
func TestEvicted(t *testing.T) {
	b := open(t, nil)
	drivertest.Seed(t, b, drivertest.Record("gone", "ann", 0), drivertest.Record("here", "ann", 0))
	b.client.Del(t.Context(), b.recordKey("gone"))
	for range 2 {
		wantBearers(t, b, "ann", "here")
		entries, err := b.client.ZRange(t.Context(), b.bucket("gone").labels+"principal", 0, -1).Result()
		if err != nil || slices.Contains(entries, "\x00\x03anngone") {
			t.Fatalf("entries %q, %v", entries, err)
		}
	}
}

// TestUnreadable stores other data under an id: it is ErrCorrupt for that id
// alone, and only an upsert overwrites it.
func TestUnreadable(t *testing.T) {
	whole := drivertest.Record("id", "ann", 0)
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
			drivertest.Seed(t, b, whole, drivertest.Record("good", "ann", 0))
			key := b.recordKey("id")
			c.Del(ctx, key)
			if err := damage(ctx, c, key); err != nil {
				t.Fatal(err)
			}
			before := c.Dump(ctx, key).Val()

			create := drivertest.Call{Do: func(ctx context.Context, b driver.ModelExpirySupport) error {
				_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: drivertest.Record("id", "bob", 0), Cond: driver.IfAbsent})
				return err
			}}
			for _, call := range slices.Concat([]drivertest.Call{create}, drivertest.Pick(t, drivertest.Reads(), "get", "get many"), drivertest.Pick(t, drivertest.Writes(whole),
				"update", "update relabelled", "compare-and-set", "touch", "extend", "clear", "delete", "delete known")) {
				drivertest.WantKind(t, call.Do(ctx, b), model.ErrCorrupt)
			}
			if c.Dump(ctx, key).Val() != before {
				t.Fatal("it was overwritten")
			}
			for _, q := range []driver.Query{
				{Limit: 10}, {Limit: 10, KeysOnly: true}, {Limit: 10, Label: "principal", Value: "ann"},
				{Limit: 10, Label: "principal", Value: "ann", KeysOnly: true},
			} {
				p, err := b.Page(ctx, drivertest.Now, q)
				if err != nil || len(p.Records) != 1 || !slices.Equal(p.Corrupt, []string{"id"}) {
					t.Fatalf("page %+v: %+v, %v", q, p, err)
				}
			}
			drivertest.Seed(t, b, drivertest.Record("id", "bob", 0))
			wantBearers(t, b, "ann", "good")
			remove(t, b, "id", "good")
			wantNoKeys(t, b)
		})
	}
}

// TestUnreadableAndDue sweeps a store in which half of the due records cannot be
// read: they stay, and the sweep goes on.
func TestUnreadableAndDue(t *testing.T) {
	b := open(t, nil)
	for i := range 40 {
		id := fmt.Sprint("id", i)
		if drivertest.Seed(t, b, drivertest.Record(id, "ann", time.Hour)); i < 20 {
			b.client.Set(t.Context(), b.recordKey(id), "foreign", 0)
		}
	}
	wantSwept(t, b, 10, nil, driver.Swept{Removed: 10, More: true})
	wantSwept(t, b, 10, func(model.Record) error { return nil }, driver.Swept{Removed: 10, More: true})
	wantSwept(t, b, 10, nil, driver.Swept{})
	for i := range 20 {
		b.client.Del(t.Context(), b.recordKey(fmt.Sprint("id", i)))
	}
}

// TestForeignIndex stores a string under the key of an index: a write fails and
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
				_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("id", "ann", 0), Cond: cond})
				drivertest.WantKind(t, err, model.ErrCorrupt)
				drivertest.Gone(t, b, "id")
			}
			b.client.Del(t.Context(), key)
		})
	}
}

// TestOtherNodesLabels changes records on a node that declares fewer labels than
// the node that wrote them: the index entries stay exact.
func TestOtherNodesLabels(t *testing.T) {
	all := open(t, &Options{Labels: []string{"principal", "tenant", "device"}})
	few := openOn(t, all.client, all.name, &Options{Labels: []string{}})
	full := func(id string) model.Record {
		r := drivertest.Record(id, "ann", time.Hour)
		r.Labels["tenant"], r.Labels["device"] = "t", "d"
		return r
	}
	count := func(want int) {
		t.Helper()
		for label, value := range full("").Labels {
			wantCount(t, all, label, value, want)
		}
	}
	drivertest.Seed(t, all, full("deleted"), full("updated"), full("kept"), full("upserted"), full("swept"))
	count(5)
	remove(t, few, "deleted")
	count(4)
	write(t, few, driver.Write{Record: drivertest.Record("updated", "", 0), Cond: driver.IfPresent})
	drivertest.Seed(t, few, drivertest.Record("upserted", "", 0))
	count(2)
	if rec := write(t, few, driver.Write{Record: drivertest.Record("kept", "", 0), Cond: driver.IfPresent, Keep: keepBoth}); len(rec.Labels) != 3 {
		t.Fatalf("got %+v, want 3 labels", rec)
	}
	count(2)
	wantSwept(t, few, 10, nil, driver.Swept{Removed: 2})
	count(0)
	drivertest.Seed(t, all, full("purged"))
	if err := few.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantNoKeys(t, all)
}

// TestLongHeads stores heads that are longer than the part which scripts and
// listings read first.
func TestLongHeads(t *testing.T) {
	b := open(t, &Options{Labels: []string{"one", "two", "three", "four"}})
	ctx := t.Context()
	for _, size := range []int{40, 60, 180, model.MaxLabel} {
		r := drivertest.Record("id", "", time.Hour)
		r.Encoding = strings.Repeat("e", min(size, 255))
		r.Labels = map[string]string{}
		for _, label := range b.gate.Labels() {
			r.Labels[label] = strings.Repeat("v", size)
		}
		drivertest.Seed(t, b, r)
		next := drivertest.Record("id", "", 0)
		next.Encoding = r.Encoding
		got := write(t, b, driver.Write{Record: next, Cond: driver.IfMatch, Known: model.Record{Revision: r.Revision}, Keep: keepBoth})
		if len(got.Labels) != 4 || !got.ExpiresAt.Equal(r.ExpiresAt) {
			t.Fatalf("%d: %+v", size, got)
		}
		got, err := b.Touch(ctx, drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchClear})
		if err != nil || got.Labels["four"] != r.Labels["four"] || got.Encoding != r.Encoding {
			t.Fatalf("%d: %+v, %v", size, got, err)
		}
		p, err := b.Page(ctx, drivertest.Now, driver.Query{Limit: 10, KeysOnly: true, Label: "two", Value: r.Labels["two"]})
		if err != nil || len(p.Records) != 1 || p.Records[0].Encoding != r.Encoding || p.Records[0].Value != nil {
			t.Fatalf("%d: %+v, %v", size, p, err)
		}
	}
	remove(t, b, "id")
	wantNoKeys(t, b)
}

// TestLongValues stores staged values, and one that is just short enough not to
// be staged, with right and wrong guesses of what is kept.
func TestLongValues(t *testing.T) {
	ctx := t.Context()
	for _, size := range []int{stageSize - 1, stageSize, 10 * stageSize} {
		b := open(t, &Options{Labels: []string{"principal", "tenant"}, GraceTTL: 10 * time.Minute})
		sized := func(id, principal string, ttl time.Duration) model.Record {
			r := drivertest.Record(id, principal, ttl)
			r.Value = bytes.Repeat([]byte(id[:1]), size)
			return r
		}
		is := func(step string, want, got model.Record) {
			t.Helper()
			if read := drivertest.Get(t, b, want.ID); !reflect.DeepEqual(got, want.Head()) || !reflect.DeepEqual(read, want) {
				t.Fatalf("%s of %d: returned %v, stored %v, want %v", step, size, got, read.Head(), want.Head())
			}
			ttl := b.client.PTTL(ctx, b.recordKey(want.ID)).Val()
			due := want.ExpiresAt.Sub(drivertest.Now) + 10*time.Minute
			if never := want.ExpiresAt.IsZero(); never && ttl != -1 || !never && (ttl > due || ttl < due-time.Minute) {
				t.Fatalf("%s of %d: the server's TTL is %v", step, size, ttl)
			}
			var ids []string
			if want.Labels["principal"] == "ann" {
				ids = []string{"id"}
			}
			wantBearers(t, b, "ann", ids...)
		}
		does := func(step string, want model.Record, w driver.Write) {
			t.Helper()
			is(step, want, write(t, b, w))
		}
		first := sized("id", "ann", time.Hour)
		does("create", first, driver.Write{Record: first, Cond: driver.IfAbsent})
		_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: sized("id", "bob", 0), Cond: driver.IfAbsent})
		drivertest.WantKind(t, err, model.ErrExists)
		is("create again", first, first.Head())

		now := first
		for what, known := range map[string]model.Record{
			"right": first, "nothing": {}, "other labels": {Revision: first.Revision, ExpiresAt: first.ExpiresAt, Labels: map[string]string{"tenant": strings.Repeat("t", 300)}},
			"other expiry": {Revision: first.Revision, Labels: first.Labels}, "revision alone": {Revision: first.Revision},
		} {
			sent := sized("id", "", 0)
			now.Revision = sent.Revision
			does("update, guessed "+what, now, driver.Write{Record: sent, Cond: driver.IfPresent, Known: known, Keep: keepBoth})
		}
		next := sized("id", "", 0)
		next.Labels = now.Labels
		does("compare-and-set without an expiry", next, driver.Write{Record: next, Cond: driver.IfMatch, Known: now, Keep: driver.Keep{Labels: true}})
		_, err = b.Write(ctx, drivertest.Now, driver.Write{Record: sized("id", "bob", 0), Cond: driver.IfMatch, Known: now})
		drivertest.WantKind(t, err, model.ErrConflict)
		last := sized("id", "bob", 2*time.Hour)
		does("upsert", last, driver.Write{Record: last, Cond: driver.IfAny})
		b.client.Del(ctx, b.recordKey("id")) // as the server's TTL does
		does("create over a removed record", first, driver.Write{Record: first, Cond: driver.IfAbsent})
		few := openOn(t, b.client, b.name, &Options{Labels: []string{}})
		write(t, few, driver.Write{Record: sized("id", "", 0), Cond: driver.IfPresent})
		out := b.WriteMany(ctx, drivertest.Now, []driver.BatchOp{
			{Write: &driver.Write{Record: first, Cond: driver.IfAny}},
			{Write: &driver.Write{Record: sized("none", "ann", 0), Cond: driver.IfPresent}},
			{Write: &driver.Write{Record: drivertest.Record("short", "", 0), Cond: driver.IfAbsent}},
		})
		for i, want := range []error{nil, model.ErrNotFound, nil} {
			drivertest.WantKind(t, out[i].Err, want)
		}
		is("upsert of many", first, out[0].Record)
		remove(t, b, "id", "short")
		wantNoKeys(t, b)
	}
}

// TestStagingRefused has a server that refuses the staged value, or has lost it
// before the script runs: nothing is written.
func TestStagingRefused(t *testing.T) {
	for reply, word := range map[string]string{
		"-OOM command not allowed when used memory > 'maxmemory'.\r\n": "OOM", "-ERR upstream\r\n": "ERR", "+OK\r\n": "kept",
	} {
		f := startFake(t, func(command string) string {
			if command == "set" {
				return reply
			}
			return "$1\r\ns\r\n"
		})
		_, err := newOn(t, clientOf(t, f), "n", nil).Write(t.Context(), drivertest.Now, driver.Write{Record: long("id"), Cond: driver.IfAbsent})
		drivertest.WantKind(t, err, model.ErrUnavailable)
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v", reply, err)
		}
	}
}

// TestLongValueOfUnknownScript flushes the server's scripts: the staged value
// stays until the source has arrived.
func TestLongValueOfUnknownScript(t *testing.T) {
	b := open(t, nil)
	if err := b.client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	write(t, b, driver.Write{Record: long("id"), Cond: driver.IfAbsent})
	for _, key := range keysOf(t, b) {
		if strings.Contains(key, "}:w:") {
			t.Errorf("%s is left", key)
		}
	}
}

// TestCountVisitsNoRecord counts 100,000 records, of which 20 have expired. The
// number of commands does not grow with the store, and none reads a record.
func TestCountVisitsNoRecord(t *testing.T) { countAmong(t, 100_000) }

func countAmong(t testing.TB, records int) {
	t.Helper()
	const principals, expired = 4, 20
	b := open(t, nil)
	ctx := t.Context()
	batch := make([]model.Record, 0, 1000)
	for i := range records {
		r := drivertest.Record(strconv.Itoa(i), "user"+strconv.Itoa(i%principals), time.Hour)
		if i < expired {
			r.ExpiresAt = drivertest.Now
		}
		r.Value = []byte("1")
		if batch = append(batch, r); len(batch) == cap(batch) {
			drivertest.Seed(t, b, batch...)
			batch = batch[:0]
		}
	}
	p := newProxy(t)
	through := newOn(t, clientOf(t, p.options(options(t))), b.name, nil)
	for q, want := range map[driver.Query]int{
		{}: records - expired, {Label: "principal", Value: "user1"}: (records - expired) / principals,
	} {
		label := q.Label
		wantCount(t, through, label, q.Value, want) // the server may not know the script yet
		p.sent()
		before := served(t, b.client)
		began := time.Now()
		n, err := through.Count(ctx, drivertest.Now, q)
		if err != nil || n != want {
			t.Fatalf("%q: %d, %v, want %d", label, n, err, want)
		}
		t.Logf("%d of %d records counted in %v", n, records, time.Since(began))
		if trips, commands := p.sent(); trips != 1 || len(commands) > 2*bucketCount {
			t.Errorf("%q: %d commands in %d round trips", label, len(commands), trips)
		}
		run := 0 // the commands of scripts included
		for command, load := range served(t, b.client) {
			n := load.calls - before[command].calls
			switch command {
			case "info", "config|get", "client|setinfo", "hello":
				continue
			case "scan", "keys", "get", "getrange", "strlen", "mget", "exists", "zscan":
				if n > 0 {
					t.Errorf("%q: the server ran %s %d times", label, command, n)
				}
			}
			run += n
		}
		// Each bucket has a script with at most three counts, one range and the marks of two indexes, and each expired record one lookup.
		if limit := 7*bucketCount + expired; run > limit {
			t.Errorf("%q: the server ran %d commands, %d at most", label, run, limit)
		}
	}
}

// load is how often the server has run a command, and for how long.
type load struct {
	calls  int
	micros float64
}

var commandStats = regexp.MustCompile(`cmdstat_([^:]+):calls=(\d+),usec=(\d+)`)

// served returns the server's load by command. The time of a script includes that
// of its commands.
func served(t testing.TB, c goredis.Cmdable) map[string]load {
	t.Helper()
	info, err := c.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]load{}
	for _, m := range commandStats.FindAllStringSubmatch(info, -1) {
		calls, _ := strconv.Atoi(m[2])
		micros, _ := strconv.ParseFloat(m[3], 64)
		out[m[1]] = load{calls, micros}
	}
	return out
}

// TestStorage creates and deletes one of two stores in one database.
func TestStorage(t *testing.T) {
	b, neighbour := open(t, nil), open(t, nil)
	ctx := t.Context()
	for range 2 {
		if err := b.CreateStorage(ctx); err != nil {
			t.Fatal(err)
		}
	}
	recs := make([]model.Record, 700)
	for i := range recs {
		recs[i] = drivertest.Record(fmt.Sprint("id", i), "ann", time.Hour)
	}
	drivertest.Seed(t, b, recs...)
	drivertest.Seed(t, neighbour, drivertest.Record("id", "ann", time.Hour))
	for range 2 {
		if err := b.DeleteStorage(ctx); err != nil {
			t.Fatal(err)
		}
		if keys := keysOf(t, b); len(keys) > 0 {
			t.Fatalf("keys are left: %q", keys)
		}
	}
	wantBearers(t, neighbour, "ann", "id")
	b.client.HSet(ctx, b.metaKey(), "layout", "9")
	err := b.CreateStorage(ctx)
	drivertest.WantKind(t, err, model.ErrCorrupt)
	if !strings.Contains(err.Error(), `layout "9"`) {
		t.Error(err)
	}
}
