package file

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// TestFsyncs pins how many fsyncs each operation takes, in a store whose
// folders exist.
func TestFsyncs(t *testing.T) {
	ctx := context.Background()
	plain := newRecord("plain", `1`, "", time.Time{})
	full := newRecord("full", `1`, "ann", inHour)
	touch := func(at time.Time) func(b *Backend) error {
		return func(b *Backend) error {
			_, err := b.Touch(ctx, testNow, expiry.Touch{ID: "full", Mode: expiry.Set, ExpiresAt: at})
			return err
		}
	}
	write := func(c model.Cond, r model.Record) func(b *Backend) error {
		return func(b *Backend) error {
			r.Rev = model.NewRevision()
			_, err := b.Write(ctx, testNow, expiry.Write{Record: r, Cond: c})
			return err
		}
	}
	relabelled := full
	relabelled.Labels = map[string]string{defaultLabel: "bob"}
	tests := []struct {
		name string
		do   func(b *Backend) error
		want int
	}{
		{"get", func(b *Backend) error { _, err := b.Get(ctx, testNow, "full"); return err }, 0},
		{"create without expiry and label", write(model.Absent, newRecord("new", `1`, "", time.Time{})), 2},
		{"create, label and minute in use", write(model.Absent, newRecord("new", `1`, "ann", inHour)), 4},
		{"create, new label value", write(model.Absent, newRecord("new", `1`, "carol", inHour)), 4 + 2},
		{"create, new minute", write(model.Absent, newRecord("new", `1`, "ann", inHour.Add(time.Minute))), 4 + 1},
		{"create, new day", write(model.Absent, newRecord("new", `1`, "ann", inDay.Add(24*time.Hour))), 4 + 2},
		{"update", write(model.Live, full), 2},
		{"update of the label", write(model.Live, relabelled), 3},
		{"touch within the minute", touch(inHour.Add(time.Second)), 2},
		{"touch into another minute in use", touch(inDay), 3},
		{"touch that changes nothing", touch(inHour), 0},
		{"delete", func(b *Backend) error { return b.Delete(ctx, testNow, "full", model.Live, model.Record{}) }, 1},
		{"sweep of one", func(b *Backend) error { _, err := b.DeleteExpired(ctx, inHour, 1, nil); return err }, 1},
		{"page", func(b *Backend) error { _, err := b.Page(ctx, testNow, expiry.Query{Limit: 10}); return err }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, noSync := range []bool{false, true} {
				b, s := spied(t, t.TempDir(), &Options{NoSync: noSync})
				if err := b.CreateStorage(ctx); err != nil {
					t.Fatal(err)
				}
				mustWrite(t, b, model.Absent, plain)
				mustWrite(t, b, model.Absent, full)
				mustWrite(t, b, model.Absent, newRecord("other", `1`, "bob", inDay))
				n := 0
				s.set(func(op, path string) error {
					if op == "fsync" {
						n++
						t.Log(path)
					}
					return nil
				})
				if err := tt.do(b); err != nil {
					t.Fatal(err)
				}
				s.set(nil)
				if want := tt.want; noSync && n != 0 || !noSync && n != want {
					t.Errorf("%d fsyncs, want %d (none with NoSync: %v)", n, want, noSync)
				}
			}
		})
	}
}

// TestSweepCost checks that a sweep reads what is due and nothing else.
func TestSweepCost(t *testing.T) {
	b, s := spied(t, t.TempDir(), &Options{NoSync: true})
	for i := range 300 {
		mustWrite(t, b, model.Absent, newRecord(fmt.Sprintf("late-%d", i), `1`, "ann", inDay.Add(time.Duration(i)*time.Second)))
	}
	for i := range 10 {
		mustWrite(t, b, model.Absent, newRecord(fmt.Sprintf("due-%d", i), `1`, "ann", inHour))
	}
	reads, lists := 0, 0
	s.set(func(op, _ string) error {
		switch op {
		case "read":
			reads++
		case "names":
			lists++
		}
		return nil
	})
	n, err := b.DeleteExpired(context.Background(), inHour.Add(time.Hour), 100, nil)
	s.set(nil)
	if err != nil || n != (expiry.Swept{Removed: 10}) {
		t.Fatalf("%+v, %v", n, err)
	}
	if reads != 20 || lists > 4 {
		t.Errorf("%d reads and %d readings of folders for 10 due among 310", reads, lists)
	}
}

// TestListingCost checks that a listing by label reads its matches alone.
func TestListingCost(t *testing.T) {
	b, s := spied(t, t.TempDir(), &Options{NoSync: true})
	for i := range 300 {
		mustWrite(t, b, model.Absent, newRecord(fmt.Sprintf("many-%d", i), `1`, "many", time.Time{}))
	}
	for i := range 3 {
		mustWrite(t, b, model.Absent, newRecord(fmt.Sprintf("few-%d", i), `1`, "few", time.Time{}))
	}
	reads, lists := 0, 0
	s.set(func(op, _ string) error {
		switch op {
		case "read":
			reads++
		case "names":
			lists++
		}
		return nil
	})
	n, err := b.Count(context.Background(), testNow, defaultLabel, "few")
	if err != nil || n != 3 || reads != 3 || lists != 1 {
		t.Errorf("%d counted, %v, by %d reads and %d readings of folders", n, err, reads, lists)
	}
	reads, lists = 0, 0
	p, err := b.Page(context.Background(), testNow, expiry.Query{Limit: 1})
	if err != nil || len(p.Records) != 1 || reads != 1 || lists > 3 {
		t.Errorf("a page of one: %d records, %v, by %d reads and %d readings of folders", len(p.Records), err, reads, lists)
	}
	s.set(nil)
}
