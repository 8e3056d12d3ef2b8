package s3

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

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
