package redis

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// replies counts the bytes of the replies to each pipeline.
type replies struct {
	mu        sync.Mutex
	most, all int
	pipelines int
}

func (h *replies) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (h *replies) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }
func (h *replies) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := next(ctx, cmds)
		size := 0
		for _, cmd := range cmds {
			if s, ok := cmd.(*goredis.StringCmd); ok {
				size += len(s.Val())
			}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if cmds[0].Name() != "client" { // of a new connection
			h.pipelines++
		}
		h.most, h.all = max(h.most, size), h.all+size
		return err
	}
}

// TestLargePages lists and sweeps large records: no pipeline gets more values than
// driver.PageBytes and the last record, a page has no more, and all are listed.
func TestLargePages(t *testing.T) {
	b := open(t, nil)
	ctx := t.Context()
	const n, size = 48, 1 << 20
	var ids []string
	for i := range n {
		r := drivertest.Record(fmt.Sprintf("id%02d", i), "ann", time.Hour)
		r.Value = bytes.Repeat([]byte{byte('a' + i%26)}, size)
		if i%3 == 0 {
			r.Value = r.Value[:300<<10] // some fit into their share, some do not
		}
		if i%8 == 7 {
			r.ExpiresAt = drivertest.Now // its value is never read
		} else {
			ids = append(ids, r.ID)
		}
		drivertest.Seed(t, b, r)
	}
	c := clientOf(t, options(t))
	through := newOn(t, c, b.name, nil)
	for _, q := range []driver.Query{{Limit: 1000}, {Limit: 30, Label: "principal", Value: "ann"}, {Limit: 1000, KeysOnly: true}, {Limit: 1}} {
		hook := &replies{}
		c.AddHook(hook)
		var got []string
		for pages := 0; ; pages++ {
			p, err := through.Page(ctx, drivertest.Now, q)
			if err != nil || len(p.Corrupt) > 0 {
				t.Fatalf("corrupt %q, %v", p.Corrupt, err)
			}
			total := 0
			for i, r := range p.Records {
				if total >= driver.PageBytes {
					t.Fatalf("%d records follow after %d bytes", len(p.Records)-i, total)
				}
				if total += len(r.Value); !q.KeysOnly && (len(r.Value) != size && len(r.Value) != 300<<10 || len(bytes.Trim(r.Value, string(r.Value[:1]))) > 0) {
					t.Errorf("%s has another value", r.ID)
				}
				got = append(got, r.ID)
			}
			if q.After = p.Next; p.Next == "" {
				break
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, ids) {
			t.Errorf("%+v: listed %d records, want %d", q, len(got), len(ids))
		}
		if most := driver.PageBytes + size + n*maxHead; hook.most > most {
			t.Errorf("%+v: one pipeline got %d bytes, at most %d are right", q, hook.most, most)
		}
		if q.KeysOnly && hook.all > n*headBytes {
			t.Errorf("a listing of ids got %d bytes", hook.all)
		}
	}
	hook := &replies{}
	c.AddHook(hook)
	if swept, err := through.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 1000, OnExpire: func(model.Record) error { return nil }}); err != nil || swept.Removed != n {
		t.Fatalf("swept %+v, %v", swept, err)
	}
	if hook.all > n*headBytes {
		t.Errorf("a sweep got %d bytes", hook.all)
	}
}

// TestPageTrips counts the pipelines of a page: large values and vanished records
// cost one more, and small ones none.
func TestPageTrips(t *testing.T) {
	b := open(t, nil)
	c := clientOf(t, options(t))
	through := newOn(t, c, b.name, nil)
	many := drivertest.Record("many", "ann", time.Hour)
	for i := range 40 {
		drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("id", i), "ann", time.Hour))
	}
	trips := func(q driver.Query, want int) {
		t.Helper()
		hook := &replies{}
		c.AddHook(hook)
		q.Limit = 100
		if _, err := through.Page(t.Context(), drivertest.Now, q); err != nil || hook.pipelines != want {
			t.Errorf("%+v: %d pipelines, %v, want %d", q, hook.pipelines, err, want)
		}
	}
	if err := through.Ping(t.Context()); err != nil { // opens the connection
		t.Fatal(err)
	}
	ofAnn := driver.Query{Label: "principal", Value: "ann"}
	trips(driver.Query{}, 2)
	trips(ofAnn, 2)
	many.Value = make([]byte, 1<<20)
	drivertest.Seed(t, b, many)
	trips(driver.Query{}, 3)
	trips(ofAnn, 3)
	trips(driver.Query{KeysOnly: true}, 2)
	remove(t, b, "many")
	gone := drivertest.Record("gone", "ann", time.Hour)
	for _, q := range []driver.Query{{}, {KeysOnly: true}, ofAnn, {Label: "principal", Value: "ann", KeysOnly: true}} {
		drivertest.Seed(t, b, gone)
		b.client.Del(t.Context(), b.recordKey("gone"))
		trips(q, 3)
	}
}

// TestPageOfLongHeads lists records whose labels are longer than the first read.
func TestPageOfLongHeads(t *testing.T) {
	names := make([]string, 40)
	for i := range names {
		names[i] = fmt.Sprintf("l%02d", i)
	}
	b := open(t, &Options{Labels: names})
	for _, size := range []int{0, 5000} {
		for _, id := range []string{"a", "b", "c"} {
			r := drivertest.Record(id, "", time.Hour)
			r.Labels = map[string]string{}
			for _, name := range names {
				r.Labels[name] = string(bytes.Repeat([]byte("v"), 100))
			}
			r.Value = make([]byte, size)
			drivertest.Seed(t, b, r)
		}
		for _, keysOnly := range []bool{false, true} {
			p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 10, KeysOnly: keysOnly})
			if err != nil || len(p.Records) != 3 || len(p.Corrupt) > 0 {
				t.Fatalf("%d records, corrupt %q, %v", len(p.Records), p.Corrupt, err)
			}
			for _, r := range p.Records {
				if len(r.Labels) != len(names) || !keysOnly && len(r.Value) != size || keysOnly && r.Value != nil {
					t.Errorf("%s has %d labels and %d bytes", r.ID, len(r.Labels), len(r.Value))
				}
			}
		}
		announced := 0
		_, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 10, OnExpire: func(r model.Record) error {
			announced += len(r.Labels)
			return fmt.Errorf("not yet")
		}})
		if err != nil || announced != 3*len(names) {
			t.Errorf("announced %d labels, %v", announced, err)
		}
	}
}
