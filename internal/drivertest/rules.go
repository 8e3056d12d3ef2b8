package drivertest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// touchModes are a touch of each kind, and an extension that changes nothing.
func touchModes() map[string]driver.Touch {
	return map[string]driver.Touch{
		"set":               {Mode: driver.TouchSet, ExpiresAt: Now.Add(3 * time.Hour)},
		"set earlier":       {Mode: driver.TouchSet, ExpiresAt: Now.Add(time.Minute)},
		"extend":            {Mode: driver.TouchExtend, ExpiresAt: Now.Add(3 * time.Hour)},
		"extend to earlier": {Mode: driver.TouchExtend, ExpiresAt: Now.Add(time.Minute)},
		"clear":             {Mode: driver.TouchClear},
	}
}

// TouchesAtRevision checks touches at a revision (rule R93).
func TouchesAtRevision(t *testing.T, b driver.ModelExpirySupport) {
	t.Helper()
	for name, tc := range touchModes() {
		t.Run(name, func(t *testing.T) {
			tc.ID, tc.Cond = "at "+name, driver.IfMatch
			old := Put(t, b, Record(tc.ID, "ann", time.Hour))
			cur := Put(t, b, Record(tc.ID, "ann", time.Hour))
			for what, known := range map[string]model.Record{"a whole record": old, "a revision": {Revision: old.Revision}} {
				tc.Known = known
				_, err := b.Touch(t.Context(), Now, tc)
				if WantKind(t, err, model.ErrConflict); t.Failed() {
					t.Fatal(what)
				}
				Holds(t, b, tc.ID, cur.Revision, cur.ExpiresAt)
			}
			for _, known := range []model.Record{{Revision: cur.Revision}, cur} {
				Seed(t, b, cur)
				tc.Known = known
				got, err := b.Touch(t.Context(), Now, tc)
				if err != nil || got.Revision != cur.Revision || got.Value != nil || !got.ExpiresAt.Equal(tc.Result(cur.ExpiresAt)) {
					t.Fatalf("%+v, %v", got, err)
				}
				Holds(t, b, tc.ID, cur.Revision, tc.Result(cur.ExpiresAt))
			}
			Seed(t, b, Expired(tc.ID, "ann"))
			_, err := b.Touch(t.Context(), Now, tc)
			WantKind(t, err, model.ErrNotFound)
			tc.ID = "none"
			_, err = b.Touch(t.Context(), Now, tc)
			WantKind(t, err, model.ErrNotFound)
		})
	}
	t.Run("beside a write", func(t *testing.T) { touchesBesideWrites(t, b) })
}

// touchesBesideWrites has a touch and a compare-and-set at one revision at the
// same time: a touch that comes second changes nothing.
func touchesBesideWrites(t *testing.T, b driver.ModelExpirySupport) {
	t.Helper()
	for i := range 20 {
		cur := Put(t, b, Record("raced", "ann", time.Hour))
		next := Record("raced", "ann", time.Hour)
		later := Now.Add(time.Duration(i+2) * time.Hour)
		var touched, written error
		var both sync.WaitGroup
		both.Go(func() {
			_, touched = b.Touch(t.Context(), Now, driver.Touch{ID: "raced", Mode: driver.TouchSet, ExpiresAt: later, Cond: driver.IfMatch, Known: cur})
		})
		both.Go(func() {
			_, written = b.Write(t.Context(), Now, driver.Write{
				Record: next, Cond: driver.IfMatch, Known: cur, Keep: driver.Keep{Expiry: true, Labels: true},
			})
		})
		both.Wait()
		want := cur.ExpiresAt
		switch {
		case written != nil:
			t.Fatalf("the compare-and-set: %v", written)
		case touched == nil:
			want = later
		case !errors.Is(touched, model.ErrConflict):
			t.Fatalf("the touch: %v", touched)
		}
		if Holds(t, b, "raced", next.Revision, want); t.Failed() {
			return
		}
	}
}

// EntriesStay lists by the label owner, and all records, one record a page,
// while each record changes its label state (rule R95). The backend declares
// both labels.
func EntriesStay(t *testing.T, b driver.ModelExpirySupport) {
	t.Helper()
	const n = 6
	round := 0
	relabel := func() {
		round++
		recs := make([]model.Record, n)
		for i := range recs {
			recs[i] = Record(fmt.Sprint("r", i), "", time.Hour)
			recs[i].Labels = map[string]string{"owner": "ann", "state": fmt.Sprint(round)}
		}
		if round%2 == 0 { // the later ones first
			for i := range n / 2 {
				recs[i], recs[n-1-i] = recs[n-1-i], recs[i]
			}
		}
		for i := range recs {
			w := driver.Write{Record: recs[i], Cond: driver.IfPresent, Keep: driver.Keep{Expiry: true}}
			if round == 1 {
				w.Cond, w.Keep = driver.IfAny, driver.Keep{}
			}
			if _, err := b.Write(t.Context(), Now, w); err != nil {
				t.Fatal(err)
			}
		}
	}
	relabel()
	for name, q := range map[string]driver.Query{
		"by label": {Label: "owner", Value: "ann", Limit: 1}, "all": {Limit: 1},
	} {
		seen := map[string]int{}
		for range 10 * n {
			p, err := b.Page(t.Context(), Now, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range p.Records {
				seen[r.ID]++
			}
			if q.After = p.Next; q.After == "" {
				break
			}
			relabel()
		}
		if q.After != "" {
			t.Errorf("the listing %s does not end", name)
		}
		for i := range n {
			if got := seen[fmt.Sprint("r", i)]; got != 1 {
				t.Errorf("the listing %s has r%d %d times", name, i, got)
			}
		}
	}
}

// Stats checks the sizes that a Statter tells (rule R98). Corrupt is the id of
// a stored record that cannot be read.
func Stats(t *testing.T, b driver.ModelExpirySupport, corrupt string) {
	t.Helper()
	s, ok := b.(driver.Statter)
	if !ok {
		t.Fatal("the backend has no Stat")
	}
	for _, value := range []string{"", "text", "ünï€", "\xff\x00binary"} {
		rec := Record("sized", "ann", time.Hour)
		rec.Value = []byte(value)
		want := Put(t, b, rec)
		got, err := s.Stat(t.Context(), Now, driver.Get{ID: "sized"})
		if err != nil || got.Size != len(value) || got.Record.Value != nil {
			t.Fatalf("%q: %+v, %v", value, got, err)
		}
		head := want.Head()
		if fmt.Sprint(got.Record) != fmt.Sprint(head) {
			t.Fatalf("got %+v, want %+v", got.Record, head)
		}
	}
	Seed(t, b, Expired("over", ""))
	for id, kind := range map[string]error{"none": model.ErrNotFound, "over": model.ErrNotFound, corrupt: model.ErrCorrupt} {
		_, err := s.Stat(t.Context(), Now, driver.Get{ID: id})
		WantKind(t, err, kind)
	}
}
