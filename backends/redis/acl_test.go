package redis

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// limited returns a client of a user with these rules alone.
func limited(t testing.TB, admin goredis.Cmdable, user string, rules []string) *goredis.Client {
	t.Helper()
	args := []any{"acl", "setuser", user, "reset", "on", ">secret"}
	for _, rule := range rules {
		args = append(args, rule)
	}
	if err := admin.(*goredis.Client).Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Username, o.Password = user, "secret"
	return clientOf(t, o)
}

// user returns a name for a user, who is removed at the end of the test.
func user(t testing.TB, admin *goredis.Client) string {
	t.Helper()
	name := drivertest.Name()
	t.Cleanup(func() { _ = admin.Do(context.WithoutCancel(t.Context()), "acl", "deluser", name).Err() })
	return name
}

// useAll uses every method of the backend and every branch of its scripts. It
// returns the steps that failed.
func useAll(t testing.TB, admin *goredis.Client, b *Backend) map[string]error {
	t.Helper()
	ctx := t.Context()
	failed := map[string]error{}
	did := func(step string, err error) {
		if err != nil {
			failed[step] = err
		}
	}
	direct := newOn(t, admin, b.name, nil)
	if err := admin.ScriptFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	did("create storage", b.CreateStorage(ctx))
	base := drivertest.SeedCalls(t, direct)
	for _, c := range append(drivertest.Writes(base), drivertest.Reads()...) {
		drivertest.Seed(t, direct, base, drivertest.Expired("old", ""))
		for _, id := range []string{"new", "plain"} {
			_ = direct.Delete(ctx, drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent})
		}
		did(c.Name, c.Do(ctx, b))
	}
	drivertest.Seed(t, direct, base)
	_, err := b.Stat(ctx, drivertest.Now, driver.Get{ID: "id"})
	did("stat", err)
	writes := func(step string, r model.Record, cond driver.Condition, keep driver.Keep) {
		_, err := b.Write(ctx, drivertest.Now, driver.Write{Record: r, Cond: cond, Keep: keep})
		did(step, err)
	}
	for _, step := range []string{"create over a removed record", "prune", "sweep"} {
		drivertest.Seed(t, direct, drivertest.Record("c", "ann", time.Hour))
		admin.Del(ctx, b.recordKey("c"))
		switch step {
		case "prune":
			_, err := b.Page(ctx, drivertest.Now, driver.Query{Limit: 10, Label: "principal", Value: "ann", KeysOnly: true})
			did(step, err)
		case "sweep":
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 10, OnExpire: func(model.Record) error { return nil }})
			did(step, err)
		default:
			writes(step, drivertest.Record("c", "bob", time.Hour), driver.IfAbsent, driver.Keep{})
		}
	}
	staged := long("e")
	writes("create long", staged, driver.IfAbsent, driver.Keep{})
	writes("update long", staged, driver.IfPresent, keepBoth)
	writes("upsert long", staged, driver.IfAny, driver.Keep{})
	_, err = b.Count(ctx, drivertest.Now.Add(time.Hour), driver.Query{Label: "principal", Value: "ann"})
	did("count of expired", err)
	admin.Del(ctx, b.bucket("id").labels+"principal")
	did("rebuild", b.CreateStorage(ctx))
	did("delete storage", b.DeleteStorage(ctx))
	if err := direct.DeleteStorage(ctx); err != nil {
		t.Fatal(err)
	}
	return failed
}

// TestPermissions gives a user the rules of ACLRules, which doc.go has too, and
// uses everything. Without one of the commands something fails.
func TestPermissions(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(strings.ReplaceAll(string(doc), "//", "")), " ")
	if want := "~n:{* -@all " + strings.Join(permissions[:], " "); !strings.Contains(flat, want) {
		t.Errorf("doc.go lacks %s", want)
	}
	admin := clientOf(t, options(t))
	who := user(t, admin)
	for _, name := range []string{drivertest.Name(), drivertest.Name() + `*?[a-z]\^]:n`} {
		c := limited(t, admin, who, ACLRules(name))
		for step, err := range useAll(t, admin, newOn(t, c, name, nil)) {
			t.Errorf("%q: %s: %s", name, step, drivertest.Causes(err))
		}
	}
	name := drivertest.Name()
	for _, spare := range permissions {
		c := limited(t, admin, who, slices.DeleteFunc(ACLRules(name), func(rule string) bool { return rule == spare }))
		if len(useAll(t, admin, newOn(t, c, name, nil))) == 0 {
			t.Errorf("nothing needs %s", spare)
		}
	}
}

// TestPermissionsEndAtTheStore has a user of a store try the keys of stores with
// similar names, and commands that no backend needs.
func TestPermissionsEndAtTheStore(t *testing.T) {
	admin := clientOf(t, options(t))
	who := user(t, admin)
	ctx := t.Context()
	for _, glob := range []string{"", "*", "?", "[a-z]", `\`} {
		name := drivertest.Name() + glob
		c := limited(t, admin, who, ACLRules(name))
		plain := strings.TrimSuffix(name, glob)
		for _, other := range []string{name + ":admin", name + "x", plain + "x", plain + "ab", "x" + name, plain + "z:admin", name + ":", ":" + name} {
			theirs := openOn(t, admin, other, nil)
			base := drivertest.SeedCalls(t, theirs)
			ours := newOn(t, c, other, nil)
			for _, call := range append(drivertest.Writes(base), drivertest.Reads()...) {
				if err := call.Do(ctx, ours); call.Name != "ping" && !errors.Is(err, model.ErrUnavailable) {
					t.Errorf("%q on %q: %s: %v", name, other, call.Name, err)
				}
			}
			for _, key := range []string{other, plain, name, name + ":x", name + ":", theirs.recordKey("id"), theirs.metaKey()} {
				if err := c.Get(ctx, key).Err(); replyCode(err) != "NOPERM" {
					t.Errorf("%q reads the key %q: %v", name, key, err)
				}
			}
			drivertest.Holds(t, theirs, base.ID, base.Revision, base.ExpiresAt)
		}
		for _, command := range []string{
			"keys *", "scan 0", "randomkey", "dbsize", "flushdb", "flushall", "config get *", "client list", "monitor",
			"acl list", "acl whoami", "script flush", "shutdown nosave", "save", "replicaof no one", "subscribe c",
			"dump k", "object freq k", "sort k", "swapdb 0 1", "select 1",
		} {
			var args []any
			for _, word := range strings.Fields(command) {
				args = append(args, word)
			}
			if err := c.Do(ctx, args...).Err(); replyCode(err) != "NOPERM" {
				t.Errorf("%q may %s: %v", name, command, err)
			}
		}
	}
}

// TestStoresNeverOverlap parses a store's name back from its keys, whatever the
// name and the id: two stores have no key in common.
func TestStoresNeverOverlap(t *testing.T) {
	for _, name := range []string{"n", "n:", ":n", "n:10", "n*", "n:r:", "n[", "n:10:r", `n\`} {
		for i := range bucketCount {
			k := bucketAt(name, i, bucketCount, []string{"l"})
			for _, key := range []string{k.records + "id", k.records + ":{10}:r:id", k.due, k.ids, k.labels + "l", k.staged + "w", (&Backend{name: name}).metaKey()} {
				if got, _, _ := strings.Cut(key, ":{"); got != name {
					t.Errorf("the key %q of the store %q is that of the store %q", key, name, got)
				}
			}
		}
	}
}
