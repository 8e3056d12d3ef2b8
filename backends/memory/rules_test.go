package memory

import (
	"fmt"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestListingEndsWhileRecordsComeBack changes each record that it lists, in ways
// that must not bring it back into the listing.
func TestListingEndsWhileRecordsComeBack(t *testing.T) {
	write := func(t *testing.T, b *Backend, id, owner string) {
		t.Helper()
		drivertest.Seed(t, b, drivertest.Record(id, owner, time.Hour))
	}
	for name, change := range map[string]func(t *testing.T, b *Backend, id string){
		"label lost and regained": func(t *testing.T, b *Backend, id string) {
			t.Helper()
			write(t, b, id, "bob")
			write(t, b, id, "ann")
		},
		"deleted and created again": func(t *testing.T, b *Backend, id string) {
			t.Helper()
			if err := b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: id, Cond: driver.IfPresent}); err != nil {
				t.Fatal(err)
			}
			write(t, b, id, "ann")
		},
	} {
		for _, q := range []driver.Query{{Limit: 1}, {Limit: 3, Label: "principal", Value: "ann"}} {
			b := open(t)
			const n = 200
			for i := range n {
				write(t, b, fmt.Sprint("r", i), "ann")
			}
			seen := map[string]int{}
			for pages := 0; ; pages++ {
				if pages > n {
					t.Fatalf("%s: the listing by %q does not end", name, q.Label)
				}
				p, err := b.Page(t.Context(), drivertest.Now, q)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range p.Records {
					if seen[r.ID]++; seen[r.ID] > 1 {
						t.Fatalf("%s: %q is listed again by %q", name, r.ID, q.Label)
					}
					change(t, b, r.ID)
				}
				if q.After = p.Next; p.Next == "" {
					break
				}
			}
			if len(seen) != n {
				t.Errorf("%s: %d of %d records are listed by %q", name, len(seen), n, q.Label)
			}
		}
	}
}

// TestListingKeepsWhatRegainsItsLabel changes the label of records ahead of a
// listing, and back.
func TestListingKeepsWhatRegainsItsLabel(t *testing.T) {
	b := open(t)
	const n = 300
	for i := range n {
		drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("r", i), "ann", time.Hour))
	}
	want := order(t, b, "principal", "ann")
	q := driver.Query{Label: "principal", Value: "ann", Limit: 5}
	var got []string
	for {
		p, err := b.Page(t.Context(), drivertest.Now, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			got = append(got, r.ID)
		}
		if len(got) > n {
			t.Fatal("the listing repeats")
		}
		for _, owner := range []string{"bob", "ann"} {
			for i := range n {
				drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("r", i), owner, time.Hour))
			}
		}
		if q.After = p.Next; p.Next == "" {
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("listed %q, want %q", got, want)
	}
}

// TestTokenOfAnotherSpace checks that a token is of no use in another Space.
func TestTokenOfAnotherSpace(t *testing.T) {
	var zero Space // is empty, and usable
	q := driver.Query{Limit: 1}
	for i, space := range []*Space{&zero, NewSpace()} {
		b, err := New(space, "store", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			drivertest.Seed(t, b, drivertest.Record(fmt.Sprint("r", i), "", time.Hour))
		}
		p, err := b.Page(t.Context(), drivertest.Now, q)
		if i == 1 {
			drivertest.WantKind(t, err, model.ErrInvalid)
			continue
		}
		if q.After = p.Next; err != nil || p.Next == "" {
			t.Fatal(p.Next, err)
		}
		again, err := New(space, "store", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.Page(t.Context(), drivertest.Now, q); err != nil {
			t.Error(err)
		}
	}
}
