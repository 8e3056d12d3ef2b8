package s3

import (
	"context"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// levels returns the level of each finding by its name.
func levels(checks driver.Checks) map[string]driver.CheckLevel {
	out := map[string]driver.CheckLevel{}
	for _, c := range checks {
		out[c.Name] = c.Level
	}
	return out
}

// TestServersThatBreakRules has servers as they were reported:
//
//   - conditions that concurrent writes pass together:
//     https://github.com/seaweedfs/seaweedfs/issues/8800 and
//     https://github.com/versity/versitygw/pull/2288
//   - answers with 501 to conditions, with which S3 answers to headers that it
//     does not have: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
//
// CreateStorage refuses each, says what it saw, and leaves nothing.
func TestServersThatBreakRules(t *testing.T) {
	refuse := func(op string, status int, code string, header string) func(*fake) {
		return func(f *fake) {
			f.answers(func(got, _ string) *answer {
				f.mu.Lock()
				defer f.mu.Unlock()
				if got == op && (header == "" || f.headers[got].Get(header) != "") {
					return &answer{status: status, code: code}
				}
				return nil
			})
		}
	}
	for name, test := range map[string]struct {
		quirks quirks
		set    func(*fake)
		says   []string
	}{
		"ignores conditions":            {quirks{ignoreConditions: true}, nil, []string{"conditional creates", "16 succeeded", "exactly one"}},
		"checks conditions too early":   {quirks{racy: true}, nil, []string{"conditional creates", "16 succeeded"}},
		"has no If-None-Match":          {quirks{}, refuse("PUT p", 501, codeNotImplemented, "If-None-Match"), []string{"conditional creates", codeNotImplemented}},
		"has no If-Match":               {quirks{}, refuse("PUT p", 501, codeNotImplemented, "If-Match"), []string{"conditional updates", codeNotImplemented}},
		"ignores StartAfter":            {quirks{ignoreStartAfter: true}, nil, []string{"listings", "do not rise"}},
		"lists in falling order":        {quirks{unsorted: true}, nil, []string{"listings"}},
		"escapes keys and does not say": {quirks{silentEscape: true}, nil, []string{"listings"}},
		"has no DeleteObjects":          {quirks{}, refuse("DELETES", 501, codeNotImplemented, ""), []string{"bulk deletes", codeNotImplemented}},
		"denies DeleteObjects":          {quirks{}, refuse("DELETES", 403, codeDenied, ""), []string{"bulk deletes", codeDenied, "s3:DeleteObject"}},
		"does not carry it out":         {quirks{keepDeleted: true}, nil, []string{"bulk deletes"}},
		"keeps versions":                {quirks{versioned: true}, nil, []string{"versions", "AllowVersioned"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, test.quirks)
			if test.set != nil {
				test.set(f)
			}
			b := newBackend(t, f.client(t), "carts", "app", nil)
			err := b.CreateStorage(t.Context())
			drivertest.WantKind(t, err, model.ErrUnsupported)
			for _, text := range append(test.says, "found", "needed") {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%v does not say %q", err, text)
				}
			}
			if keys := f.keys(); len(keys) > 0 && !test.quirks.keepDeleted {
				t.Errorf("left %q", keys)
			}
			checks, err := b.Check(t.Context())
			if err != nil || checks.Err() == nil {
				t.Errorf("Check: %+v, %v", checks, err)
			}
		})
	}
}

// TestCheck looks at servers that are as they must be, with and without
// conditions on deletes.
func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		quirks quirks
		level  driver.CheckLevel
	}{
		"conditional deletes":       {quirks{}, driver.CheckRight},
		"deletes without condition": {quirks{ignoreIfMatch: true}, driver.CheckWarning},
		"raw keys":                  {quirks{rawKeys: true}, driver.CheckRight},
		"hollow listings":           {quirks{hollow: true}, driver.CheckRight},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, test.quirks)
			b := newBackend(t, f.client(t), "carts", "app", nil)
			checks, err := b.Check(t.Context())
			if err != nil || checks.Err() != nil {
				t.Fatalf("%+v, %v", checks, err)
			}
			got := levels(checks)
			want := map[string]driver.CheckLevel{
				"versions": 0, "lifecycle rules": 0, "conditional creates": 0, "conditional updates": 0, "reads": 0, "listings": 0, "bulk deletes": 0,
				"conditional deletes": test.level, "clock": 0, "prefix": 0,
			}
			if test.level != driver.CheckRight {
				want["tombstone rule"] = test.level
			}
			for name, level := range want {
				if has, ok := got[name]; !ok || has != level {
					t.Errorf("%s: %v, %v; want %v", name, has, ok, level)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%v, want %v", got, want)
			}
			if n := len(f.requests()); n > 75 || len(f.keys()) > 0 {
				t.Errorf("%d requests, left %q", n, f.keys())
			}
			for _, c := range checks {
				if c.Seen == "" || c.Need == "" || (c.Fix == "") != (c.Level == driver.CheckRight) {
					t.Errorf("%+v is not complete", c)
				}
			}
			if err := b.CreateStorage(t.Context()); err != nil {
				t.Fatal(err)
			}
			if deletes := b.mode.Load() == modeDeletes; deletes != (test.level == driver.CheckRight) {
				t.Errorf("removes by deletes: %v", deletes)
			}
		})
	}
}

// TestCheckOfTheServer looks at the server of the tests.
func TestCheckOfTheServer(t *testing.T) {
	b := open(t)
	before := len(objectsOf(t, b))
	checks, err := b.Check(t.Context())
	if err != nil || checks.Err() != nil {
		t.Fatalf("%+v, %v", checks, err)
	}
	if after := len(objectsOf(t, b)); after != before {
		t.Errorf("%d objects became %d", before, after)
	}
	for _, c := range checks {
		t.Logf("%s: %v: %s", c.Name, c.Level, c.Seen)
	}
}

// TestAWSIsTestedOnce creates a store again: on AWS without tests, unless the
// marker is of an older version, and elsewhere with them.
func TestAWSIsTestedOnce(t *testing.T) {
	for _, test := range []struct {
		server, marker string
		again          bool
	}{
		{awsName, "", false},
		{awsName, `{"format":1,"server":"AmazonS3","conditionalDeletes":true}`, true},
		{"SeaweedFS", "", true},
	} {
		f := newFake(t, quirks{name: test.server})
		b := f.open(t, nil)
		if test.marker != "" {
			f.mu.Lock()
			f.objects["carts/app/"+markerName] = []byte(test.marker)
			f.mu.Unlock()
		}
		f.requests()
		if err := b.CreateStorage(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ops := f.requests(); (count(ops, "PUT p") > 0) != test.again {
			t.Errorf("%+v: sent %v", test, ops)
		}
	}
}

// TestTripsOfCreateStorage has a new store, and one that AWS has passed.
func TestTripsOfCreateStorage(t *testing.T) {
	f := newFake(t, quirks{name: awsName})
	b := f.open(t, nil)
	if n := len(f.requests()); n > 80 {
		t.Errorf("%d requests, want at most 80", n)
	}
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ops := f.requests(); len(ops) > 4 {
		t.Errorf("again: %v, want at most 4 requests", ops)
	}
}

// TestBucketsInTheMaking has another node that creates the bucket at the same
// time, and an account that deletes it: S3 answers with 409 OperationAborted.
func TestBucketsInTheMaking(t *testing.T) {
	for name, refusals := range map[string]int{"another node": 3, "another account": writeAttempts} {
		f := newFake(t, quirks{})
		n, made := 0, false
		f.answers(func(op, _ string) *answer {
			switch {
			case op == "GET "+markerName && !made:
				return &answer{status: 404, code: codeNoBucket}
			case op == "PUT bucket" && n < refusals:
				n++
				return &answer{status: 409, code: codeAborted}
			case op == "PUT bucket":
				made = true
			}
			return nil
		})
		err := newBackend(t, f.client(t), "carts", "app", nil).CreateStorage(t.Context())
		if made && err != nil || !made && (model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), "minutes")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// dropping is a client that keeps the options of writes to itself.
type dropping struct{ *awss3.Client }

func (d dropping) PutObject(ctx context.Context, in *awss3.PutObjectInput, _ ...func(*awss3.Options)) (*awss3.PutObjectOutput, error) {
	return d.Client.PutObject(ctx, in)
}

// deaf is a client that keeps the options of reads to itself.
type deaf struct{ *awss3.Client }

func (d deaf) ListObjectsV2(ctx context.Context, in *awss3.ListObjectsV2Input, _ ...func(*awss3.Options)) (*awss3.ListObjectsV2Output, error) {
	return d.Client.ListObjectsV2(ctx, in)
}

// passing is a client that counts.
type passing struct {
	API
	puts *int
}

func (p passing) GetBucketVersioning(ctx context.Context, in *awss3.GetBucketVersioningInput, opts ...func(*awss3.Options)) (*awss3.GetBucketVersioningOutput, error) {
	*p.puts++
	return p.API.GetBucketVersioning(ctx, in, opts...)
}

// TestWrappedClients has a client that passes options on, and one that does not:
// it could send a write twice.
func TestWrappedClients(t *testing.T) {
	f := newFake(t, quirks{})
	for _, c := range []API{dropping{f.client(t)}, deaf{f.client(t)}} {
		err := newBackend(t, c, "carts", "app", nil).CreateStorage(t.Context())
		drivertest.WantKind(t, err, model.ErrUnsupported)
		if !strings.Contains(err.Error(), errOptionsDropped.Error()) {
			t.Errorf("%v", err)
		}
	}
	n := 0
	b := newBackend(t, passing{f.client(t), &n}, "carts", "app", nil)
	if err := b.CreateStorage(t.Context()); err != nil || n != 1 {
		t.Fatalf("%v, %d", err, n)
	}
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Hour))
	if plan := b.StoragePlan(); strings.Contains(plan, "LocationConstraint") {
		t.Errorf("the plan has a region that the client does not show: %s", plan)
	}
	if _, err := New((*awss3.Client)(nil), "carts", "app", nil); model.Kind(err) != model.ErrInvalid {
		t.Errorf("a nil client: %v", err)
	}
}

// TestTheWitnessIsRemovedFirst: a DeleteStorage of another node removes the test
// objects in the order of a listing.
func TestTheWitnessIsRemovedFirst(t *testing.T) {
	p := &probe{stamp: newStamp().String()}
	for n := range witness {
		if !isProbe(p.name(n)) || !isProbe(p.name(witness)) || p.name(witness) >= p.name(n) {
			t.Errorf("the witness %q is not a test object before %q", p.name(witness), p.name(n))
		}
	}
}
