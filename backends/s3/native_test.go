package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// bearers returns the ids of the records that bear the principal, sorted.
func bearers(t testing.TB, b *Backend, principal string) []string {
	t.Helper()
	ids := idsOf(t, b, driver.Query{Label: "principal", Value: principal, Limit: 100, KeysOnly: true})
	slices.Sort(ids)
	return ids
}

// wantIDs fails the test unless the listing has exactly these ids.
func wantIDs(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
}

// idsOf returns the ids of a whole listing.
func idsOf(t testing.TB, b *Backend, q driver.Query) (ids []string) {
	t.Helper()
	for {
		p, err := b.Page(t.Context(), drivertest.Now, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			ids = append(ids, r.ID)
		}
		if q.After = p.Next; q.After == "" {
			return ids
		}
	}
}

// wantCount fails the test unless the store has n live records.
func wantCount(t testing.TB, b *Backend, now time.Time, q driver.Query, n int) {
	t.Helper()
	if got, err := b.Count(t.Context(), now, q); err != nil || got != n {
		t.Errorf("%d records counted by %q, %v; want %d", got, q.Label, err, n)
	}
}

// sweep removes at most 10 records that have expired ttl after Now, and ends the
// test unless it removes want.
func sweep(t testing.TB, b *Backend, ttl time.Duration, want int) {
	t.Helper()
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(ttl), Limit: 10})
	if err != nil || swept.Removed != want {
		t.Fatalf("a sweep after %v: %+v, %v; want %d removed", ttl, swept, err, want)
	}
}

func remove(t testing.TB, b *Backend, id string) {
	t.Helper()
	if err := b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil {
		t.Fatalf("delete %q: %v", id, err)
	}
}

// TestConditions has the server refuse conditional writes in its ways: 412 for
// another object, and 404 for a missing one.
func TestConditions(t *testing.T) {
	b := open(t)
	ctx := t.Context()
	base := drivertest.Put(t, b, drivertest.Record("id", "ann", time.Hour))
	write := func(cond driver.Condition, known model.Record) (model.Record, error) {
		return b.Write(ctx, drivertest.Now, driver.Write{Record: drivertest.Record("id", "ann", time.Hour), Cond: cond, Known: known})
	}
	touch := func(ttl time.Duration, known model.Record) (model.Record, error) {
		return b.Touch(ctx, drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: drivertest.Now.Add(ttl), Known: known})
	}
	if _, err := write(driver.IfAbsent, model.Record{}); model.Kind(err) != model.ErrExists {
		t.Errorf("412 to If-None-Match: %v, want %v", err, model.ErrExists)
	}
	winner, err := write(driver.IfPresent, model.Record{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := write(driver.IfMatch, base)
	if model.Kind(err) != model.ErrConflict || got.Revision != winner.Revision || got.Value == nil {
		t.Errorf("412 to If-Match: %v with %+v, want %v with the winner", err, got, model.ErrConflict)
	}
	// A touch changes the ETag and keeps the revision, so it does not conflict.
	moved, err := touch(2*time.Hour, model.Record{})
	if err != nil || moved.ServerVersion == winner.ServerVersion {
		t.Fatalf("touch: %v, the server version stayed: %v", err, moved.ServerVersion == winner.ServerVersion)
	}
	last, err := write(driver.IfMatch, winner)
	if err != nil {
		t.Errorf("after a touch: %v", err)
	}
	deleteObject(t, b, "r/i-id")
	_, err = write(driver.IfMatch, last)
	drivertest.WantKind(t, err, model.ErrNotFound)
	_, err = touch(time.Hour, last)
	drivertest.WantKind(t, err, model.ErrNotFound)
	drivertest.WantKind(t, b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: last}), model.ErrNotFound)
}

// TestThousands lists, counts, sweeps and deletes more than one listing has.
func TestThousands(t *testing.T) {
	const n = 2500
	b := open(t)
	fill(t, b, n)
	ids := idsOf(t, b, driver.Query{Limit: 10_000, KeysOnly: true})
	slices.Sort(ids)
	if len(ids) != n || len(slices.Compact(ids)) != n {
		t.Errorf("%d listed, want %d", len(ids), n)
	}
	wantCount(t, b, drivertest.Now, driver.Query{}, n)
	total := 0
	for more := true; more; {
		swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		total, more = total+swept.Removed, swept.More
	}
	if total != n/10 {
		t.Errorf("%d swept, want %d", total, n/10)
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := objectsOf(t, b); len(left) > 0 {
		t.Errorf("%d objects are left", len(left))
	}
}

// TestForeignObjects puts other objects below the prefix. The backend ignores
// them and does not remove them.
func TestForeignObjects(t *testing.T) {
	b := open(t)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	folder := labelFolder("principal", "ann")
	foreign := []string{
		"r/", "x/", "l/", folder, "x/00000001/", "r/readme.txt", "r/i-a/b", "r/i-a.txt", "r/h-0", "x/readme", "x/00000001/0000001.i-a.txt",
		folder + "readme", folder + "i-id.zzz", folder + "i-id.0", "l/principal/short/i-a.0123456789abcdef", "notes.txt", "other/r/i-id", "p/x",
	}
	for _, key := range foreign {
		putObject(t, b, key, nil)
	}
	before := objectsOf(t, b)
	wantIDs(t, idsOf(t, b, driver.Query{Limit: 1}), "id")
	wantIDs(t, bearers(t, b, "ann"), "id")
	wantCount(t, b, drivertest.Now, driver.Query{}, 1)
	wantCount(t, b, drivertest.Now, driver.Query{Label: "principal", Value: "ann"}, 1)
	if swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now, Limit: 10}); err != nil || swept != (driver.Swept{}) {
		t.Errorf("swept %+v, %v; want nothing", swept, err)
	}
	if after := objectsOf(t, b); len(after) != len(before) {
		t.Errorf("%d objects became %d", len(before), len(after))
	}
	drivertest.WantKind(t, b.DeleteStorage(t.Context()), model.ErrCorrupt)
	left := slices.Sorted(maps.Keys(objectsOf(t, b)))
	slices.Sort(foreign)
	if !slices.Equal(left, foreign) {
		t.Errorf("after DeleteStorage there are %q, want %q", left, foreign)
	}
	for _, key := range left {
		deleteObject(t, b, key)
	}
}

// TestRemovals checks what is left of a removed record in both modes.
func TestRemovals(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			b, p := m.open(t)
			drivertest.Seed(t, b, drivertest.Record("deleted", "ann", 0), drivertest.Record("swept", "ann", time.Minute), drivertest.Record("stays", "ann", 0))
			remove(t, b, "deleted")
			sweep(t, b, time.Minute, 1)
			all := objectsOf(t, b)
			for _, key := range []string{"r/i-deleted", "r/i-swept"} {
				o, exists := all[key]
				if exists != (m.name == "tombstones") || exists && (*o.Size != tombstoneSize || *o.ETag != tombstoneETag) {
					t.Errorf("%s exists: %v, %+v", key, exists, o)
				}
			}
			if keys := keysIn(t, b, labelsDir); len(keys) != 1 {
				t.Errorf("the label entries are %q, want one", keys)
			}
			// A listing does not read tombstones.
			p.Requests()
			wantIDs(t, idsOf(t, b, driver.Query{Limit: 10}), "stays")
			if ops := p.Requests(); count(ops, "GET r") != 1 {
				t.Errorf("sent %v, want one read of a record", ops)
			}
			wantCount(t, b, drivertest.Now, driver.Query{}, 1)
			// A new process reads the marker at its first removal.
			again := newBackend(t, b.client, b.bucket, b.prefix, nil)
			p.Requests()
			remove(t, again, "stays")
			if got, want := wire(p.Requests()), "GET r GET store.json "+m.removal+" DELETES"; got != want {
				t.Errorf("sent %s, want %s", got, want)
			}
		})
	}
}

// TestMarkerOfAnotherServer has a store whose marker says that another server
// obeys conditions on deletes. This server does not, and has another name.
func TestMarkerOfAnotherServer(t *testing.T) {
	b := open(t)
	putObject(t, b, markerName, []byte(`{"format":1,"server":"AmazonS3","conditionalDeletes":true}`))
	moved := newBackend(t, b.client, b.bucket, b.prefix, nil)
	if moved.deletes(t.Context(), nil) {
		t.Error("the backend trusts the marker of another server")
	}
	if err := moved.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := b.readMarker(t.Context(), nil)
	if err != nil || m.ConditionalDeletes || m.Server != m.here || m.Server == "" {
		t.Errorf("CreateStorage wrote %+v, %v", m, err)
	}
	for _, bad := range []string{"", "{}", "text", `{"format":2}`} {
		putObject(t, b, markerName, []byte(bad))
		drivertest.WantKind(t, moved.CreateStorage(t.Context()), model.ErrCorrupt)
		drivertest.WantKind(t, moved.DeleteStorage(t.Context()), model.ErrCorrupt)
		if o, err := b.get(t.Context(), markerName, 0, nil); err != nil || o == nil || string(o.body) != bad {
			t.Errorf("the object %q became %+v, %v", bad, o, err)
		}
	}
	deleteObject(t, b, markerName)
}

// TestServersWithoutConditions refuses servers that do not have conditions.
func TestServersWithoutConditions(t *testing.T) {
	for name, a := range map[string]answer{"unknown": {status: 501, code: codeNotImplemented}} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t)
			p.answers(answerTo("PUT p", a))
			b := newBackend(t, clientAt(t, p.URL()), bucket(t), drivertest.Name(), nil)
			drivertest.WantKind(t, b.CreateStorage(t.Context()), model.ErrUnsupported)
			if left := objectsOf(t, b); len(left) > 0 {
				t.Errorf("%d objects are left", len(left))
			}
		})
	}
}

// TestCreatesRaceTheSweep creates a record over each of many expired records
// while two sweeps remove them. No new record is lost.
func TestCreatesRaceTheSweep(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			n := map[string]int{"tombstones": 1000, "deletes": 500}[m.name]
			b, _ := m.open(t)
			load(t, b, n, func(i int) model.Record { return drivertest.Record(fmt.Sprint("id", i), "", time.Minute) })
			now := drivertest.Now.Add(time.Minute)
			var removed, created atomic.Int64
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for created.Load() < int64(n) {
						swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: now, Limit: 50})
						if removed.Add(int64(swept.Removed)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			parallel(n, func(i int) {
				defer created.Add(1)
				r := drivertest.Record(fmt.Sprint("id", i), "ann", 2*time.Hour)
				if _, err := b.Write(t.Context(), now, driver.Write{Record: r, Cond: driver.IfAbsent}); err != nil {
					t.Errorf("create %d: %v", i, err)
				}
			})
			wg.Wait()
			swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: now, Limit: n})
			if err != nil || swept.Removed != 0 {
				t.Errorf("after all creates: %+v, %v; want nothing removed", swept, err)
			}
			wantCount(t, b, now, driver.Query{}, n)
			t.Logf("%d were swept before their create, %d were replaced", removed.Load(), int64(n)-removed.Load())
			if removed.Load() > int64(n) {
				t.Errorf("%d removals counted, want at most %d", removed.Load(), n)
			}
		})
	}
}

// TestCrash stops a labelled write before each of its steps. Readers see the
// record as it was, and after the grace the sweep removes what is left. The last
// case stops it after the last step: only the answer is lost.
func TestCrash(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	old := drivertest.Record("id", "ann", time.Hour)
	for name, w := range map[string]driver.Write{
		"create": {Record: drivertest.Record("id", "ann", 2*time.Hour), Cond: driver.IfAbsent},
		"update": {Record: drivertest.Record("id", "bob", 2*time.Hour), Cond: driver.IfPresent},
		"upsert": {Record: drivertest.Record("id", "bob", 2*time.Hour), Cond: driver.IfAny},
		"never":  {Record: drivertest.Record("id", "bob", 0), Cond: driver.IfAbsent},
	} {
		exists := name == "update" || name == "upsert"
		for _, step := range []string{"PUT l", "PUT x", "PUT r", ""} {
			t.Run(name+" "+step, func(t *testing.T) {
				if exists {
					drivertest.Seed(t, b, old)
				}
				crashed := step == ""
				// After the crash, no request of the process arrives.
				p.answers(func(op string) *answer {
					if crashed = crashed || op == step; crashed && step != "" {
						return &answer{}
					}
					return nil
				})
				if step == "" {
					p.Set(faultnet.Plan{Fault: faultnet.LoseAnswer, Match: isWrite})
				}
				if _, err := b.Write(ctx, drivertest.Now, w); err == nil {
					t.Fatal("the write returned no error")
				}
				p.answers(nil)
				got, err := b.Get(ctx, drivertest.Now, driver.Get{ID: "id"})
				switch {
				case step == "" && (err != nil || got.Revision != w.Record.Revision):
					t.Fatalf("the write was not applied: %v", err)
				case step != "" && exists && (err != nil || got.Revision != old.Revision):
					t.Fatalf("the record has changed: %v", err)
				case step != "" && !exists && model.Kind(err) != model.ErrNotFound:
					t.Fatalf("a record exists: %v", err)
				}
				for _, principal := range []string{"ann", "bob"} {
					want := err == nil && got.Labels["principal"] == principal
					if ids := bearers(t, b, principal); (len(ids) == 1) != want {
						t.Errorf("%q bear %s, want a record: %v", ids, principal, want)
					}
				}
				// A sweep within the grace keeps the entries.
				entries := len(keysIn(t, b, labelsDir, dueDir))
				sweep(t, b, 0, 0)
				if n := len(keysIn(t, b, labelsDir, dueDir)); n != entries {
					t.Errorf("%d entries became %d", entries, n)
				}
				if err == nil {
					remove(t, b, "id")
				}
				p.age(2 * time.Hour)
				defer p.age(0)
				sweep(t, b, 3*time.Hour, 0)
				if left := keysIn(t, b, labelsDir, dueDir); len(left) > 0 && name != "upsert" && step != "PUT x" {
					t.Errorf("strays are left: %q", left)
				}
				// Listings remove the strays of an upsert, and a label entry
				// without an entry by expiry.
				for _, principal := range []string{"ann", "bob"} {
					bearers(t, b, principal)
				}
				if left := keysIn(t, b, labelsDir, dueDir); len(left) > 0 {
					t.Errorf("strays are left: %q", left)
				}
				deleteObject(t, b, "r/i-id")
			})
		}
	}
}

// TestIndexByExpiry follows a record's entry: an extension leaves it, a sweep
// moves it, and an earlier expiry creates another one.
func TestIndexByExpiry(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Minute))
	is := func(step string, want ...time.Duration) {
		t.Helper()
		var got []time.Duration
		for _, key := range keysIn(t, b, dueDir) {
			due, _, _, ok := parseDue(strings.TrimPrefix(key, dueDir+"/"))
			if !ok {
				t.Fatalf("key %q", key)
			}
			got = append(got, due.Sub(drivertest.Now))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s: entries at %v, want %v", step, got, want)
		}
	}
	touch := func(mode driver.TouchMode, ttl time.Duration) {
		t.Helper()
		if _, err := b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: "id", Mode: mode, ExpiresAt: drivertest.Now.Add(ttl)}); err != nil {
			t.Fatal(err)
		}
	}
	is("create", time.Minute)
	touch(driver.TouchExtend, time.Hour)
	is("extend", time.Minute)
	sweep(t, b, time.Minute, 0)
	is("sweep", time.Hour)
	touch(driver.TouchSet, 2*time.Minute)
	is("an earlier expiry", 2*time.Minute, time.Hour)
	touch(driver.TouchClear, 0)
	touch(driver.TouchSet, 3*time.Minute)
	is("cleared and set", 2*time.Minute, 3*time.Minute, time.Hour)
	sweep(t, b, 2*time.Minute, 0)
	is("a sweep that finds a young stray", 2*time.Minute, 3*time.Minute, time.Hour)
	p.age(2 * time.Hour)
	sweep(t, b, 2*time.Minute, 0)
	is("a sweep that finds an old stray", 3*time.Minute, time.Hour)
	wantIDs(t, bearers(t, b, "ann"), "id")
	sweep(t, b, 3*time.Minute, 1)
	sweep(t, b, time.Hour, 0)
	is("the last sweep")
	if left := keysIn(t, b, labelsDir); len(left) > 0 {
		t.Errorf("label entries are left: %q", left)
	}
}

// TestListingsRemoveStrays has label entries without their record. Listings and
// counts remove the old ones.
func TestListingsRemoveStrays(t *testing.T) {
	b, p := proxied(t, nil)
	for _, c := range drivertest.Pick(t, drivertest.Reads(), "page by label", "count by label") {
		for range 2 { // the second record makes the first entry a stray
			drivertest.Seed(t, b, drivertest.Record(c.Name, "ann", 0))
		}
		putObject(t, b, labelKey(&label{name: "principal", value: "ann", stamp: newStamp()}, "i-gone"), nil)
		for age, want := range []int{3, 1} {
			p.age(time.Duration(age) * 2 * time.Hour)
			if err := c.Do(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if n := len(keysIn(t, b, labelsDir)); n != want {
				t.Errorf("%s, after %d hours: %d entries, want %d", c.Name, 2*age, n, want)
			}
		}
		p.age(0)
		wantIDs(t, bearers(t, b, "ann"), c.Name)
		remove(t, b, c.Name)
	}
}

// TestChecksums reads the headers of requests. They have no checksums that other
// servers do not accept, unless the client's settings are kept.
func TestChecksums(t *testing.T) {
	p := startProxy(t)
	own := openOn(t, clientAt(t, p.URL(), func(o *awss3.Options) { // the settings of NewFromConfig
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
	}), nil)
	theirs := newBackend(t, own.client, own.bucket, own.prefix, &Options{ClientChecksums: true})
	header := func(do func() error) http.Header {
		t.Helper()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.header
	}
	checksums := regexp.MustCompile(`(?i)^x-amz-(checksum-|trailer|sdk-checksum)`)
	has := func(h http.Header) bool {
		for name := range h {
			if checksums.MatchString(name) {
				return true
			}
		}
		return strings.Contains(h.Get("X-Amz-Content-Sha256"), "TRAILER") || strings.Contains(h.Get("Content-Encoding"), "aws-chunked")
	}
	for b, want := range map[*Backend]bool{own: false, theirs: true} {
		put := header(func() error {
			_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfAny})
			return err
		})
		get := header(func() error { _, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"}); return err })
		if has(put) != want || has(get) != want {
			t.Errorf("checksums: %v on a write, %v on a read, want %v", has(put), has(get), want)
		}
		if put.Get("X-Amz-Content-Sha256") == "" {
			t.Error("the body is not signed")
		}
	}
	many := header(func() error { return own.deleteMany(t.Context(), []string{"nothing"}) })
	if many.Get("Content-Md5") == "" {
		t.Errorf("a delete of many objects has no MD5: %v", many)
	}
}

// TestStorage creates, keeps and deletes stores, and creates a bucket.
func TestStorage(t *testing.T) {
	ctx := t.Context()
	b := newBackend(t, client(t), drivertest.Name(), "app/carts", nil)
	for _, c := range append(writes(drivertest.Record("id", "ann", 0)), drivertest.Reads()...) {
		err := c.Do(ctx, b)
		drivertest.WantKind(t, err, model.ErrUnavailable)
		if !strings.Contains(err.Error(), b.bucket) || !strings.Contains(err.Error(), "CreateStorage") {
			t.Errorf("%s without a bucket: %v", c.Name, err)
		}
	}
	if err := b.DeleteStorage(ctx); err != nil {
		t.Errorf("without a bucket: %v", err)
	}
	errs := make([]error, 4)
	parallel(len(errs), func(i int) { errs[i] = b.CreateStorage(ctx) })
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	neighbour := openAt(t, b.client, b.bucket, "app/carts2", nil)
	outer := openAt(t, b.client, b.bucket, "app", nil)
	for _, s := range []*Backend{b, neighbour, outer} {
		drivertest.Seed(t, s, drivertest.Record("id", "ann", time.Hour))
	}
	if err := b.CreateStorage(ctx); err != nil {
		t.Errorf("CreateStorage again: %v", err)
	}
	wantIDs(t, bearers(t, b, "ann"), "id")
	for range 2 {
		if err := b.DeleteStorage(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if left := objectsOf(t, b); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	for _, s := range []*Backend{neighbour, outer} {
		wantIDs(t, bearers(t, s, "ann"), "id")
	}
	if err := b.CreateStorage(ctx); err != nil {
		t.Errorf("CreateStorage after DeleteStorage: %v", err)
	}
	wantIDs(t, idsOf(t, b, driver.Query{Limit: 10}))
	if err := b.DeleteStorage(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestVersionedBucket checks that a bucket that keeps versions is refused unless
// the options accept it.
func TestVersionedBucket(t *testing.T) {
	ctx := t.Context()
	c := client(t)
	name := newBucket(t, drivertest.Name())
	_, err := c.PutBucketVersioning(ctx, &awss3.PutBucketVersioningInput{
		Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := newBackend(t, c, name, "carts", nil).CreateStorage(ctx); model.Kind(err) != model.ErrUnsupported || !strings.Contains(err.Error(), "AllowVersioned") {
		t.Errorf("without the option: %v", err)
	}
	b := openAt(t, c, name, "carts", &Options{AllowVersioned: true})
	for _, principal := range []string{"ann", "bob"} {
		drivertest.Seed(t, b, drivertest.Record("id", principal, time.Hour))
	}
	remove(t, b, "id")
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	wantIDs(t, bearers(t, b, "ann"), "id")
	// Without the permission to ask, the answers to writes tell.
	p := startProxy(t)
	p.answers(answerTo("GET bucket", answer{status: 403, code: codeDenied}))
	blind := newBackend(t, clientAt(t, p.URL()), name, "blind", nil)
	if err := blind.CreateStorage(ctx); model.Kind(err) != model.ErrUnsupported || !strings.Contains(err.Error(), "x-amz-version-id") {
		t.Errorf("without the permission to ask: %v", err)
	}
	blind = newBackend(t, clientAt(t, p.URL()), name, "blind", &Options{AllowVersioned: true})
	if err := errors.Join(blind.CreateStorage(ctx), blind.DeleteStorage(ctx)); err != nil {
		t.Error(err)
	}
}

// TestLifecycleRule gives the rule of StoragePlan to the server.
func TestLifecycleRule(t *testing.T) {
	b := openAt(t, client(t), newBucket(t, drivertest.Name()), "app/carts", nil)
	want := rule(t, b)
	_, err := b.client.PutBucketLifecycleConfiguration(t.Context(), &awss3.PutBucketLifecycleConfigurationInput{
		Bucket: &b.bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{want}},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.client.GetBucketLifecycleConfiguration(t.Context(), &awss3.GetBucketLifecycleConfigurationInput{Bucket: &b.bucket})
	if err != nil || len(out.Rules) != 1 || aws.ToInt64(out.Rules[0].Filter.And.ObjectSizeLessThan) != minHead || aws.ToString(out.Rules[0].Filter.And.Prefix) != "app/carts/r/" {
		t.Errorf("the server has %+v, %v", out, err)
	}
}

// TestWrongCredentials has an unknown key, a wrong secret, and a client that may
// only read.
func TestWrongCredentials(t *testing.T) {
	name := newBucket(t, drivertest.Name())
	ctx := t.Context()
	b := openAt(t, client(t), name, "carts", nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	endpoint, key, secret := serverAt(t)
	for what, c := range map[string]*awss3.Client{
		"an unknown key": plainClient(t, endpoint, "nobody", "hunter2hunter2"), "a wrong secret": plainClient(t, endpoint, key, secret+"hunter2"),
	} {
		stranger := newBackend(t, c, name, "carts", nil)
		errs := map[string]error{"CreateStorage": stranger.CreateStorage(ctx), "DeleteStorage": stranger.DeleteStorage(ctx)}
		for _, c := range append(writes(drivertest.Record("id", "ann", 0)), drivertest.Reads()...) {
			errs[c.Name] = c.Do(ctx, stranger)
		}
		for op, err := range errs {
			if model.Kind(err) != model.ErrUnavailable || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "nobody") {
				t.Errorf("%s, %s: %v", what, op, err)
			}
		}
	}
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:GetObject","s3:ListBucket"],`+
		`"Resource":["arn:aws:s3:::%[1]s","arn:aws:s3:::%[1]s/*"]}]}`, name)
	if _, err := client(t).PutBucketPolicy(ctx, &awss3.PutBucketPolicyInput{Bucket: &name, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	reader := newBackend(t, plainClient(t, endpoint, "", "", func(o *awss3.Options) { o.Credentials = aws.AnonymousCredentials{} }), name, "carts", nil)
	known := drivertest.Get(t, reader, "id")
	wantIDs(t, bearers(t, reader, "ann"), "id")
	wantIDs(t, idsOf(t, reader, driver.Query{Limit: 9}), "id")
	for _, c := range writes(known) {
		if err := c.Do(ctx, reader); model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), "permission") {
			t.Errorf("a reader, %s: %v", c.Name, err)
		}
	}
	if got := drivertest.Get(t, b, "id"); got.ServerVersion != known.ServerVersion {
		t.Error("the record has changed")
	}
}

// TestTruncated has truncated objects and truncated answers.
func TestTruncated(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	r := drivertest.Record("id", "ann", time.Hour)
	r.Value = bytes.Repeat([]byte("v"), 100_000)
	drivertest.Seed(t, b, r)
	p.Set(faultnet.Plan{Fault: faultnet.CutAnswer, Match: func(op string) bool { return op == "GET r" }})
	_, err := b.Get(ctx, drivertest.Now, driver.Get{ID: "id"})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	whole := append(headOf(&r).encode(), r.Value...)
	for _, n := range []int{0, 1, 63, 64, 127, 128, 1000, len(whole) - 1} {
		putObject(t, b, "r/i-id", whole[:n])
		_, get := b.Get(ctx, drivertest.Now, driver.Get{ID: "id"})
		_, update := b.Write(ctx, drivertest.Now, driver.Write{Record: r, Cond: driver.IfPresent})
		for _, err := range []error{get, update, b.Delete(ctx, drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfPresent})} {
			drivertest.WantKind(t, err, model.ErrCorrupt)
		}
	}
	r.Value = make([]byte, b.gate.MaxValue()+1)
	p.Requests()
	_, err = b.Write(ctx, drivertest.Now, driver.Write{Record: r, Cond: driver.IfAny})
	drivertest.WantKind(t, err, model.ErrTooLarge)
	if ops := p.Requests(); len(ops) > 0 {
		t.Errorf("sent %v, want nothing", ops)
	}
}

// TestLongHead has more labels than the first read of a head takes.
func TestLongHead(t *testing.T) {
	var names []string
	r := drivertest.Record(strings.Repeat("é", 256), "", time.Hour)
	r.Labels = map[string]string{}
	for i := range maxLabels {
		names = append(names, fmt.Sprintf("label-%02d-%s", i, strings.Repeat("x", 50)))
		r.Labels[names[i]] = strings.Repeat("v", model.MaxLabel)
	}
	b, p := proxied(t, &Options{Labels: names})
	drivertest.Seed(t, b, r)
	p.Requests()
	q := driver.Query{Label: names[7], Value: r.Labels[names[7]], Limit: 1, KeysOnly: true}
	page, err := b.Page(t.Context(), drivertest.Now, q)
	if err != nil || len(page.Records) != 1 || !maps.Equal(page.Records[0].Labels, r.Labels) || page.Records[0].ID != r.ID {
		t.Fatalf("%+v, %v", page, err)
	}
	if got := wire(p.Requests()); got != "LIST l GET r GET r" {
		t.Errorf("sent %s", got)
	}
	sweep(t, b, time.Hour, 1)
	if left := keysIn(t, b, labelsDir); len(left) > 0 {
		t.Errorf("label entries are left: %q", left)
	}
}

// TestPermissions compares the policy in doc.go with the requests in the code.
func TestPermissions(t *testing.T) {
	calls := map[string]string{
		"GetObject": "GetObject", "PutObject": "PutObject", "DeleteObject": "DeleteObject", "DeleteObjects": "DeleteObject",
		"ListObjectsV2": "ListBucket", "CreateBucket": "CreateBucket", "GetBucketVersioning": "GetBucketVersioning",
		"GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
	}
	find := func(pattern string, files ...string) map[string]bool {
		found := map[string]bool{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
				found[string(m[1])] = true
			}
		}
		return found
	}
	used := map[string]bool{}
	for op := range find(`b\.client\.([A-Z][A-Za-z0-9]+)\(`, "backend.go", "storage.go", "place.go", "layout.go", "crud.go", "expiry.go", "list.go", "bulk.go",
		"send.go", "fetch.go", "count.go", "check.go", "lifecycle.go") {
		if calls[op] != "" {
			used[calls[op]] = true
		} else if op != "PutBucketLifecycleConfiguration" { // of Options.TombstoneRule alone
			t.Errorf("the test does not know the permission for %s", op)
		}
	}
	if granted := find(`"s3:([A-Za-z]+)"`, "doc.go"); !maps.Equal(used, granted) {
		t.Errorf("the code uses %v, the policy grants %v", used, granted)
	}
}

// TestCanceledListing ends the context during a listing.
func TestCanceledListing(t *testing.T) {
	b, p := proxied(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p.answers(func(op string) *answer {
		if op != "GET r" {
			return nil
		}
		cancel()
		return &answer{}
	})
	_, err := b.Page(ctx, drivertest.Now, driver.Query{Limit: 10})
	if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
		t.Errorf("got %v, want %v alone", err, context.Canceled)
	}
}
