package redis

import (
	"context"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestServerRefuses makes a real server refuse writes, which it does inside the
// scripts and in its own words: they are ErrUnavailable, and nothing changes.
func TestServerRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		refuse, allow []any
		deletes       bool // it refuses deletes too
	}{
		"out of memory": {[]any{"config", "set", "maxmemory", "1"}, []any{"config", "set", "maxmemory", "0"}, false},
		"too few replicas": { // more than any topology has
			[]any{"config", "set", "min-replicas-to-write", "9"}, []any{"config", "set", "min-replicas-to-write", "0"}, true,
		},
		"a replica": {[]any{"replicaof", "127.0.0.1", "1"}, []any{"replicaof", "no", "one"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			admin := clientOf(t, options(t))
			b := openOn(t, clientOf(t, options(t)), drivertest.Name(), nil)
			base := drivertest.SeedCalls(t, b)
			writes := append(drivertest.Writes(base), drivertest.Call{Name: "create long", Do: func(ctx context.Context, _ driver.ModelExpirySupport) error {
				_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: long("long"), Cond: driver.IfAbsent})
				return err
			}}, drivertest.Call{Name: "write of two", Do: func(ctx context.Context, _ driver.ModelExpirySupport) error {
				out := b.WriteMany(ctx, drivertest.Now, []driver.BatchOp{
					{Write: &driver.Write{Record: drivertest.Record("many", "ann", time.Hour), Cond: driver.IfAny}},
					{Write: &driver.Write{Record: long("many long"), Cond: driver.IfAny}},
				})
				drivertest.WantKind(t, out[1].Err, model.ErrUnavailable)
				return out[0].Err
			}})
			allow := func() {
				if err := admin.Do(context.WithoutCancel(t.Context()), test.allow...).Err(); err != nil {
					t.Error(err)
				}
			}
			t.Cleanup(allow)
			if err := admin.Do(t.Context(), test.refuse...).Err(); err != nil {
				t.Fatal(err)
			}
			for _, c := range writes {
				if deletes := c.Name == "delete" || c.Name == "delete known"; !deletes || test.deletes {
					if err := c.Do(t.Context(), b); model.Kind(err) != model.ErrUnavailable {
						t.Errorf("%s: %s, want %v", c.Name, drivertest.Causes(err), model.ErrUnavailable)
					}
				}
			}
			drivertest.Holds(t, b, base.ID, base.Revision, base.ExpiresAt)
			allow()
			for _, id := range []string{"new", "plain", "old", "long", "many", "many long"} {
				drivertest.Gone(t, b, id)
			}
			wantBearers(t, b, "ann", "id")
			wantBearers(t, b, "bob")
		})
	}
}
