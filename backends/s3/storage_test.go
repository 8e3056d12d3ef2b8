package s3

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
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

// TestForeignPrefixes has objects of other programs below the prefix:
// CreateStorage and DeleteStorage name one and leave all as they are.
func TestForeignPrefixes(t *testing.T) {
	for name, test := range map[string]struct {
		keys  []string
		found string // empty: the prefix may become a store
	}{
		"an object":             {[]string{"notes.txt"}, "notes.txt"},
		"a folder":              {[]string{"2026/01/report.csv"}, "2026/01/report.csv"},
		"in our folders":        {[]string{"r/readme.txt"}, "r/readme.txt"},
		"in the index":          {[]string{"x/readme"}, "x/readme"},
		"an unlike label entry": {[]string{"l/principal/short/i-a.0123456789abcdef"}, "l/principal"},
		"their store.json":      {[]string{markerName}, markerName},
		"one below":             {[]string{"shop/" + markerName}, "shop/" + markerName},
		"placeholders":          {[]string{"", "r/", "shop/"}, ""},
		"none":                  {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, client(t), bucket(t), drivertest.Name(), nil)
			for _, key := range test.keys {
				data := []byte("theirs")
				if test.found == "" {
					data = nil
				}
				putObject(t, b, key, data)
				t.Cleanup(func() { _ = b.deleteMany(context.WithoutCancel(t.Context()), []string{key}) })
			}
			if test.found == "" {
				if err := errors.Join(b.CreateStorage(t.Context()), b.CreateStorage(t.Context()), b.DeleteStorage(t.Context())); err != nil {
					t.Fatal(err)
				}
			} else {
				drivertest.WantForeign(t, b.CreateStorage(t.Context()), test.found)
				drivertest.WantForeign(t, b.DeleteStorage(t.Context()), test.found)
			}
			left := slices.Sorted(maps.Keys(objectsOf(t, b)))
			if slices.Sort(test.keys); !slices.Equal(left, test.keys) {
				t.Fatalf("%q became %q", test.keys, left)
			}
		})
	}
}

// TestSharedPrefix has another program that writes below the prefix of a store:
// DeleteStorage removes only the store.
func TestSharedPrefix(t *testing.T) {
	b := openAt(t, client(t), bucket(t), drivertest.Name(), nil)
	drivertest.Seed(t, b, drivertest.Record("a", "ann", time.Hour))
	putObject(t, b, "theirs/1", []byte("theirs"))
	drivertest.WantForeign(t, b.CreateStorage(t.Context()), "theirs/1")
	for range 2 {
		drivertest.WantForeign(t, b.DeleteStorage(t.Context()), "theirs/1")
	}
	if left := slices.Sorted(maps.Keys(objectsOf(t, b))); !slices.Equal(left, []string{"theirs/1"}) {
		t.Fatalf("left %q", left)
	}
	deleteObject(t, b, "theirs/1")
}

// TestStoresBelow has stores below the prefix of another one. They are in
// nobody's way, and stay.
func TestStoresBelow(t *testing.T) {
	prefix := drivertest.Name()
	var below []*Backend
	for _, name := range []string{"/carts", "/team/carts"} {
		below = append(below, openAt(t, client(t), bucket(t), prefix+name, nil))
	}
	b := newBackend(t, client(t), bucket(t), prefix, nil)
	if err := errors.Join(b.CreateStorage(t.Context()), b.CreateStorage(t.Context()), b.DeleteStorage(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, other := range below {
		if m, err := other.readMarker(t.Context()); m == nil || err != nil {
			t.Fatalf("the store %s: %+v, %v", other.prefix, m, err)
		}
	}
}

// TestLifecycleRulesStay has rules of another program, which no call changes.
func TestLifecycleRulesStay(t *testing.T) {
	b := newBackend(t, client(t), newBucket(t, drivertest.Name()), "app/carts", nil)
	_, err := b.client.PutBucketLifecycleConfiguration(t.Context(), &awss3.PutBucketLifecycleConfigurationInput{
		Bucket: &b.bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{
			ID: aws.String("theirs"), Status: types.ExpirationStatusEnabled, Expiration: &types.LifecycleExpiration{Days: aws.Int32(7)},
			Filter: &types.LifecycleRuleFilter{Prefix: aws.String("logs/")},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.CreateStorage(t.Context()), b.DeleteStorage(t.Context())); err != nil {
		t.Fatal(err)
	}
	out, err := b.client.GetBucketLifecycleConfiguration(t.Context(), &awss3.GetBucketLifecycleConfigurationInput{Bucket: &b.bucket})
	if err != nil || len(out.Rules) != 1 || aws.ToString(out.Rules[0].ID) != "theirs" {
		t.Fatalf("%+v, %v", out, err)
	}
	if plan := b.StoragePlan(); strings.Contains(plan, "\naws s3api put-bucket-lifecycle") {
		t.Fatalf("the plan replaces all rules: %s", plan)
	}
}

// TestStallDuringTheTest has a server that stops in the midst of the tests of
// CreateStorage, which then also cleans up.
func TestStallDuringTheTest(t *testing.T) {
	p := startProxy(t)
	b := newBackend(t, clientAt(t, p.URL()), bucket(t), drivertest.Name(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p.Set(faultnet.Plan{
		Fault: faultnet.HoldAnswer, Match: func(op string) bool { return op == "PUT p" },
		Then: func() { p.Stall(); cancel() },
	})
	if err := b.CreateStorage(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
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
	m, err := b.readMarker(t.Context())
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
