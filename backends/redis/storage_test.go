package redis

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// foreigners put what another program made under the key that keyFor returns.
func foreigners(b *Backend) map[string]func(ctx context.Context, c *goredis.Client) {
	k := b.bucket("id")
	label := k.labels + "principal"
	return map[string]func(context.Context, *goredis.Client){
		"a string for the layout": func(ctx context.Context, c *goredis.Client) {
			c.Set(ctx, b.metaKey(), "theirs", 0)
		},
		"other fields beside the layout": func(ctx context.Context, c *goredis.Client) {
			c.HSet(ctx, b.metaKey(), "theirs", "1")
		},
		"a list for the index by expiry": func(ctx context.Context, c *goredis.Client) {
			c.RPush(ctx, k.due, "theirs")
		},
		"a string for the index by id": func(ctx context.Context, c *goredis.Client) {
			c.Set(ctx, k.ids, "theirs", 0)
		},
		"a hash for the index of a label": func(ctx context.Context, c *goredis.Client) {
			c.HSet(ctx, label, "theirs", "1")
		},
		"other members in the index by id": func(ctx context.Context, c *goredis.Client) {
			c.ZAdd(ctx, k.ids, goredis.Z{Member: "theirs"})
		},
		"other members in the index by expiry": func(ctx context.Context, c *goredis.Client) {
			c.ZAdd(ctx, k.due, goredis.Z{Score: 5, Member: "theirs\n"})
		},
		"other members in the index of a label": func(ctx context.Context, c *goredis.Client) {
			c.ZAdd(ctx, label, goredis.Z{Member: "\xff\xfftheirs"})
		},
	}
}

// TestForeignStorage has another program's data under each of the store's keys:
// CreateStorage refuses and changes nothing (rule R96). DeleteStorage removes
// the store's own data, and that stays (rule R97).
func TestForeignStorage(t *testing.T) {
	c := clientOf(t, options(t))
	ctx := t.Context()
	for name := range foreigners(newOn(t, c, "n", nil)) {
		for _, used := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				b := newOn(t, c, drivertest.Name(), nil)
				if used { // the store's own data is there before
					drivertest.SeedCalls(t, b)
					if err := b.CreateStorage(ctx); err != nil {
						t.Fatal(err)
					}
					if !strings.HasPrefix(name, "other") {
						c.Del(ctx, keyFor(b, name))
					}
				}
				key := keyFor(b, name)
				foreigners(b)[name](ctx, c)
				t.Cleanup(func() { c.Del(context.WithoutCancel(ctx), key) })
				was := dumps(t, b)
				err := b.CreateStorage(ctx)
				drivertest.WantKind(t, err, model.ErrCorrupt)
				if !strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "theirs") {
					t.Errorf("the error does not say what was found: %v", err)
				}
				if now := dumps(t, b); !slices.Equal(now, was) {
					t.Errorf("CreateStorage changed something: %q, was %q", now, was)
				}
				err = b.DeleteStorage(ctx)
				drivertest.WantKind(t, err, model.ErrCorrupt)
				if !strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "theirs") {
					t.Errorf("the error does not say what is left: %v", err)
				}
				if left := keysOf(t, b); !slices.Equal(left, []string{key}) || !strings.Contains(c.Dump(ctx, key).Val(), "theirs") {
					t.Errorf("%q are left, want %q", left, key)
				}
			})
		}
	}
}

// keyFor returns the key that a foreigner takes.
func keyFor(b *Backend, name string) string {
	k := b.bucket("id")
	switch {
	case strings.Contains(name, "layout"):
		return b.metaKey()
	case strings.Contains(name, "expiry"):
		return k.due
	case strings.Contains(name, "label"):
		return k.labels + "principal"
	}
	return k.ids
}

// dumps returns the store's keys with their contents.
func dumps(t testing.TB, b *Backend) []string {
	t.Helper()
	keys := keysOf(t, b)
	for i, key := range keys {
		keys[i] += "=" + b.client.Dump(t.Context(), key).Val()
	}
	return keys
}

// TestForeignRecords has other data in the place of records: DeleteStorage keeps
// it and says so, and removes a record of a newer version and a damaged one.
func TestForeignRecords(t *testing.T) {
	c := clientOf(t, options(t))
	b := newOn(t, c, drivertest.Name(), nil)
	ctx := t.Context()
	for _, id := range []string{"list", "text", "empty", "newer", "cut", "whole"} {
		drivertest.Seed(t, b, drivertest.Record(id, "ann", time.Hour))
	}
	c.Del(ctx, b.recordKey("list"))
	c.RPush(ctx, b.recordKey("list"), "theirs")
	c.Set(ctx, b.recordKey("text"), "Some text of theirs", 0)
	c.Set(ctx, b.recordKey("empty"), "", 0)
	c.Set(ctx, b.recordKey("newer"), "S\x02 of a newer version", 0)
	c.Set(ctx, b.recordKey("cut"), "S\x01", 0)
	err := b.DeleteStorage(ctx)
	drivertest.WantKind(t, err, model.ErrCorrupt)
	if !strings.Contains(err.Error(), "3 keys") {
		t.Errorf("the error does not say what is left: %v", err)
	}
	want := []string{b.recordKey("list"), b.recordKey("text"), b.recordKey("empty")}
	slices.Sort(want)
	if left := keysOf(t, b); !slices.Equal(left, want) {
		t.Errorf("%q are left, want %q", left, want)
	}
	c.Del(ctx, want...)
}

// TestTouchAtARevision touches with every mode at the stored revision, at another
// one, and without a live record, each with one command.
func TestTouchAtARevision(t *testing.T) {
	b, p := proxied(t)
	ctx := t.Context()
	for name, touch := range map[string]driver.Touch{
		"set":                         {Mode: driver.TouchSet, ExpiresAt: drivertest.Now.Add(time.Minute)},
		"extend":                      {Mode: driver.TouchExtend, ExpiresAt: drivertest.Now.Add(2 * time.Hour)},
		"extend that changes nothing": {Mode: driver.TouchExtend, ExpiresAt: drivertest.Now.Add(time.Minute)},
		"clear":                       {Mode: driver.TouchClear},
	} {
		rec := drivertest.Put(t, b, drivertest.Record("id", "ann", time.Hour))
		drivertest.Seed(t, b, drivertest.Expired("old", ""))
		touch.Cond = driver.IfMatch
		for _, test := range []struct {
			id    string
			known model.Revision
			want  error
		}{
			{"id", model.NewRevision(), model.ErrConflict}, {"old", rec.Revision, model.ErrNotFound},
			{"none", rec.Revision, model.ErrNotFound}, {"id", rec.Revision, nil},
		} {
			touch.ID, touch.Known = test.id, model.Record{Revision: test.known}
			p.sent()
			got, err := b.Touch(ctx, drivertest.Now, touch)
			if kind := model.Kind(err); kind != test.want {
				t.Errorf("%s of %s: %v, want %v", name, test.id, err, test.want)
			}
			if trips, commands := p.sent(); trips != 1 || len(commands) != 1 {
				t.Errorf("%s of %s: sent %v", name, test.id, commands)
			}
			at := rec.ExpiresAt
			if test.want == nil {
				if at = touch.Result(at); !got.ExpiresAt.Equal(at) || got.Revision != rec.Revision {
					t.Errorf("%s: got %v", name, got)
				}
			}
			drivertest.Holds(t, b, "id", rec.Revision, at)
		}
	}
}

// TestStat compares Stat with Get, in one round trip that does not send the
// value.
func TestStat(t *testing.T) {
	b, p := proxied(t)
	ctx := t.Context()
	drivertest.Seed(t, b, drivertest.Record("short", "ann", time.Hour), long("long"), drivertest.Expired("old", "ann"), drivertest.Record("plain", "", 0))
	for id, data := range map[string]string{"foreign": "hello", "newer": "S\x02", "cut": string(encode(&model.Record{ID: "cut", Revision: model.NewRevision(), Value: []byte("x")}))} {
		b.client.Set(ctx, b.recordKey(id), strings.TrimSuffix(data, "x"), 0)
	}
	b.client.RPush(ctx, b.recordKey("list"), "x")
	for _, id := range []string{"short", "long", "plain", "old", "none", "foreign", "newer", "cut", "list"} {
		rec, want := b.Get(ctx, drivertest.Now, driver.Get{ID: id})
		p.sent()
		got, err := b.Stat(ctx, drivertest.Now, driver.Get{ID: id})
		if trips, commands := p.sent(); trips != 1 || len(commands) != 1 || commands[0] != "evalsha" {
			t.Errorf("%s: sent %v", id, commands)
		}
		if model.Kind(err) != model.Kind(want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
		if got.Size != len(rec.Value) || got.Record.Value != nil || got.Record.Revision != rec.Revision ||
			!got.Record.ExpiresAt.Equal(rec.ExpiresAt) || got.Record.Labels["principal"] != rec.Labels["principal"] || got.Record.Encoding != rec.Encoding {
			t.Errorf("%s: got %+v, want %v", id, got, rec.Head())
		}
	}
	b.client.Del(ctx, b.recordKey("foreign"), b.recordKey("newer"), b.recordKey("cut"), b.recordKey("list"))
}

// TestListingsKeepTheirOrder changes one label, the value and the expiry of a
// record: the entries of the other labels are not written, and no listing
// changes its order (rule R95).
func TestListingsKeepTheirOrder(t *testing.T) {
	b := open(t, &Options{Labels: []string{"owner", "state"}})
	rec := func(id, state string) model.Record {
		r := drivertest.Record(id, "", time.Hour)
		r.Labels = map[string]string{"owner": "ann", "state": state}
		return r
	}
	ids := []string{"a", "a\x01", "a:b", "b", "ä", "z"}
	for _, id := range ids {
		drivertest.Seed(t, b, rec(id, "new"))
	}
	order := func(q driver.Query) (out []string) {
		q.Limit = 2
		for {
			p, err := b.Page(t.Context(), drivertest.Now, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range p.Records {
				out = append(out, r.ID)
			}
			if q.After = p.Next; q.After == "" {
				return out
			}
		}
	}
	owner := driver.Query{Label: "owner", Value: "ann"}
	all, owned := order(driver.Query{}), order(owner)
	for _, id := range ids {
		k := b.bucket(id)
		was := b.client.Dump(t.Context(), k.labels+"owner").Val()
		before := served(t, b.client)
		write(t, b, driver.Write{Record: rec(id, "done"), Cond: driver.IfPresent})
		after := served(t, b.client)
		// The index by id has the labels too.
		if added, removed := after["zadd"].calls-before["zadd"].calls, after["zrem"].calls-before["zrem"].calls; added != 2 || removed != 2 {
			t.Errorf("%q: %d entries were written and %d removed, want 2 and 2", id, added, removed)
		}
		before = after
		same := rec(id, "done")
		same.ExpiresAt = same.ExpiresAt.Add(time.Hour)
		write(t, b, driver.Write{Record: same, Cond: driver.IfAny})
		if after = served(t, b.client); after["zadd"].calls-before["zadd"].calls != 1 {
			t.Errorf("%q: another expiry alone wrote other entries", id)
		}
		if _, err := b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: id, Mode: driver.TouchClear}); err != nil {
			t.Fatal(err)
		}
		if now := b.client.Dump(t.Context(), k.labels+"owner").Val(); now != was {
			t.Errorf("%q: the index of the other label changed", id)
		}
		if got := order(driver.Query{}); !slices.Equal(got, all) {
			t.Errorf("%q: all are listed as %q, before %q", id, got, all)
		}
		if got := order(owner); !slices.Equal(got, owned) {
			t.Errorf("%q: listed under the owner as %q, before %q", id, got, owned)
		}
	}
}

// TestWriteOverAForeignIndex has another program's key in the place of each index:
// a write that fails leaves the record, the entries and the counts as they were.
func TestWriteOverAForeignIndex(t *testing.T) {
	b := open(t, &Options{Labels: []string{"owner", "state"}})
	k := b.bucket("id")
	ctx := t.Context()
	rec := func(value string) model.Record {
		r := drivertest.Record("id", "", time.Hour)
		r.Labels = map[string]string{"owner": value, "state": value}
		return r
	}
	longer := func(r model.Record) model.Record {
		r.Value = make([]byte, stageSize)
		return r
	}
	for _, key := range []string{k.due, k.ids, k.labels + "owner", k.labels + "state"} {
		for _, stored := range []bool{false, true} {
			for _, cond := range []driver.Condition{driver.IfAbsent, driver.IfAny, driver.IfPresent} {
				if stored == (cond == driver.IfAbsent) || !stored && cond == driver.IfPresent {
					continue
				}
				for _, r := range []model.Record{rec("new"), longer(rec("new"))} {
					if r.ExpiresAt = drivertest.Now.Add(2 * time.Hour); stored {
						drivertest.Seed(t, b, rec("old"))
					}
					whole := b.client.Dump(ctx, key).Val()
					b.client.Del(ctx, key)
					b.client.RPush(ctx, key, "theirs")
					was := dumps(t, b)
					_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: r, Cond: cond})
					drivertest.WantKind(t, err, model.ErrCorrupt)
					if now := dumps(t, b); !slices.Equal(now, was) {
						t.Errorf("%s, stored %t, %v: a write that failed changed something: %q, was %q", key, stored, cond, now, was)
					}
					b.client.RestoreReplace(ctx, key, 0, whole)
					if stored {
						remove(t, b, "id")
					}
					wantCount(t, b, "owner", "new", 0)
					wantNoKeys(t, b)
				}
			}
		}
	}
}
