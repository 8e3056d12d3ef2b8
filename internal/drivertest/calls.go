package drivertest

import (
	"context"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// A Call is one call of a driver method.
type Call struct {
	Name string
	Do   func(ctx context.Context, b driver.ModelExpirySupport) error
	// Done fails the test unless the call was applied exactly once. Reads have
	// none.
	Done func(t testing.TB, b driver.ModelExpirySupport)
}

// SeedCalls stores what the calls of Writes and Reads need: a live record "id"
// of the principal ann, and an expired record "old". It returns the live one
// as Get does.
func SeedCalls(t testing.TB, b driver.ModelExpirySupport) model.Record {
	t.Helper()
	Seed(t, b, Expired("old", ""))
	return Put(t, b, Record("id", "ann", time.Hour))
}

// Writes returns every kind of write, given the record that SeedCalls
// returned.
func Writes(base model.Record) []Call {
	fresh, plain, old := Record("new", "ann", time.Hour), Record("plain", "", time.Hour), Record("old", "", time.Hour)
	next := Record("id", "bob", 2*time.Hour)
	both := driver.Keep{Expiry: true, Labels: true}
	return []Call{
		write("create", driver.Write{Record: plain, Cond: driver.IfAbsent}, plain.ExpiresAt),
		write("create labelled", driver.Write{Record: fresh, Cond: driver.IfAbsent}, fresh.ExpiresAt),
		write("create over expired", driver.Write{Record: old, Cond: driver.IfAbsent}, old.ExpiresAt),
		write("upsert", driver.Write{Record: next, Cond: driver.IfAny}, next.ExpiresAt),
		write("update", driver.Write{Record: next, Cond: driver.IfPresent, Keep: both}, base.ExpiresAt),
		write("update relabelled", driver.Write{Record: next, Cond: driver.IfPresent}, next.ExpiresAt),
		write("compare-and-set", driver.Write{Record: next, Cond: driver.IfMatch, Known: base}, next.ExpiresAt),
		touch("touch", base, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: Now.Add(time.Minute)}),
		touch("touch known", base, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: Now.Add(time.Minute), Known: base}),
		touch("extend", base, driver.Touch{ID: "id", Mode: driver.TouchExtend, ExpiresAt: Now.Add(3 * time.Hour)}),
		touch("clear", base, driver.Touch{ID: "id", Mode: driver.TouchClear}),
		remove("delete", driver.Delete{ID: "id", Cond: driver.IfPresent}),
		remove("delete known", driver.Delete{ID: "id", Cond: driver.IfMatch, Known: base}),
	}
}

// Pick returns the calls with the names, in that order. It ends the test if
// there is no such call.
func Pick(t testing.TB, calls []Call, names ...string) []Call {
	t.Helper()
	out := make([]Call, 0, len(names))
	for _, name := range names {
		n := len(out)
		for _, c := range calls {
			if c.Name == name {
				out = append(out, c)
			}
		}
		if len(out) == n {
			t.Fatalf("no call has the name %q", name)
		}
	}
	return out
}

func write(name string, w driver.Write, expiresAt time.Time) Call {
	return Call{
		name,
		func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Write(ctx, Now, w)
			return err
		},
		func(t testing.TB, b driver.ModelExpirySupport) {
			t.Helper()
			Holds(t, b, w.Record.ID, w.Record.Revision, expiresAt)
		},
	}
}

func touch(name string, base model.Record, tc driver.Touch) Call {
	return Call{
		name,
		func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Touch(ctx, Now, tc)
			return err
		},
		func(t testing.TB, b driver.ModelExpirySupport) {
			t.Helper()
			Holds(t, b, tc.ID, base.Revision, tc.Result(base.ExpiresAt))
		},
	}
}

func remove(name string, d driver.Delete) Call {
	return Call{
		name,
		func(ctx context.Context, b driver.ModelExpirySupport) error { return b.Delete(ctx, Now, d) },
		func(t testing.TB, b driver.ModelExpirySupport) { t.Helper(); Gone(t, b, d.ID) },
	}
}

// Reads returns every kind of read, and the sweep of what expired before the
// tests began, which removes nothing.
func Reads() []Call {
	read := func(name string, do func(ctx context.Context, b driver.ModelExpirySupport) error) Call {
		return Call{Name: name, Do: do}
	}
	return []Call{
		read("get", func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Get(ctx, Now, driver.Get{ID: "id"})
			return err
		}),
		read("get many", func(ctx context.Context, b driver.ModelExpirySupport) error {
			return driver.GetMany(ctx, b, Now, driver.Gets("id"))[0].Err
		}),
		read("page", func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Page(ctx, Now, driver.Query{Limit: 10})
			return err
		}),
		read("page by label", func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.Page(ctx, Now, driver.Query{Limit: 10, Label: "principal", Value: "ann"})
			return err
		}),
		read("count", func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := driver.Count(ctx, b, Now, driver.Query{})
			return err
		}),
		read("count by label", func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := driver.Count(ctx, b, Now, driver.Query{Label: "principal", Value: "ann"})
			return err
		}),
		read("sweep of nothing", func(ctx context.Context, b driver.ModelExpirySupport) error {
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: Now.Add(-time.Hour), Limit: 10})
			return err
		}),
		read("ping", func(ctx context.Context, b driver.ModelExpirySupport) error { return driver.Ping(ctx, b, Now) }),
	}
}
