package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestListingsThatDoNotRise has a server that begins to ignore StartAfter, or the
// order of keys, after the store was created. Each call ends with an error: it
// would go on for ever, or miss records.
func TestListingsThatDoNotRise(t *testing.T) {
	for name, quirk := range map[string]func(*quirks){
		"from the start again": func(q *quirks) { q.ignoreStartAfter = true },
		"falling":              func(q *quirks) { q.unsorted = true },
	} {
		t.Run(name, func(t *testing.T) {
			b, f := fakeStore(t, nil)
			for i := range spare + 10 {
				drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("id", i), "ann", time.Minute))
			}
			q := driver.Query{Limit: 5}
			first, err := b.Page(t.Context(), drivertest.Now, q)
			if err != nil {
				t.Fatal(err)
			}
			quirk(&f.quirks)
			q.After = first.Next
			_, err = b.Page(t.Context(), drivertest.Now, q)
			drivertest.WantKind(t, err, model.ErrUnsupported)
			if name != "falling" { // one part of a listing may have all keys
				return
			}
			_, err = b.Count(t.Context(), drivertest.Now, driver.Query{})
			drivertest.WantKind(t, err, model.ErrUnsupported)
			_, err = b.Count(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: "ann"})
			drivertest.WantKind(t, err, model.ErrUnsupported)
			_, err = b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 10})
			drivertest.WantKind(t, err, model.ErrUnsupported)
			drivertest.WantKind(t, b.DeleteStorage(t.Context()), model.ErrUnsupported)
		})
	}
}

// TestListingsWithoutAnEnd has a server that answers the same part for ever, and
// one that says that there is more and not how to get it.
func TestListingsWithoutAnEnd(t *testing.T) {
	for name, body := range map[string]string{
		"the same part":    "<IsTruncated>true</IsTruncated><NextContinuationToken>a</NextContinuationToken>",
		"nothing":          "",
		"no token":         "<IsTruncated>true</IsTruncated>",
		"another's prefix": "<Contents><Key>logs/a</Key></Contents>",
		"a bad escape":     "<EncodingType>url</EncodingType><Contents><Key>app/r/%zz</Key></Contents>",
	} {
		t.Run(name, func(t *testing.T) {
			b, f := fakeStore(t, nil)
			f.answers(func(op, _ string) *answer {
				if op != "LIST r" {
					return nil
				}
				if body == "" {
					return &answer{status: http.StatusOK}
				}
				return &answer{status: http.StatusOK, body: "<ListBucketResult>" + body + "</ListBucketResult>"}
			})
			if p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 5}); err == nil {
				t.Errorf("a page of %+v", p)
			}
		})
	}
}

// TestPartsWithoutKeys has a server whose listings begin with a part that has no
// keys and says that there is more: IsTruncated and NextContinuationToken of
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html.
func TestPartsWithoutKeys(t *testing.T) {
	f := newFake(t, quirks{hollow: true})
	b := f.open(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	wantIDs(t, idsOf(t, b, driver.Query{Limit: 5}), "id")
	wantIDs(t, bearers(t, b, "ann"), "id")
	wantCount(t, b, drivertest.Now, driver.Query{}, 1)
	sweep(t, b, 2*time.Hour, 1)
}

// TestKeysThatXMLCannotHave has foreign objects whose keys have control
// characters, or what an escaped key has: listings ignore them.
func TestKeysThatXMLCannotHave(t *testing.T) {
	foreign := []string{"r/a\x01b", "r/a b+c%20&<", "x/\x02", "l/principal/\x1f", "p/\x03"}
	check := func(t *testing.T, b *Backend) {
		t.Helper()
		drivertest.Seed(t, b, drivertest.Record("a b+c%20\x01=", "ann", time.Minute))
		for _, key := range foreign {
			putRaw(t, b.client, b.bucket, b.full(key), []byte("theirs"))
		}
		wantIDs(t, idsOf(t, b, driver.Query{Limit: 1}), "a b+c%20\x01=")
		wantIDs(t, bearers(t, b, "ann"), "a b+c%20\x01=")
		wantCount(t, b, drivertest.Now, driver.Query{}, 1)
		sweep(t, b, time.Hour, 1)
		err := b.DeleteStorage(t.Context())
		drivertest.WantKind(t, err, model.ErrCorrupt)
		if err := b.deleteMany(t.Context(), foreign[1:2]); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("fake", func(t *testing.T) {
		b, f := fakeStore(t, nil)
		check(t, b)
		if keys := f.keys(); len(keys) != len(foreign)-1 {
			t.Errorf("left %q", keys)
		}
	})
	t.Run("without escapes", func(t *testing.T) { // as versitygw 1.8.0 answers
		check(t, newFake(t, quirks{rawKeys: true}).open(t, nil))
	})
	t.Run("server", func(t *testing.T) {
		b := newBackend(t, client(t), newBucket(t, drivertest.Name()), "app", nil)
		if err := b.CreateStorage(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(t, b)
	})
}

// TestListingsBehindTombstones has one record behind thousands of tombstones.
func TestListingsBehindTombstones(t *testing.T) {
	b, f := fakeStore(t, nil)
	f.mu.Lock()
	for i := range 5000 {
		f.objects["carts/"+b.full(recordKey(placeOf(fmt.Sprintf("gone%04d", i)).name))] = tombstone
	}
	f.mu.Unlock()
	drivertest.Seed(t, b, drivertest.Record("here", "", 0))
	f.requests()
	wantIDs(t, idsOf(t, b, driver.Query{Limit: 100}), "here")
	if n := count(f.requests(), "LIST r"); n > 6 {
		t.Errorf("%d listings, want at most 6", n)
	}
}

// TestAnswersOfProxies has answers that no server of S3 sends: their text says
// so, and a write's outcome is unknown.
func TestAnswersOfProxies(t *testing.T) {
	b, f := fakeStore(t, nil)
	for _, status := range []int{302, 403, 404, 408, 409, 429, 499, 502, 503} {
		f.answers(func(string, string) *answer { return &answer{status: status, body: "<html>gateway</html>"} })
		_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("id", "", 0), Cond: driver.IfAbsent})
		drivertest.WantKind(t, err, model.ErrUnknown)
		_, getErr := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
		drivertest.WantKind(t, getErr, model.ErrUnavailable)
		for _, err := range []error{err, getErr} {
			if !strings.Contains(err.Error(), fmt.Sprint(status)) || !strings.Contains(err.Error(), "proxy") {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
}

// TestPagesOfProxies has a proxy that answers every request with a page of its
// own and status 200, as those of hotels and firewalls do. Nothing of it is an
// empty listing, a write that was carried out or a damaged record.
func TestPagesOfProxies(t *testing.T) {
	for _, page := range []string{"<html>please log in</html>", "<!DOCTYPE html><html>", "please log in"} {
		b, f := fakeStore(t, nil)
		drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Minute))
		known := drivertest.Get(t, b, "id")
		f.answers(func(string, string) *answer { return &answer{status: http.StatusOK, body: page} })
		_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: drivertest.Record("new", "", 0), Cond: driver.IfAbsent})
		drivertest.WantKind(t, err, model.ErrUnknown)
		err = b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: "id", Cond: driver.IfMatch, Known: known})
		drivertest.WantKind(t, err, model.ErrUnknown)
		drivertest.WantKind(t, b.deleteMany(t.Context(), []string{"x/none"}), model.ErrUnavailable)
		_, err = b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
		drivertest.WantKind(t, err, model.ErrUnavailable)
		for _, q := range []driver.Query{{Limit: 5}, {Limit: 5, Label: "principal", Value: "ann"}} {
			_, err = b.Page(t.Context(), drivertest.Now, q)
			drivertest.WantKind(t, err, model.ErrUnavailable)
			_, err = b.Count(t.Context(), drivertest.Now, driver.Query{Label: q.Label, Value: q.Value})
			drivertest.WantKind(t, err, model.ErrUnavailable)
		}
		_, err = b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 5})
		drivertest.WantKind(t, err, model.ErrUnavailable)
		drivertest.WantKind(t, b.DeleteStorage(t.Context()), model.ErrUnavailable)
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
