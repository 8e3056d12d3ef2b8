package s3

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

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
