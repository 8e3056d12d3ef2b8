package redis

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry"
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
	q := expiry.Query{Label: "principal", Value: value, Limit: 100, KeysOnly: true}
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
	write := func(w expiry.Write) {
		t.Helper()
		if _, err := b.Write(ctx, testNow, w); err != nil {
			t.Fatal(err)
		}
	}
	touch := func(mode expiry.TouchMode, ttl time.Duration) {
		t.Helper()
		if _, err := b.Touch(ctx, testNow, expiry.Touch{ID: "id", Mode: mode, ExpiresAt: testNow.Add(ttl)}); err != nil {
			t.Fatal(err)
		}
	}
	const none = -time.Nanosecond // as go-redis says it
	write(expiry.Write{Record: record("id", "ann", time.Hour), Cond: model.Absent})
	is("create", 70*time.Minute)
	write(expiry.Write{Record: record("id", "ann", 0), Cond: model.Live, KeepExpiry: true})
	is("update that keeps it", 70*time.Minute)
	touch(expiry.Extend, 2*time.Hour)
	is("extend", 130*time.Minute)
	touch(expiry.Extend, time.Hour)
	is("extend to an earlier time", 130*time.Minute)
	touch(expiry.Set, time.Hour)
	is("set", 70*time.Minute)
	touch(expiry.Clear, 0)
	is("clear", none)
	touch(expiry.Set, time.Hour)
	write(expiry.Write{Record: record("id", "ann", 0), Cond: model.Live})
	is("update without one", none)
	write(expiry.Write{Record: record("id", "ann", 2*time.Hour), Cond: model.Always})
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
	swept, err := b.DeleteExpired(t.Context(), testNow.Add(time.Second), 10, nil)
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
		if err := b.Delete(t.Context(), testNow, fmt.Sprint("id", i), model.Live, model.Record{}); err != nil {
			t.Fatal(err)
		}
	}
	swept, err := b.DeleteExpired(t.Context(), testNow.Add(time.Hour), 100, nil)
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
	if _, err := b.Write(ctx, testNow, expiry.Write{Record: record("again", "bob", 0), Cond: model.Absent}); err != nil {
		t.Fatal(err)
	}
	if n := b.client.ZCard(ctx, b.bucket("again").labels+"principal").Val(); b.bucket("again") != b.bucket("swept") && n != 1 {
		t.Errorf("%d label entries after the create, want its own", n)
	}
	var seen []model.Record
	swept, err := b.DeleteExpired(ctx, testNow.Add(time.Hour), 10, func(r model.Record) error {
		seen = append(seen, r)
		return nil
	})
	if err != nil || swept.Removed != 1 || len(seen) != 1 {
		t.Fatalf("%+v, %v, announced %v", swept, err, seen)
	}
	if r := seen[0]; r.ID != "swept" || r.Labels["principal"] != "ann" || !r.ExpiresAt.Equal(testNow.Add(time.Hour)) {
		t.Errorf("announced %+v", r)
	}
	if got := bearers(t, b, "bob"); !slices.Equal(got, []string{"again"}) {
		t.Errorf("bob bears %v", got)
	}
	if err := b.Delete(ctx, testNow, "again", model.Live, model.Record{}); err != nil {
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

			_, err := b.Get(ctx, testNow, "bad")
			only(t, err, model.ErrCorrupt)
			for _, cond := range []model.Cond{model.Absent, model.Live, model.Match} {
				_, err := b.Write(ctx, testNow, expiry.Write{Record: record("bad", "bob", 0), Cond: cond, Prev: whole})
				only(t, err, model.ErrCorrupt)
			}
			_, err = b.Touch(ctx, testNow, expiry.Touch{ID: "bad", Mode: expiry.Set, ExpiresAt: testNow.Add(time.Hour)})
			only(t, err, model.ErrCorrupt)
			only(t, b.Delete(ctx, testNow, "bad", model.Live, model.Record{}), model.ErrCorrupt)
			if c.Dump(ctx, key).Val() != before {
				t.Fatal("it was overwritten")
			}
			for _, q := range []expiry.Query{
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
				if err := b.Delete(ctx, testNow, id, model.Live, model.Record{}); err != nil {
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
		swept, err := b.DeleteExpired(t.Context(), testNow.Add(time.Hour), 10, each)
		if err != nil || swept.Removed != 10 || !swept.More {
			t.Fatalf("%+v, %v", swept, err)
		}
	}
	if swept, err := b.DeleteExpired(t.Context(), testNow.Add(time.Hour), 10, nil); err != nil || swept.Removed != 0 || swept.More {
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
			for _, cond := range []model.Cond{model.Absent, model.Always} {
				_, err := b.Write(t.Context(), testNow, expiry.Write{Record: record("id", "ann", 0), Cond: cond})
				only(t, err, model.ErrCorrupt)
				_, err = b.Get(t.Context(), testNow, "id")
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
			if n, err := all.Count(ctx, testNow, label, value); err != nil || n != want {
				t.Fatalf("%d of %s, %v, want %d", n, label, err, want)
			}
		}
	}
	seed(t, all, full("deleted"), full("updated"), full("kept"), full("upserted"), full("swept"))
	count(5)
	if err := few.Delete(ctx, testNow, "deleted", model.Live, model.Record{}); err != nil {
		t.Fatal(err)
	}
	count(4)
	if _, err := few.Write(ctx, testNow, expiry.Write{Record: record("updated", "", 0), Cond: model.Live}); err != nil {
		t.Fatal(err)
	}
	seed(t, few, record("upserted", "", 0))
	count(2)
	rec, err := few.Write(ctx, testNow, expiry.Write{Record: record("kept", "", 0), Cond: model.Live, KeepExpiry: true, KeepLabels: true})
	if err != nil || len(rec.Labels) != 3 {
		t.Fatalf("%+v, %v", rec, err)
	}
	count(2)
	swept, err := few.DeleteExpired(ctx, testNow.Add(time.Hour), 10, nil)
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
		got, err := b.Write(ctx, testNow, expiry.Write{Record: next, Cond: model.Match, Prev: model.Record{Rev: r.Rev}, KeepExpiry: true, KeepLabels: true})
		if err != nil || len(got.Labels) != 4 || !got.ExpiresAt.Equal(r.ExpiresAt) {
			t.Fatalf("%d: %+v, %v", size, got, err)
		}
		got, err = b.Touch(ctx, testNow, expiry.Touch{ID: "id", Mode: expiry.Clear})
		if err != nil || got.Labels["four"] != r.Labels["four"] || got.Encoding != r.Encoding {
			t.Fatalf("%d: %+v, %v", size, got, err)
		}
		p, err := b.Page(ctx, testNow, expiry.Query{Limit: 10, KeysOnly: true, Label: "two", Value: r.Labels["two"]})
		if err != nil || len(p.Records) != 1 || p.Records[0].Encoding != r.Encoding || p.Records[0].Value != nil {
			t.Fatalf("%d: %+v, %v", size, p, err)
		}
	}
	if err := b.Delete(ctx, testNow, "id", model.Live, model.Record{}); err != nil {
		t.Fatal(err)
	}
	noKeys(t, b)
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
const permissions = `+get +getrange +strlen +exists +set +setrange +pexpire +persist +unlink
+zadd +zrem +zscore +zcount +zlexcount +zrange +zrangebyscore +zrangebylex +zremrangebylex
+hsetnx +hgetall +evalsha +eval +ping`

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
	_, steps["create"] = b.Write(ctx, testNow, expiry.Write{Record: record("c", "bob", time.Hour), Cond: model.Absent})
	_, steps["update"] = b.Write(ctx, testNow, expiry.Write{Record: record("c", "", 0), Cond: model.Live, KeepExpiry: true, KeepLabels: true})
	for _, mode := range []expiry.TouchMode{expiry.Clear, expiry.Set} {
		_, steps[fmt.Sprint("touch ", mode)] = b.Touch(ctx, testNow, expiry.Touch{ID: "c", Mode: mode, ExpiresAt: testNow.Add(time.Hour)})
	}
	admin.Del(ctx, recordKey(b, "c"))
	_, steps["page"] = b.Page(ctx, testNow, expiry.Query{Limit: 10})
	_, steps["page by label"] = b.Page(ctx, testNow, expiry.Query{Limit: 10, Label: "principal", Value: "bob", KeysOnly: true})
	_, steps["count"] = b.Count(ctx, testNow, "", "")
	_, steps["count by label"] = b.Count(ctx, testNow.Add(time.Hour), "principal", "ann")
	steps["delete"] = b.Delete(ctx, testNow, "b", model.Live, model.Record{})
	_, steps["sweep"] = b.DeleteExpired(ctx, testNow.Add(time.Hour), 10, func(model.Record) error { return nil })
	seed(t, b, record("d", "ann", time.Hour))
	steps["delete storage"] = b.DeleteStorage(ctx)
	for step, err := range steps {
		if err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}
}
