package memory

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// order returns the ids of a listing in its order.
func order(t *testing.T, b *Backend, label, value string) []string {
	t.Helper()
	p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Label: label, Value: value, Limit: 1000})
	if err != nil || p.Next != "" {
		t.Fatal(err, p.Next)
	}
	var ids []string
	for _, r := range p.Records {
		ids = append(ids, r.ID)
	}
	return ids
}

// TestWritesKeepTheirPlace checks that a write moves a record only in listings
// by a label whose value it changes.
func TestWritesKeepTheirPlace(t *testing.T) {
	b, err := New(nil, "x", &Options{Labels: []string{"owner", "state", "tenant"}})
	if err != nil {
		t.Fatal(err)
	}
	record := func(i int, labels map[string]string) model.Record {
		r := drivertest.Record(fmt.Sprint("r", i), "", time.Hour)
		r.Labels = labels
		return r
	}
	const n = 300 // several in each shard
	for i := range n {
		drivertest.Seed(t, b, record(i, map[string]string{"owner": "ann", "state": "new"}))
	}
	all, owned := order(t, b, "", ""), order(t, b, "owner", "ann")
	write := func(c driver.Condition, k driver.Keep, labels map[string]string) func(i int) error {
		return func(i int) error {
			_, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: record(i, labels), Cond: c, Keep: k})
			return err
		}
	}
	later := drivertest.Now.Add(2 * time.Hour)
	for _, tt := range []struct {
		name string
		do   func(i int) error
	}{
		{"update of another label", write(driver.IfPresent, driver.Keep{}, map[string]string{"owner": "ann", "state": "done"})},
		{"update that adds a label", write(driver.IfPresent, driver.Keep{}, map[string]string{"owner": "ann", "state": "done", "tenant": "t"})},
		{"update that drops labels", write(driver.IfPresent, driver.Keep{}, map[string]string{"owner": "ann"})},
		{"update that keeps labels", write(driver.IfPresent, driver.Keep{Labels: true}, nil)},
		{"upsert", write(driver.IfAny, driver.Keep{}, map[string]string{"owner": "ann", "tenant": "u"})},
		{"touch", func(i int) error {
			_, err := b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: fmt.Sprint("r", i), Mode: driver.TouchSet, ExpiresAt: later})
			return err
		}},
	} {
		for i := range n {
			if err := tt.do(n - 1 - i); err != nil {
				t.Fatal(tt.name, err)
			}
		}
		if got := order(t, b, "owner", "ann"); !slices.Equal(got, owned) {
			t.Errorf("%s changed the order by owner", tt.name)
		}
		if got := order(t, b, "", ""); !slices.Equal(got, all) {
			t.Errorf("%s changed the order of all", tt.name)
		}
	}
	if got := order(t, b, "state", "new"); len(got) != 0 {
		t.Errorf("%d records are listed by a label that they lost", len(got))
	}
}

// TestListingEndsWhileOtherLabelsChange updates each record that it lists.
func TestListingEndsWhileOtherLabelsChange(t *testing.T) {
	b, err := New(nil, "x", &Options{Labels: []string{"owner", "state"}})
	if err != nil {
		t.Fatal(err)
	}
	record := func(id, state string) model.Record {
		r := drivertest.Record(id, "", time.Hour)
		r.Labels = map[string]string{"owner": "ann", "state": state}
		return r
	}
	const n = 200
	for i := range n {
		drivertest.Seed(t, b, record(fmt.Sprint("r", i), "new"))
	}
	seen := map[string]int{}
	q := driver.Query{Label: "owner", Value: "ann", Limit: 1}
	for pages := 0; ; pages++ {
		if pages > 2*n {
			t.Fatal("the listing does not end")
		}
		p, err := b.Page(t.Context(), drivertest.Now, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			seen[r.ID]++
			drivertest.Seed(t, b, record(r.ID, fmt.Sprint("state-", pages)))
		}
		if q.After = p.Next; p.Next == "" {
			break
		}
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%q was listed %d times", id, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d records were listed", len(seen), n)
	}
}

// TestTouchAtARevision checks the condition of a touch with each mode.
func TestTouchAtARevision(t *testing.T) {
	at := drivertest.Now.Add(2 * time.Hour)
	for _, touch := range []driver.Touch{
		{Mode: driver.TouchSet, ExpiresAt: at},
		{Mode: driver.TouchExtend, ExpiresAt: at},
		{Mode: driver.TouchExtend, ExpiresAt: drivertest.Now.Add(time.Minute)}, // changes nothing
		{Mode: driver.TouchClear},
	} {
		b := open(t)
		cur := drivertest.Put(t, b, drivertest.Record("a", "ann", time.Hour))
		drivertest.Seed(t, b, drivertest.Expired("gone", ""))
		touch.ID, touch.Cond, touch.Known.Revision = "a", driver.IfMatch, model.NewRevision()
		_, err := b.Touch(t.Context(), drivertest.Now, touch)
		drivertest.WantKind(t, err, model.ErrConflict)
		drivertest.Holds(t, b, "a", cur.Revision, cur.ExpiresAt)
		for _, id := range []string{"gone", "never"} {
			touch.ID = id
			_, err = b.Touch(t.Context(), drivertest.Now, touch)
			drivertest.WantKind(t, err, model.ErrNotFound)
		}
		touch.ID, touch.Known.Revision = "a", cur.Revision
		if _, err = b.Touch(t.Context(), drivertest.Now, touch); err != nil {
			t.Error(err)
		}
		drivertest.Holds(t, b, "a", cur.Revision, touch.Result(cur.ExpiresAt))
	}
}
