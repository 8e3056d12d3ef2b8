package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// objectRefusals are answers of S3 about one object that it keeps and does not
// give: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and
// https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html for keys.
var objectRefusals = map[string]int{
	"InvalidObjectState": 403, "KMS.DisabledException": 400, "KMS.KMSInvalidStateException": 400, codeDenied: 403, "InvalidRequest": 400,
}

// TestOneRefusedObject has one record that the server does not give. Listings
// name it and go on, and a sweep removes the others.
func TestOneRefusedObject(t *testing.T) {
	for code, status := range objectRefusals {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			b, f := fakeStore(t, nil)
			bad := drivertest.Record("bad", "ann", time.Minute) // due before the others
			drivertest.Seed(t, b, bad)
			for i := range 3 {
				drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("good", i), "ann", time.Hour))
			}
			f.refuses("GET r", "/r/i-bad", status, code)
			for name, q := range map[string]driver.Query{"all": {Limit: 10}, "ids": {Limit: 10, KeysOnly: true}, "one at a time": {Limit: 1}, "label": {Limit: 10, Label: "principal", Value: "ann"}} {
				var ids, corrupt []string
				for {
					p, err := b.Page(t.Context(), drivertest.Now, q)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					corrupt = append(corrupt, p.Corrupt...)
					for _, r := range p.Records {
						ids = append(ids, r.ID)
					}
					if q.After = p.Next; q.After == "" {
						break
					}
				}
				wantIDs(t, ids, "good0", "good1", "good2")
				wantIDs(t, corrupt, "bad")
			}
			wantCount(t, b, drivertest.Now, driver.Query{Label: "principal", Value: "ann"}, 3)
			_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "bad"})
			drivertest.WantKind(t, err, model.ErrUnavailable)
			swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(2 * time.Hour), Limit: 10})
			drivertest.WantKind(t, err, model.ErrUnavailable)
			if swept.Removed != 3 || !strings.Contains(err.Error(), code) {
				t.Errorf("swept %+v, %v", swept, err)
			}
			f.answers(nil)
			sweep(t, b, 2*time.Hour, 1)
		})
	}
}

// TestAllRefused has no permission to read any record, and a server that has too
// much to do: that is no matter of one object.
func TestAllRefused(t *testing.T) {
	for code, status := range map[string]int{codeDenied: 403, "ExpiredToken": 400, "SlowDown": 503} {
		b, f := fakeStore(t, nil)
		drivertest.Seed(t, b, drivertest.Record("a", "ann", time.Minute), drivertest.Record("b", "ann", time.Minute))
		f.refuses("GET r", "/r/", status, code)
		p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Limit: 10})
		drivertest.WantKind(t, err, model.ErrUnavailable)
		if len(p.Corrupt) > 0 {
			t.Errorf("%s: corrupt are %q", code, p.Corrupt)
		}
		swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 10})
		drivertest.WantKind(t, err, model.ErrUnavailable)
		if swept.Removed > 0 {
			t.Errorf("%s: swept %+v", code, swept)
		}
	}
}

// TestRemovalsRefused has a server that does not remove one record: Object Lock
// answers so. The sweep removes the others.
func TestRemovalsRefused(t *testing.T) {
	b, f := fakeStore(t, nil)
	drivertest.Seed(t, b, drivertest.Record("locked", "ann", time.Minute))
	for i := range 3 {
		drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("free", i), "ann", time.Hour))
	}
	f.refuses("DELETE r", "/r/i-locked", 403, codeDenied)
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(2 * time.Hour), Limit: 10})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if swept.Removed != 3 || swept.Unknown != 0 {
		t.Errorf("swept %+v, %v", swept, err)
	}
}

// TestSweepsEndAfterManyRefusals has a policy that denies every removal. The
// sweep does not go through the whole index.
func TestSweepsEndAfterManyRefusals(t *testing.T) {
	b, f := fakeStore(t, &Options{Labels: []string{}})
	const n = 2 * maxAside
	f.plant(b, n)
	f.refuses("DELETE r", "/r/", 403, codeDenied)
	f.requests()
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: n})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if tried := count(f.requests(), "DELETE r"); swept.Removed > 0 || tried <= maxAside || tried > maxAside+sweepMost {
		t.Errorf("swept %+v after %d tries", swept, tried)
	}
}

// TestEntriesThatStay has a policy without the permission for DeleteObjects, and
// a server that refuses single objects of it. The sweep says so beside its
// counts.
func TestEntriesThatStay(t *testing.T) {
	for name, deny := range map[string]func(f *fake){
		"the request": func(f *fake) { f.refuses("DELETES", "", 403, codeDenied) },
		"an object": func(f *fake) {
			f.answers(func(op, _ string) *answer {
				if op != "DELETES" {
					return nil
				}
				return &answer{status: 200, body: "<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code></Error></DeleteResult>"}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, f := fakeStore(t, nil)
			for i := range 50 {
				drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("id", i), "ann", time.Minute))
			}
			deny(f)
			swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 100})
			drivertest.WantKind(t, err, model.ErrUnavailable)
			if swept.Removed != 50 || !strings.Contains(err.Error(), codeDenied) {
				t.Errorf("swept %+v, %v", swept, err)
			}
		})
	}
}

// TestMovesThatFail has a server that refuses the new entry of a record that was
// extended. The sweep says so and keeps the old entry.
func TestMovesThatFail(t *testing.T) {
	b, f := fakeStore(t, nil)
	drivertest.Seed(t, b, drivertest.Record("id", "ann", time.Minute))
	_, err := b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: "id", Mode: driver.TouchSet, ExpiresAt: drivertest.Now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	f.refuses("PUT x", "", 403, codeDenied)
	before := f.keys()
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(2 * time.Minute), Limit: 10})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if wantIDs(t, f.keys(), before...); swept.Removed != 0 {
		t.Errorf("swept %+v", swept)
	}
}

// TestUnknownBesideRefused loses the answer of one removal and refuses another:
// the error is ErrUnknown.
func TestUnknownBesideRefused(t *testing.T) {
	b, f := fakeStore(t, nil)
	drivertest.Seed(t, b, drivertest.Record("a", "", time.Minute), drivertest.Record("b", "", time.Minute))
	f.answers(func(op, key string) *answer {
		switch {
		case op != "DELETE r":
			return nil
		case strings.HasSuffix(key, "i-a"):
			return &answer{}
		}
		return &answer{status: 403, code: codeDenied}
	})
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: drivertest.Now.Add(time.Hour), Limit: 10})
	if drivertest.WantKind(t, err, model.ErrUnknown); swept.Unknown != 1 {
		t.Errorf("swept %+v", swept)
	}
}

// TestLateWrites has so little time for the record's write that it gives up by
// itself. The caller's context has not ended, so that is ErrUnavailable.
func TestLateWrites(t *testing.T) {
	b, _ := fakeStore(t, nil)
	c := b.newChange(drivertest.Now, b.waited(), "id")
	c.deadline = time.Now().Add(-time.Second)
	_, _, err := c.store(t.Context(), &stored{}, &head{id: "id", rev: model.NewRevision()}, nil, []byte("v"), precondition{absent: true})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
