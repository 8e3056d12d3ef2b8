package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// meeting is a call on the record with the id.
type meeting struct {
	name string
	do   func(ctx context.Context, b *Backend, id string) error
}

func meets(name string, cond driver.Condition, ttl time.Duration, labels ...string) meeting {
	return meeting{name, func(ctx context.Context, b *Backend, id string) error {
		r := drivertest.Record(id, "", ttl)
		r.Labels = map[string]string{}
		for i, value := range labels {
			if value != "" {
				r.Labels[[]string{"principal", "state"}[i]] = value
			}
		}
		_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: r, Cond: cond})
		return err
	}}
}

func touches(name string, mode driver.TouchMode, ttl time.Duration) meeting {
	return meeting{name, func(ctx context.Context, b *Backend, id string) error {
		touch := driver.Touch{ID: id, Mode: mode}
		if ttl != 0 {
			touch.ExpiresAt = drivertest.Now.Add(ttl)
		}
		_, err := b.Touch(ctx, drivertest.Now, touch)
		return err
	}}
}

var deletes = meeting{"delete", func(ctx context.Context, b *Backend, id string) error {
	return b.Delete(ctx, drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent})
}}

// TestAnotherActsBetweenRequests has another node act before each request of each
// call. When the record is gone, its index entries are too.
func TestAnotherActsBetweenRequests(t *testing.T) {
	t.Parallel()
	befores := []meeting{
		meets("expires", driver.IfAbsent, time.Hour, "ann", "new"),
		meets("stays", driver.IfAbsent, 0, "ann", "new"),
		{"absent", func(context.Context, *Backend, string) error { return nil }},
	}
	calls := []meeting{
		meets("create", driver.IfAbsent, time.Hour, "bob", "new"),
		meets("update", driver.IfPresent, time.Hour, "bob", "new"),
		meets("update that stays", driver.IfPresent, 0, "bob", "new"),
		touches("touch", driver.TouchSet, time.Minute),
		touches("touch that clears", driver.TouchClear, 0),
		deletes,
	}
	others := []meeting{
		meets("update of one label", driver.IfPresent, time.Hour, "ann"),
		meets("update that stays", driver.IfPresent, 0, "", "new"),
		touches("touch", driver.TouchSet, 2*time.Minute),
		meets("create", driver.IfAbsent, time.Hour, "ann", "old"),
		deletes,
	}
	opts := &Options{Labels: []string{"principal", "state"}}
	t.Run("tombstones", func(t *testing.T) {
		t.Parallel()
		b, p := proxied(t, opts)
		meetings(t, b, newBackend(t, client(t), b.bucket, b.prefix, opts), p, befores, calls, others)
	})
	t.Run("deletes", func(t *testing.T) {
		t.Parallel()
		p, q := startProxy(t), startProxy(t)
		p.obeyDeletes(t)
		q.obeyDeletes(t)
		b := openOn(t, clientAt(t, p.URL()), opts)
		meetings(t, b, newBackend(t, clientAt(t, q.URL()), b.bucket, b.prefix, opts), p, befores, calls, others)
	})
}

// meetings has the other node act before each request that b sends through the
// proxy, makes one more change and deletes the record.
func meetings(t *testing.T, b, other *Backend, p *proxy, befores, calls, others []meeting) {
	t.Helper()
	allowed := func(err error) {
		t.Helper()
		if err != nil && !errors.Is(err, model.ErrNotFound) && !errors.Is(err, model.ErrExists) {
			t.Error(err) // not Fatal: the proxy calls it too
		}
	}
	names := map[string]string{} // what was tried, by the record's name
	trials := 0
	// meet reports whether the call had a request before which the other could act.
	meet := func(before, call, act meeting, at int) bool {
		id := fmt.Sprint("id", trials)
		trials++
		names[placeOf(id).name] = fmt.Sprintf("%s, %s, %s before request %d", before.name, call.name, act.name, at)
		allowed(before.do(t.Context(), other, id))
		n := 0
		p.answers(func(string) *answer {
			if n++; n == at {
				allowed(act.do(t.Context(), other, id))
			}
			return nil
		})
		allowed(call.do(t.Context(), b, id))
		p.answers(nil)
		allowed(meets("update", driver.IfPresent, time.Hour).do(t.Context(), other, id))
		allowed(deletes.do(t.Context(), other, id))
		return n >= at
	}
	for _, before := range befores {
		for _, call := range calls {
			for _, act := range others {
				for at := 1; meet(before, call, act, at); at++ {
				}
			}
		}
	}
	if n := leftIn(t, newBackend(t, client(t), b.bucket, b.prefix, &b.opts)); n != 1 {
		t.Errorf("%d objects are left, want the marker alone", n)
		for _, key := range keysIn(t, b, labelsDir, dueDir) {
			p, _, _ := parseEntry(key[strings.LastIndexByte(key, '/')+1:])
			t.Errorf("%s: %s", key, names[p.name])
		}
	}
	t.Logf("%d calls were met", trials)
}
