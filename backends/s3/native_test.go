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

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// bearers are the ids that ann bears, at that time.
func bearers(t testing.TB, b *Backend) []string {
	t.Helper()
	ids := idsOf(t, b, driver.Query{Label: "principal", Value: "ann", Limit: 100, KeysOnly: true})
	slices.Sort(ids)
	return ids
}

// idsOf is a whole listing.
func idsOf(t testing.TB, b *Backend, q driver.Query) (ids []string) {
	t.Helper()
	for {
		p, err := b.Page(t.Context(), testNow, q)
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

// keysIn are the store's keys in a folder.
func keysIn(t testing.TB, b *Backend, dir string) []string {
	t.Helper()
	var keys []string
	for key := range objectsOf(t, b) {
		if strings.HasPrefix(key, dir+"/") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// TestConditions has the server's three ways to refuse a conditional write: 412
// for another version, 404 for one that is gone, and both are told apart from
// each other and from a record that is there.
func TestConditions(t *testing.T) {
	b := open(t)
	ctx := t.Context()
	seed(t, b, record("id", "ann", time.Hour))
	prev, err := b.Get(ctx, testNow, driver.Get{ID: "id"})
	if err != nil {
		t.Fatal(err)
	}
	next := driver.Write{Record: record("id", "ann", time.Hour), Cond: driver.IfMatch, Known: prev}
	if _, err := b.Write(ctx, testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfAbsent}); model.Kind(err) != model.ErrExists {
		t.Errorf("412 to If-None-Match: %v", err)
	}
	winner, err := b.Write(ctx, testNow, driver.Write{Record: record("id", "ann", time.Hour), Cond: driver.IfPresent})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Write(ctx, testNow, next)
	if model.Kind(err) != model.ErrConflict || got.Revision != winner.Revision || got.Value == nil {
		t.Errorf("412 to If-Match: %v with %+v", err, got)
	}
	// A touch changes the ETag, and the revision stays: no conflict.
	moved, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: testNow.Add(2 * time.Hour)})
	if err != nil || moved.ServerVersion == winner.ServerVersion {
		t.Fatalf("%v, the hint is the same: %v", err, moved.ServerVersion == winner.ServerVersion)
	}
	next.Known = winner
	last, err := b.Write(ctx, testNow, next)
	if err != nil {
		t.Errorf("after a touch: %v", err)
	}
	if _, err := b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.bucket, Key: aws.String(b.full(recordKey("i-id")))}); err != nil {
		t.Fatal(err)
	}
	next.Known = last
	_, err = b.Write(ctx, testNow, next)
	only(t, err, model.ErrNotFound)
	_, err = b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: testNow.Add(time.Hour), Known: last})
	only(t, err, model.ErrNotFound)
	only(t, b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: last}), model.ErrNotFound)
}

// TestThousands lists, counts and deletes more than the server lists at once.
func TestThousands(t *testing.T) {
	const n = 2500
	b := open(t)
	fill(t, b, n)
	ids := idsOf(t, b, driver.Query{Limit: 10_000, KeysOnly: true})
	slices.Sort(ids)
	if len(ids) != n || len(slices.Compact(ids)) != n {
		t.Errorf("%d listed", len(ids))
	}
	if got, err := b.Count(t.Context(), testNow, driver.Query{Label: ""}); err != nil || got != n {
		t.Errorf("%d counted, %v", got, err)
	}
	total := 0
	for {
		swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 100})
		if total += swept.Removed; err != nil || !swept.More {
			if err != nil || total != n/10 {
				t.Errorf("%d swept, %v", total, err)
			}
			break
		}
	}
	if err := b.DeleteStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := objectsOf(t, b); len(left) > 0 {
		t.Errorf("%d objects are left", len(left))
	}
}

// TestForeignObjects has what others put below the prefix: nothing sees it, and
// nothing removes it.
func TestForeignObjects(t *testing.T) {
	b := open(t)
	ctx := t.Context()
	r := record("id", "ann", time.Hour)
	seed(t, b, r)
	folder := labelFolder("principal", "ann")
	foreign := []string{
		"r/", "x/", "l/", folder, "x/00000001/", "r/readme.txt", "r/i-a/b", "r/i-a.txt", "r/h-0", "x/readme", "x/00000001/0000001.i-a.txt",
		folder + "readme", folder + "i-id.zzz", folder + "i-id.0", "l/principal/short/i-a.0123456789abcdef", "notes.txt", "other/r/i-id", "p/x",
	}
	for _, key := range foreign {
		putObject(t, b, key, nil)
	}
	before := objectsOf(t, b)
	if ids := idsOf(t, b, driver.Query{Limit: 1}); !slices.Equal(ids, []string{"id"}) {
		t.Errorf("listed: %q", ids)
	}
	if ids := bearers(t, b); !slices.Equal(ids, []string{"id"}) {
		t.Errorf("listed by label: %q", ids)
	}
	for label, value := range map[string]string{"": "", "principal": "ann"} {
		if n, err := b.Count(ctx, testNow, driver.Query{Label: label, Value: value}); err != nil || n != 1 {
			t.Errorf("%d counted by %q, %v", n, label, err)
		}
	}
	if swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 10}); err != nil || swept != (driver.Swept{}) {
		t.Errorf("%+v, %v", swept, err)
	}
	if after := objectsOf(t, b); len(after) != len(before) {
		t.Errorf("%d objects became %d", len(before), len(after))
	}
	if err := b.DeleteStorage(ctx); err != nil {
		t.Fatal(err)
	}
	// The server has no folder marker beside objects of the folder's name.
	left := slices.Sorted(maps.Keys(objectsOf(t, b)))
	slices.Sort(foreign)
	if !slices.Equal(left, foreign) {
		t.Errorf("after DeleteStorage there are %q, want %q", left, foreign)
	}
	for _, key := range left {
		if _, err := b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.bucket, Key: aws.String(b.full(key))}); err != nil {
			t.Error(err)
		}
	}
}

// TestRemovals shows what is left of a record on either kind of server.
func TestRemovals(t *testing.T) {
	for name, opened := range map[string]func(testing.TB, *Options) (*Backend, *proxy){"tombstones": proxied, "deletes": deleting} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, p := opened(t, nil)
			seed(t, b, record("deleted", "ann", 0), record("swept", "ann", time.Minute), record("stays", "ann", 0))
			if err := b.Delete(t.Context(), testNow, driver.Delete{ID: "deleted", Cond: driver.IfPresent}); err != nil {
				t.Fatal(err)
			}
			swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Minute), Limit: 10})
			if err != nil || swept.Removed != 1 {
				t.Fatalf("%+v, %v", swept, err)
			}
			all := objectsOf(t, b)
			for _, key := range []string{"r/i-deleted", "r/i-swept"} {
				o, there := all[key]
				if there != (name == "tombstones") || there && (*o.Size != tombstoneSize || *o.ETag != tombstoneETag) {
					t.Errorf("%s is there: %v, %+v", key, there, o)
				}
			}
			if len(keysIn(t, b, labelsDir)) != 1 {
				t.Errorf("label entries: %q", keysIn(t, b, labelsDir))
			}
			// Tombstones are no records, and cost a listing nothing.
			p.take()
			if ids := idsOf(t, b, driver.Query{Limit: 10}); !slices.Equal(ids, []string{"stays"}) {
				t.Errorf("listed: %q", ids)
			}
			if got := p.take(); got.of("GET r") != 1 {
				t.Errorf("on the wire: %v", got.ops)
			}
			if n, err := b.Count(t.Context(), testNow, driver.Query{Label: ""}); err != nil || n != 1 {
				t.Errorf("%d counted, %v", n, err)
			}
			// A process that has just begun reads the marker at its first removal.
			again, err := New(b.client, b.bucket, b.prefix, nil)
			if err != nil {
				t.Fatal(err)
			}
			p.take()
			if err := again.Delete(t.Context(), testNow, driver.Delete{ID: "stays", Cond: driver.IfPresent}); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"tombstones": "GET r GET store.json PUT r DELETES", "deletes": "GET r GET store.json DELETE r DELETES"}[name]
			if got := wire(p.take().ops); got != want {
				t.Errorf("on the wire: %s, want %s", got, want)
			}
		})
	}
}

// TestProofIsOfOneServer copies a store whose marker says that its server heeds
// conditions on deletes to one that does not: the name tells.
func TestProofIsOfOneServer(t *testing.T) {
	b := open(t)
	putObject(t, b, markerName, []byte(`{"format":1,"server":"AmazonS3","conditionalDeletes":true}`))
	moved, err := New(b.client, b.bucket, b.prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	if moved.deletes(t.Context()) {
		t.Error("another server's proof is believed")
	}
	if err := moved.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := b.readMarker(t.Context())
	if err != nil || m.ConditionalDeletes || m.Server != m.here || m.Server == "" {
		t.Errorf("CreateStorage found %+v, %v", m, err)
	}
	for _, bad := range []string{"", "{}", "text", `{"format":2}`} {
		putObject(t, b, markerName, []byte(bad))
		only(t, moved.CreateStorage(t.Context()), model.ErrCorrupt)
	}
}

// TestServersWithoutConditions refuses servers that ignore conditions on writes,
// or do not know them.
func TestServersWithoutConditions(t *testing.T) {
	for name, refuse := range map[string]func(op string) *answer{
		"ignored": func(op string) *answer {
			if op == "PUT p" {
				return &answer{status: 200}
			}
			return nil
		},
		"unknown": func(op string) *answer {
			if op == "PUT p" {
				return &answer{status: 501, code: codeNotImplemented}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t)
			p.refusing(refuse)
			b, err := New(clientAt(t, p.url), bucket(t), uniqueName(), nil)
			if err != nil {
				t.Fatal(err)
			}
			only(t, b.CreateStorage(t.Context()), model.ErrUnsupported)
			if left := objectsOf(t, b); len(left) > 0 {
				t.Errorf("%d objects are left", len(left))
			}
		})
	}
}

// TestCreatesRaceTheSweep has a create for each of many expired records, while
// two sweeps remove them: none of what was created is lost.
func TestCreatesRaceTheSweep(t *testing.T) {
	for name, n := range map[string]int{"tombstones": 1000, "deletes": 500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t)
			if name == "deletes" {
				p.heedDeletes(t)
			}
			b := openOn(t, clientAt(t, p.url), nil)
			load(t, b, n, func(i int) model.Record { return record(fmt.Sprint("id", i), "", time.Minute) })
			now := testNow.Add(time.Minute)
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
				r := record(fmt.Sprint("id", i), "ann", 2*time.Hour)
				if _, err := b.Write(t.Context(), now, driver.Write{Record: r, Cond: driver.IfAbsent}); err != nil {
					t.Errorf("create %d: %v", i, err)
				}
			})
			wg.Wait()
			swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: now, Limit: n})
			if err != nil || swept.Removed != 0 {
				t.Errorf("after all creates: %+v, %v", swept, err)
			}
			if got, err := b.Count(t.Context(), now, driver.Query{Label: ""}); err != nil || got != n {
				t.Errorf("%d of %d are there, %v", got, n, err)
			}
			t.Logf("%d were swept before their create, %d replaced", removed.Load(), int64(n)-removed.Load())
			if removed.Load() > int64(n) {
				t.Errorf("%d removals counted of %d", removed.Load(), n)
			}
		})
	}
}

// TestCrash stops a labelled write before each of its steps: readers see the
// record before or none, and when the grace is over the sweep removes what was
// left. Then it stops after the last one: the answer alone is missing.
func TestCrash(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	old := record("id", "ann", time.Hour)
	for name, w := range map[string]driver.Write{
		"create": {Record: record("id", "ann", 2*time.Hour), Cond: driver.IfAbsent},
		"update": {Record: record("id", "bob", 2*time.Hour), Cond: driver.IfPresent},
		"upsert": {Record: record("id", "bob", 2*time.Hour), Cond: driver.IfAny},
		"never":  {Record: record("id", "bob", 0), Cond: driver.IfAbsent},
	} {
		there := name == "update" || name == "upsert"
		for _, step := range []string{"PUT l", "PUT x", "PUT r", ""} {
			t.Run(name+" "+step, func(t *testing.T) {
				if there {
					seed(t, b, old)
				}
				crashed := step == ""
				// The process is gone: nothing of it arrives any more.
				p.refusing(func(op string) *answer {
					if crashed = crashed || op == step; crashed && step != "" {
						return &answer{}
					}
					return nil
				})
				if step == "" {
					p.play(loseAnswer)
				}
				if _, err := b.Write(ctx, testNow, w); err == nil {
					t.Fatal("the write says that it succeeded")
				}
				p.refusing(nil)
				got, err := b.Get(ctx, testNow, driver.Get{ID: "id"})
				switch {
				case step == "" && (err != nil || got.Revision != w.Record.Revision):
					t.Fatalf("the write is not there: %v", err)
				case step != "" && there && (err != nil || got.Revision != old.Revision):
					t.Fatalf("the record before is not there: %v", err)
				case step != "" && !there && model.Kind(err) != model.ErrNotFound:
					t.Fatalf("a record is there: %v", err)
				}
				for _, who := range []string{"ann", "bob"} {
					ids := idsOf(t, b, driver.Query{Label: "principal", Value: who, Limit: 10})
					if want := err == nil && got.Labels["principal"] == who; (len(ids) == 1) != want {
						t.Errorf("%s bears %q, want it: %v", who, ids, want)
					}
				}
				// A sweep that comes at once leaves what may be under way.
				entries := len(keysIn(t, b, labelsDir)) + len(keysIn(t, b, dueDir))
				if swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 10}); err != nil || swept.Removed != 0 {
					t.Fatalf("%+v, %v", swept, err)
				}
				if n := len(keysIn(t, b, labelsDir)) + len(keysIn(t, b, dueDir)); n != entries {
					t.Errorf("%d entries became %d", entries, n)
				}
				if err == nil {
					if err := b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent}); err != nil {
						t.Fatal(err)
					}
				}
				p.age(2 * time.Hour)
				defer p.age(0)
				if swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(3 * time.Hour), Limit: 10}); err != nil || swept.Removed != 0 {
					t.Fatalf("%+v, %v", swept, err)
				}
				if left := append(keysIn(t, b, labelsDir), keysIn(t, b, dueDir)...); len(left) > 0 && name != "upsert" && step != "PUT x" {
					t.Errorf("strays are left: %q", left)
				}
				// What an upsert overwrote without knowing, and a label's entry whose
				// companion by expiry did not arrive, are removed by listings.
				for _, who := range []string{"ann", "bob"} {
					idsOf(t, b, driver.Query{Label: "principal", Value: who, Limit: 10})
				}
				if left := append(keysIn(t, b, labelsDir), keysIn(t, b, dueDir)...); len(left) > 0 {
					t.Errorf("strays are left: %q", left)
				}
				if _, err := b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.bucket, Key: aws.String(b.full("r/i-id"))}); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestIndexByExpiry follows a record's entry: an extension leaves it, the sweep
// moves it, an earlier time gets one of its own.
func TestIndexByExpiry(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	r := record("id", "ann", time.Minute)
	seed(t, b, r)
	at := func() (out []time.Duration) {
		for _, key := range keysIn(t, b, dueDir) {
			due, _, _, ok := parseDue(strings.TrimPrefix(key, dueDir+"/"))
			if !ok {
				t.Fatalf("key %q", key)
			}
			out = append(out, due.Sub(testNow))
		}
		return out
	}
	is := func(step string, want ...time.Duration) {
		t.Helper()
		if got := at(); !slices.Equal(got, want) {
			t.Fatalf("%s: entries at %v, want %v", step, got, want)
		}
	}
	touch := func(mode driver.TouchMode, ttl time.Duration) {
		t.Helper()
		if _, err := b.Touch(ctx, testNow, driver.Touch{ID: "id", Mode: mode, ExpiresAt: testNow.Add(ttl)}); err != nil {
			t.Fatal(err)
		}
	}
	sweep := func(at time.Duration, want int) {
		t.Helper()
		if swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(at), Limit: 10}); err != nil || swept.Removed != want {
			t.Fatalf("sweep at %v: %+v, %v", at, swept, err)
		}
	}
	is("create", time.Minute)
	touch(driver.TouchExtend, time.Hour)
	is("extend", time.Minute)
	sweep(time.Minute, 0)
	is("sweep", time.Hour)
	touch(driver.TouchSet, 2*time.Minute)
	is("an earlier time", 2*time.Minute, time.Hour)
	touch(driver.TouchClear, 0)
	touch(driver.TouchSet, 3*time.Minute)
	is("cleared and set", 2*time.Minute, 3*time.Minute, time.Hour)
	sweep(2*time.Minute, 0)
	is("a sweep that meets a young stray", 2*time.Minute, 3*time.Minute, time.Hour)
	p.age(2 * time.Hour)
	sweep(2*time.Minute, 0)
	is("a sweep that meets an old one", 3*time.Minute, time.Hour)
	if got := bearers(t, b); !slices.Equal(got, []string{"id"}) {
		t.Errorf("ann bears %q", got)
	}
	sweep(3*time.Minute, 1)
	sweep(time.Hour, 0)
	is("the last sweep")
	if left := keysIn(t, b, labelsDir); len(left) > 0 {
		t.Errorf("label entries are left: %q", left)
	}
}

// TestListingsRemoveStrays has label entries without their record: listings and
// counts remove those that are old.
func TestListingsRemoveStrays(t *testing.T) {
	b, p := proxied(t, nil)
	for name, list := range map[string]func() error{
		"page": func() error {
			_, err := b.Page(t.Context(), testNow, driver.Query{Label: "principal", Value: "ann", Limit: 10})
			return err
		},
		"count": func() error {
			_, err := b.Count(t.Context(), testNow, driver.Query{Label: "principal", Value: "ann"})
			return err
		},
	} {
		r := record(name, "ann", 0)
		seed(t, b, r, record(name, "ann", 0)) // two entries, one of them a stray
		putObject(t, b, labelKey(&label{name: "principal", value: "ann", stamp: newStamp()}, "i-gone"), nil)
		if err := list(); err != nil {
			t.Fatal(err)
		}
		if n := len(keysIn(t, b, labelsDir)); n != 3 {
			t.Errorf("%s: %d entries after a listing at once", name, n)
		}
		p.age(2 * time.Hour)
		err := list()
		p.age(0)
		if n := len(keysIn(t, b, labelsDir)); err != nil || n != 1 {
			t.Errorf("%s: %d entries after a listing in two hours, %v", name, n, err)
		}
		if got := bearers(t, b); !slices.Equal(got, []string{name}) {
			t.Errorf("%s: ann bears %q", name, got)
		}
		if err := b.Delete(t.Context(), testNow, driver.Delete{ID: name, Cond: driver.IfPresent}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestChecksums reads what is sent: nothing that servers of other makes do not
// know, unless the client's settings are to stay.
func TestChecksums(t *testing.T) {
	p := startProxy(t)
	own := openOn(t, clientAt(t, p.url, func(o *awss3.Options) { // as NewFromConfig has it
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
	}), nil)
	theirs, err := New(own.client, own.bucket, own.prefix, &Options{ClientChecksums: true})
	if err != nil {
		t.Fatal(err)
	}
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
			_, err := b.Write(t.Context(), testNow, driver.Write{Record: record("id", "", 0), Cond: driver.IfAny})
			return err
		})
		get := header(func() error { _, err := b.Get(t.Context(), testNow, driver.Get{ID: "id"}); return err })
		if has(put) != want || has(get) != want {
			t.Errorf("checksums: %v on a write, %v on a read, want %v", has(put), has(get), want)
		}
		if put.Get("X-Amz-Content-Sha256") == "" {
			t.Error("the body is not signed")
		}
	}
	many := header(func() error { return own.deleteMany(t.Context(), []string{"nothing"}) })
	if many.Get("Content-Md5") == "" {
		t.Errorf("a delete of many has no MD5: %v", many)
	}
}

// TestStorage makes, keeps and deletes stores, and a bucket.
func TestStorage(t *testing.T) {
	ctx := t.Context()
	b, err := New(client(t), uniqueName(), "app/carts", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range writes(record("id", "ann", 0)) {
		if err := do(ctx, b); model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), b.bucket) || !strings.Contains(err.Error(), "CreateStorage") {
			t.Errorf("%s without a bucket: %v", name, err)
		}
	}
	_, err = b.Page(ctx, testNow, driver.Query{Limit: 1})
	_, sweep := b.DeleteExpired(ctx, driver.Sweep{Before: testNow, Limit: 1})
	for _, err := range []error{err, sweep, b.Ping(ctx)} {
		only(t, err, model.ErrUnavailable)
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
	inside := openAt(t, b.client, b.bucket, "app", nil)
	for _, s := range []*Backend{b, neighbour, inside} {
		seed(t, s, record("id", "ann", time.Hour))
	}
	if err := b.CreateStorage(ctx); err != nil || len(bearers(t, b)) != 1 {
		t.Errorf("after CreateStorage again: %v, %v", bearers(t, b), err)
	}
	for range 2 {
		if err := b.DeleteStorage(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if left := objectsOf(t, b); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	for _, s := range []*Backend{neighbour, inside} {
		if got := bearers(t, s); len(got) != 1 {
			t.Errorf("%s has %v", s.prefix, got)
		}
	}
	if err := b.CreateStorage(ctx); err != nil || len(idsOf(t, b, driver.Query{Limit: 10})) != 0 {
		t.Errorf("made anew: %v", err)
	}
	if err := b.DeleteStorage(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestVersionedBucket is refused, unless it is accepted.
func TestVersionedBucket(t *testing.T) {
	name := ownBucket(t)
	ctx := t.Context()
	c := client(t)
	_, err := c.PutBucketVersioning(ctx, &awss3.PutBucketVersioningInput{
		Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	refused, err := New(c, name, "carts", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := refused.CreateStorage(ctx); model.Kind(err) != model.ErrUnsupported || !strings.Contains(err.Error(), "AllowVersioned") {
		t.Errorf("%v", err)
	}
	b := openAt(t, c, name, "carts", &Options{AllowVersioned: true})
	seed(t, b, record("id", "ann", time.Hour), record("id", "bob", time.Hour))
	if err := b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent}); err != nil {
		t.Error(err)
	}
	seed(t, b, record("id", "ann", time.Hour))
	if got := bearers(t, b); !slices.Equal(got, []string{"id"}) {
		t.Errorf("ann bears %q", got)
	}
	// Who may not ask is not told.
	p := startProxy(t)
	p.refusing(func(op string) *answer {
		if op == "GET bucket" {
			return &answer{status: 403, code: codeDenied}
		}
		return nil
	})
	blind, err := New(clientAt(t, p.url), name, "blind", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(blind.CreateStorage(ctx), blind.DeleteStorage(ctx)); err != nil {
		t.Error(err)
	}
}

// TestLifecycleRule gives the server the rule of StoragePlan.
func TestLifecycleRule(t *testing.T) {
	b := openAt(t, client(t), ownBucket(t), "app/carts", nil)
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

// TestWrongCredentials has keys that the server does not know, a secret that is
// wrong, and somebody who may only read.
func TestWrongCredentials(t *testing.T) {
	name := ownBucket(t)
	ctx := t.Context()
	b := openAt(t, client(t), name, "carts", nil)
	seed(t, b, record("id", "ann", time.Hour))
	endpoint, key, secret := serverAt(t)
	for what, c := range map[string]*awss3.Client{
		"an unknown key": plainClient(t, endpoint, "nobody", "hunter2hunter2"), "a wrong secret": plainClient(t, endpoint, key, secret+"hunter2"),
	} {
		stranger, err := New(c, name, "carts", nil)
		if err != nil {
			t.Fatal(err)
		}
		errs := map[string]error{"CreateStorage": stranger.CreateStorage(ctx), "Ping": stranger.Ping(ctx), "DeleteStorage": stranger.DeleteStorage(ctx)}
		for name, do := range writes(record("id", "ann", 0)) {
			errs[name] = do(ctx, stranger)
		}
		_, errs["Get"] = stranger.Get(ctx, testNow, driver.Get{ID: "id"})
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
	reader, err := New(plainClient(t, endpoint, "", "", func(o *awss3.Options) { o.Credentials = aws.AnonymousCredentials{} }), name, "carts", nil)
	if err != nil {
		t.Fatal(err)
	}
	prev, err := reader.Get(ctx, testNow, driver.Get{ID: "id"})
	if err != nil || !slices.Equal(bearers(t, reader), []string{"id"}) || !slices.Equal(idsOf(t, reader, driver.Query{Limit: 9}), []string{"id"}) {
		t.Fatalf("a reader: %v", err)
	}
	for name, do := range writes(prev) {
		if err := do(ctx, reader); model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), "permission") {
			t.Errorf("a reader, %s: %v", name, err)
		}
	}
	if got, err := b.Get(ctx, testNow, driver.Get{ID: "id"}); err != nil || got.ServerVersion != prev.ServerVersion {
		t.Errorf("the record has changed: %v", err)
	}
}

// TestTruncated has an object that the server does not have in full, and answers
// that are cut off.
func TestTruncated(t *testing.T) {
	b, p := proxied(t, nil)
	ctx := t.Context()
	r := record("id", "ann", time.Hour)
	r.Value = bytes.Repeat([]byte("v"), 100_000)
	seed(t, b, r)
	p.playOn(cutAnswer, func(op string) bool { return op == "GET r" })
	_, err := b.Get(ctx, testNow, driver.Get{ID: "id"})
	only(t, err, model.ErrUnavailable)
	whole := headOf(&r).encode(r.Value)
	for _, n := range []int{0, 1, 63, 64, 127, 128, 1000, len(whole) - 1} {
		putObject(t, b, "r/i-id", whole[:n])
		_, get := b.Get(ctx, testNow, driver.Get{ID: "id"})
		_, update := b.Write(ctx, testNow, driver.Write{Record: r, Cond: driver.IfPresent})
		for _, err := range []error{get, update, b.Delete(ctx, testNow, driver.Delete{ID: "id", Cond: driver.IfPresent})} {
			only(t, err, model.ErrCorrupt)
		}
	}
	r.Value = make([]byte, b.gate.MaxValue()+1)
	p.take()
	_, err = b.Write(ctx, testNow, driver.Write{Record: r, Cond: driver.IfAny})
	only(t, err, model.ErrTooLarge)
	if got := p.take(); len(got.ops) > 0 {
		t.Errorf("on the wire: %v", got.ops)
	}
}

// TestLongHead has more labels than the first read of a head takes.
func TestLongHead(t *testing.T) {
	var names []string
	for i := range maxLabels {
		names = append(names, fmt.Sprintf("label-%02d-%s", i, strings.Repeat("x", 50)))
	}
	b, p := proxied(t, &Options{Labels: names})
	r := record(strings.Repeat("é", 256), "", time.Hour)
	r.Labels = map[string]string{}
	for _, name := range names {
		r.Labels[name] = strings.Repeat("v", model.MaxLabel)
	}
	seed(t, b, r)
	p.take()
	q := driver.Query{Label: names[7], Value: r.Labels[names[7]], Limit: 1, KeysOnly: true}
	page, err := b.Page(t.Context(), testNow, q)
	if err != nil || len(page.Records) != 1 || !maps.Equal(page.Records[0].Labels, r.Labels) || page.Records[0].ID != r.ID {
		t.Fatalf("%+v, %v", page, err)
	}
	if got := wire(p.take().ops); got != "LIST l GET r GET r" {
		t.Errorf("on the wire: %s", got)
	}
	if swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: testNow.Add(time.Hour), Limit: 10}); err != nil || swept.Removed != 1 || len(keysIn(t, b, labelsDir)) != 0 {
		t.Errorf("%+v, %v, left %q", swept, err, keysIn(t, b, labelsDir))
	}
}

// TestPermissions compares the policy in the package comment with the kinds of
// requests that this package makes.
func TestPermissions(t *testing.T) {
	calls := map[string][]string{
		"GetObject": {"GetObject"}, "PutObject": {"PutObject"}, "DeleteObject": {"DeleteObject"}, "DeleteObjects": {"DeleteObject"},
		"ListObjectsV2": {"ListBucket"}, "CreateBucket": {"CreateBucket"}, "GetBucketVersioning": {"GetBucketVersioning"},
	}
	used := map[string]bool{}
	for _, file := range []string{"backend.go", "layout.go", "crud.go", "expiry.go", "list.go", "bulk.go"} {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`b\.client\.([A-Z][A-Za-z0-9]+)\(`).FindAllSubmatch(src, -1) {
			if op := string(m[1]); op != "Options" {
				if calls[op] == nil {
					t.Errorf("%s: what does %s need?", file, op)
				}
				for _, action := range calls[op] {
					used[action] = true
				}
			}
		}
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	granted := map[string]bool{}
	for _, m := range regexp.MustCompile(`"s3:([A-Za-z]+)"`).FindAllStringSubmatch(string(doc), -1) {
		granted[m[1]] = true
	}
	if !maps.Equal(used, granted) {
		t.Errorf("used are %v, the policy grants %v", used, granted)
	}
}

// TestCanceledListing ends the context of a listing under way.
func TestCanceledListing(t *testing.T) {
	b, p := proxied(t, nil)
	seed(t, b, record("id", "ann", time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	p.refusing(func(op string) *answer {
		if op == "GET r" {
			cancel()
			return &answer{}
		}
		return nil
	})
	_, err := b.Page(ctx, testNow, driver.Query{Limit: 10})
	cancel()
	if !errors.Is(err, context.Canceled) || model.Kind(err) != nil {
		t.Errorf("%v", err)
	}
}
