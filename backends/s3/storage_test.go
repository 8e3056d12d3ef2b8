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
	"github.com/sojourn-go/sojourn/internal/drivertest"
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
		if m, err := other.readMarker(t.Context(), nil); m == nil || err != nil {
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
