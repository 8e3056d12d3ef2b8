package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// seedPeople stores records of two principals in all buckets, half of them due in an
// hour.
func seedPeople(t testing.TB, b *Backend) (anns []string) {
	t.Helper()
	recs := make([]model.Record, 0, 200)
	for i := range cap(recs) {
		who, ttl := "ann", time.Hour
		if i%2 == 1 {
			ttl = 0
		}
		if i%4 > 1 {
			who = "bob"
		}
		r := drivertest.Record(fmt.Sprintf("id%03d", i), who, ttl)
		if recs = append(recs, r); who == "ann" {
			anns = append(anns, r.ID)
		}
	}
	drivertest.Seed(t, b, recs...)
	return anns
}

// lostKeys are what a server may evict of a store, by name.
func lostKeys(b *Backend) map[string][]string {
	k := b.bucket("id000")
	label := k.labels + "principal"
	all := []string{b.metaKey()}
	for n := range b.buckets {
		for _, key := range b.buckets[n].index {
			all = append(all, key.(string))
		}
	}
	return map[string][]string{
		"the index by expiry": {k.due}, "the index by id": {k.ids}, "the index of a label": {label},
		"two indexes": {k.due, k.ids}, "all of a bucket": {k.due, k.ids, label}, "all but one bucket": slices.DeleteFunc(slices.Clone(all), func(key string) bool {
			return strings.HasPrefix(key, strings.TrimSuffix(k.due, "x"))
		}),
	}
}

// TestLostIndex removes indexes with DEL, as an eviction does, and writes to the
// bucket afterwards. Every listing, count and sweep that needs such an index is an
// error that says what to do, and CreateStorage rebuilds all.
func TestLostIndex(t *testing.T) {
	lostIndex(t, func(t *testing.T) goredis.UniversalClient { t.Helper(); return clientOf(t, options(t)) })
}

func TestClusterLostIndex(t *testing.T) {
	lostIndex(t, func(t *testing.T) goredis.UniversalClient { t.Helper(); return clusterOf(t, clusterOptions(t)) })
}

func lostIndex(t *testing.T, connect func(*testing.T) goredis.UniversalClient) {
	t.Helper()
	client := connect(t)
	for name := range lostKeys(newOn(t, client, "n", nil)) {
		t.Run(name, func(t *testing.T) {
			b := createOn(t, client, drivertest.Name(), nil)
			ctx := t.Context()
			anns := seedPeople(t, b)
			keys := lostKeys(b)[name]
			for _, key := range keys {
				client.Del(ctx, key)
			}
			drivertest.Seed(t, b, drivertest.Record("id000", "ann", time.Hour)) // makes the keys again
			has := func(part string) bool {
				return slices.ContainsFunc(keys, func(key string) bool { return strings.HasSuffix(key, part) })
			}
			due, ids, label := has("}:x"), has("}:i"), has("principal")
			want := func(what string, lost bool, err error) {
				t.Helper()
				switch {
				case !lost && err != nil:
					t.Errorf("%s: %v", what, err)
				case lost && (!errors.Is(err, model.ErrUnavailable) || !strings.Contains(err.Error(), "call CreateStorage")):
					t.Errorf("%s: %v, want %v", what, err, model.ErrUnavailable)
				}
			}
			ofAnn := driver.Query{Label: "principal", Value: "ann", Limit: 1000}
			_, err := b.Page(ctx, drivertest.Now, driver.Query{Limit: 1000})
			want("page", ids, err)
			_, err = b.Page(ctx, drivertest.Now, ofAnn)
			want("page by label", label, err)
			_, err = b.Count(ctx, drivertest.Now, driver.Query{})
			want("count", due, err)
			_, err = b.Count(ctx, drivertest.Now, ofAnn)
			want("count by label", due || label, err)
			swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: drivertest.Now.Add(-time.Hour), Limit: 100})
			want("sweep", due, err)
			if swept.Removed != 0 {
				t.Errorf("swept %+v", swept)
			}
			store, err := expiry.NewStore[any](b, nil)
			if err != nil {
				t.Fatal(err)
			}
			if label {
				if _, err = store.DeleteByLabel(ctx, "principal", "ann"); !errors.Is(err, model.ErrUnavailable) {
					t.Errorf("removal by label: %v, want %v", err, model.ErrUnavailable)
				}
				anns = slices.DeleteFunc(anns, func(id string) bool {
					_, err := b.Get(ctx, drivertest.Now, driver.Get{ID: id})
					return errors.Is(err, model.ErrNotFound)
				})
			}
			if err := b.CreateStorage(ctx); err != nil {
				t.Fatal(err)
			}
			if checks, err := b.Check(ctx); err != nil || checks.Err() != nil {
				t.Fatalf("after the rebuild: %v, %v", err, checks.Err())
			}
			wantBearers(t, b, "ann", anns...)
			wantCount(t, b, "principal", "ann", len(anns))
			all := listed(t, b, driver.Query{Limit: 1000})
			wantCount(t, b, "", "", len(all))
			for _, id := range anns {
				if !slices.Contains(all, id) {
					t.Errorf("%s is not listed", id)
				}
			}
			if err := b.DeleteStorage(ctx); err != nil {
				t.Fatal(err)
			}
			wantNothing(t, b)
		})
	}
}

// wantNothing fails the test if a record's or an index's key is left.
func wantNothing(t testing.TB, b *Backend) {
	t.Helper()
	ctx := t.Context()
	err := b.eachNode(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		all := c.Scan(ctx, 0, b.name+":*", 1000).Iterator()
		for all.Next(ctx) {
			t.Errorf("the key %q is left", all.Val())
		}
		return all.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRandomEvictions removes half of all keys at random, as allkeys-random does,
// and writes on. A removal by label that succeeds has removed all, and one after
// CreateStorage succeeds.
func TestRandomEvictions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) // the same each time
	c := clientOf(t, options(t))
	ctx := t.Context()
	for round := range 8 {
		b := createOn(t, c, drivertest.Name(), nil)
		anns := seedPeople(t, b)
		for _, key := range keysOf(t, b) {
			if random.IntN(2) == 0 {
				c.Del(ctx, key)
			}
		}
		drivertest.Seed(t, b, drivertest.Record(anns[0], "ann", time.Hour), drivertest.Record("new", "ann", 0))
		anns = append(anns, "new")
		store, err := expiry.NewStore[any](b, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, created := range []bool{false, true} {
			if created {
				if err := b.CreateStorage(ctx); err != nil {
					t.Fatal(err)
				}
			}
			_, err := store.DeleteByLabel(ctx, "principal", "ann")
			if err != nil {
				if created || !errors.Is(err, model.ErrUnavailable) {
					t.Errorf("round %d: %v", round, err)
				}
				continue
			}
			for _, id := range anns {
				drivertest.Gone(t, b, id)
			}
		}
		if err := b.DeleteStorage(ctx); err != nil {
			t.Error(err)
		}
		wantNothing(t, b)
	}
}

// TestLostIndexAndDeleteStorage removes all indexes of a bucket: DeleteStorage
// finds its records nevertheless.
func TestLostIndexAndDeleteStorage(t *testing.T) {
	b := createOn(t, clientOf(t, options(t)), drivertest.Name(), nil)
	seedPeople(t, b)
	b.client.Del(t.Context(), lostKeys(b)["all of a bucket"]...)
	for range 2 {
		if err := b.DeleteStorage(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantNothing(t, b)
	}
}

// TestRebuildOfRemovedRecords loses the index by expiry of records that the
// server's TTL has removed: a sweep removes their other entries after the rebuild.
func TestRebuildOfRemovedRecords(t *testing.T) {
	b := open(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	b.client.Del(t.Context(), b.recordKey("id"), b.bucket("id").due)
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantSwept(t, b, 10, nil, driver.Swept{Removed: 1})
	wantNoKeys(t, b)
}

// TestAgainAfterPruning has a listing prune the entry of a record that the server
// removed: a write of the same id with the same labels adds the entry again.
func TestAgainAfterPruning(t *testing.T) {
	b := open(t, nil)
	for _, cond := range []driver.Condition{driver.IfAbsent, driver.IfAny} {
		for _, rec := range []model.Record{drivertest.Record("id", "ann", time.Hour), long("id")} {
			drivertest.Seed(t, b, rec)
			b.client.Del(t.Context(), b.recordKey("id"))
			wantBearers(t, b, "ann")
			rec.Revision = model.NewRevision()
			write(t, b, driver.Write{Record: rec, Cond: cond})
			wantBearers(t, b, "ann", "id")
		}
	}
}

// TestSweepOverALostIndex loses the index by expiry of one bucket: the others are
// swept, and the error is beside the counts.
func TestSweepOverALostIndex(t *testing.T) {
	b := open(t, nil)
	recs := make([]model.Record, 3*bucketCount)
	inBucket := 0
	for i := range recs {
		recs[i] = drivertest.Expired(fmt.Sprint("id", i), "ann")
		if b.bucket(recs[i].ID) == b.bucket("id0") {
			inBucket++
		}
	}
	drivertest.Seed(t, b, recs...)
	b.client.Del(t.Context(), b.bucket("id0").due)
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 1000})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if swept.Removed != len(recs)-inBucket {
		t.Errorf("swept %+v, want %d", swept, len(recs)-inBucket)
	}
}

// beforeScript calls do before the first command that runs the script.
type beforeScript struct {
	goredis.Hook
	script *script
	once   sync.Once
	do     func()
}

func (h *beforeScript) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (h *beforeScript) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }
func (h *beforeScript) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if isScript(cmds[0].Name()) && slices.Contains(cmds[0].Args(), h.script.digest) {
			h.once.Do(h.do)
		}
		return next(ctx, cmds)
	}
}

// TestRebuildThatLosesAgain evicts the index once more while it is rebuilt: it
// gets no mark.
func TestRebuildThatLosesAgain(t *testing.T) {
	b := open(t, nil)
	seedPeople(t, b)
	key := b.bucket("id000").labels + "principal"
	b.client.Del(t.Context(), key)
	own := clientOf(t, options(t))
	c := clientOf(t, options(t))
	c.AddHook(&beforeScript{script: markScript, do: func() { own.Del(context.WithoutCancel(t.Context()), key) }})
	err := newOn(t, c, b.name, nil).CreateStorage(t.Context())
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "again") {
		t.Error(err)
	}
	if _, err := b.Page(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann", Limit: 1000}); !errors.Is(err, model.ErrUnavailable) {
		t.Errorf("page: %v", err)
	}
}

// TestWithoutCreateStorage uses a store that was never created: by id everything
// works, and listings say what to do. CreateStorage then finds what is there.
func TestWithoutCreateStorage(t *testing.T) {
	b := newOn(t, clientOf(t, options(t)), drivertest.Name(), nil)
	anns := seedPeople(t, b)
	drivertest.Get(t, b, anns[0])
	_, err := b.Page(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann", Limit: 10})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantBearers(t, b, "ann", anns...)
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestCreateStorageAtTheSameTime has many nodes that create the same store, by a
// user who may not visit all keys.
func TestCreateStorageAtTheSameTime(t *testing.T) {
	admin := clientOf(t, options(t))
	name := drivertest.Name()
	c := limited(t, admin, user(t, admin), ACLRules(name))
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() { errs <- newOn(t, c, name, nil).CreateStorage(t.Context()) }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(drivertest.Causes(err))
		}
	}
	b := newOn(t, admin, name, nil)
	wantCount(t, b, "", "", 0)
	// A rebuild without the index by id says which permission it needs.
	b.client.Del(t.Context(), b.bucket("id").ids)
	err := newOn(t, c, name, nil).CreateStorage(t.Context())
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "+scan") {
		t.Error(err)
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestAnotherNodesLabel has a node that declares one more label: CreateStorage
// finds the records that bear it, and DeleteStorage of the first one removes its
// index too.
func TestAnotherNodesLabel(t *testing.T) {
	c := clientOf(t, options(t))
	b := createOn(t, c, drivertest.Name(), nil)
	other := newOn(t, c, b.name, &Options{Labels: []string{"principal", "tenant"}})
	r := drivertest.Record("id", "ann", time.Hour)
	r.Labels["tenant"] = "t"
	drivertest.Seed(t, other, r)
	b.client.Del(t.Context(), b.bucket("id").labels+"tenant")
	if err := other.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, other, driver.Query{Label: "tenant", Value: "t", Limit: 10}); !slices.Equal(got, []string{"id"}) {
		t.Errorf("listed %q", got)
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, b)
}
