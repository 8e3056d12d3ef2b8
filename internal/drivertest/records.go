// Package drivertest has what the tests of the backends share: records, tables
// of reads and writes, lost answers, ended contexts and refused URLs. What
// authors of other backends need too is in conformance/faultnet.
//
// A backend's tests open a backend behind a proxy of faultnet and hand both to
// the tables:
//
//	drivertest.LostWrites(t, drivertest.Lost{
//		Open: func(t testing.TB) (driver.ModelExpirySupport, drivertest.Wire) { … },
//		Faults: []faultnet.Fault{faultnet.LoseAnswer, faultnet.LoseRequest},
//	})
package drivertest

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/causes"
	"github.com/sojourn-go/sojourn/model"
)

// Now is the clock of the tests. It is far ahead of any server's own clock, so
// that no server removes a record meanwhile.
var Now = time.Date(2040, 1, 2, 3, 4, 5, 6e6, time.UTC)

var names atomic.Int64

// Name returns a store name that no other test uses on the same server.
func Name() string {
	return fmt.Sprintf("test-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), names.Add(1))
}

// Record returns a record with a new revision. An empty principal means no
// labels, a ttl of zero means that it never expires.
func Record(id, principal string, ttl time.Duration) model.Record {
	r := model.Record{ID: id, Revision: model.NewRevision(), Value: []byte(`{"of":"` + id + `"}`), Encoding: "json"}
	if principal != "" {
		r.Labels = map[string]string{"principal": principal}
	}
	if ttl != 0 {
		r.ExpiresAt = Now.Add(ttl)
	}
	return r
}

// Expired returns a record that has just expired.
func Expired(id, principal string) model.Record {
	r := Record(id, principal, 0)
	r.ExpiresAt = Now
	return r
}

// Seed stores records, whatever was there.
func Seed(t testing.TB, b driver.ModelExpirySupport, recs ...model.Record) {
	t.Helper()
	ops := make([]driver.BatchOp, len(recs))
	for i := range recs {
		ops[i].Write = &driver.Write{Record: recs[i], Cond: driver.IfAny}
	}
	for i, o := range driver.WriteMany(t.Context(), b, Now, ops) {
		if o.Err != nil {
			t.Fatalf("seed %q: %v", ops[i].ID(), o.Err)
		}
	}
}

// Put stores a record and returns it as Get does, with its server version.
func Put(t testing.TB, b driver.ModelExpirySupport, r model.Record) model.Record {
	t.Helper()
	Seed(t, b, r)
	return Get(t, b, r.ID)
}

// Get returns the live record with the id.
func Get(t testing.TB, b driver.ModelExpirySupport, id string) model.Record {
	t.Helper()
	r, err := b.Get(t.Context(), Now, driver.Get{ID: id})
	if err != nil {
		t.Fatalf("get %q: %v", id, err)
	}
	return r
}

// Holds fails the test unless the live record has the revision and expiry.
func Holds(t testing.TB, b driver.ModelExpirySupport, id string, rev model.Revision, expiresAt time.Time) {
	t.Helper()
	got, err := b.Get(t.Context(), Now, driver.Get{ID: id})
	if err != nil || got.Revision != rev || !got.ExpiresAt.Equal(expiresAt) {
		t.Errorf("%q is at revision %s and expires at %s, error %v; want %s and %s", id, got.Revision, got.ExpiresAt, err, rev, expiresAt)
	}
}

// Gone fails the test unless no live record has the id.
func Gone(t testing.TB, b driver.ModelExpirySupport, id string) {
	t.Helper()
	if _, err := b.Get(t.Context(), Now, driver.Get{ID: id}); !errors.Is(err, model.ErrNotFound) {
		t.Errorf("get %q: %v, want %v", id, err, model.ErrNotFound)
	}
}

// WantKind ends the test unless err has the kind and no other. A nil kind
// means no sentinel.
func WantKind(t testing.TB, err, kind error) {
	t.Helper()
	if got := model.Kind(err); got != kind {
		t.Fatalf("got an error of kind %v, want %v: %s", got, kind, Causes(err))
	}
}

// WantForeign ends the test unless err is ErrCorrupt and names what was found in
// the place of a store.
func WantForeign(t testing.TB, err error, found string) {
	t.Helper()
	WantKind(t, err, model.ErrCorrupt)
	if !strings.Contains(err.Error(), found) {
		t.Fatalf("%v does not name %s", err, found)
	}
}

// Apart runs do on a goroutine of its own, which may panic or end.
func Apart(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		do()
	}()
	<-done
}

// Causes returns the texts of an error and of all that it wraps, which messages
// of backends leave out.
func Causes(err error) string { return causes.Of(err) }

// ListsByBytes creates records with ids that other orders would mix. It reports
// an error unless listings of all and by label follow the bytes of the ids.
func ListsByBytes(t testing.TB, b driver.ModelExpirySupport) {
	t.Helper()
	ids := []string{"A", "B", "a", "a\x01", "aa", "b", "é", "\uffff", "\U0001f600"}
	for i := range ids {
		Seed(t, b, Record(ids[len(ids)-1-i], "ann", time.Hour))
	}
	for _, q := range []driver.Query{{Limit: 3}, {Limit: 3, Label: "principal", Value: "ann"}} {
		var got []string
		for {
			p, err := b.Page(t.Context(), Now, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range p.Records {
				got = append(got, r.ID)
			}
			if q.After = p.Next; p.Next == "" {
				break
			}
		}
		if !slices.Equal(got, ids) {
			t.Errorf("listed %q, want %q", got, ids)
		}
	}
}
