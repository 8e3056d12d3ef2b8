package file

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/expiry/driver"
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
			_, err := b.Touch(ctx, testNow, driver.Touch{ID: "full", Mode: driver.TouchSet, ExpiresAt: at})
			return err
		}
	}
	write := func(c driver.Condition, r model.Record) func(b *Backend) error {
		return func(b *Backend) error {
			r.Revision = model.NewRevision()
			_, err := b.Write(ctx, testNow, driver.Write{Record: r, Cond: c})
			return err
		}
	}
	relabelled := full
	relabelled.Labels = map[string]string{"principal": "bob"}
	tests := []struct {
		name string
		do   func(b *Backend) error
		want int
	}{
		{"get", func(b *Backend) error { _, err := b.Get(ctx, testNow, driver.Get{ID: "full"}); return err }, 0},
		{"create without expiry and label", write(driver.IfAbsent, newRecord("new", `1`, "", time.Time{})), 2},
		{"create, label and minute in use", write(driver.IfAbsent, newRecord("new", `1`, "ann", inHour)), 4},
		{"create, new label value", write(driver.IfAbsent, newRecord("new", `1`, "carol", inHour)), 4 + 2},
		{"create, new minute", write(driver.IfAbsent, newRecord("new", `1`, "ann", inHour.Add(time.Minute))), 4 + 1},
		{"create, new day", write(driver.IfAbsent, newRecord("new", `1`, "ann", inDay.Add(24*time.Hour))), 4 + 2},
		{"update", write(driver.IfPresent, full), 2},
		{"update of the label", write(driver.IfPresent, relabelled), 3},
		{"touch within the minute", touch(inHour.Add(time.Second)), 2},
		{"touch into another minute in use", touch(inDay), 3},
		{"touch that changes nothing", touch(inHour), 0},
		{"delete", func(b *Backend) error {
			return b.Delete(ctx, testNow, driver.Delete{ID: "full", Cond: driver.IfPresent})
		}, 1},
		{"sweep of one", func(b *Backend) error {
			_, err := b.DeleteExpired(ctx, driver.Sweep{Before: inHour, Limit: 1})
			return err
		}, 1},
		{"page", func(b *Backend) error { _, err := b.Page(ctx, testNow, driver.Query{Limit: 10}); return err }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, noSync := range []bool{false, true} {
				b, s := spied(t, memoryDir(t), &Options{NoSync: noSync})
				if err := b.CreateStorage(ctx); err != nil {
					t.Fatal(err)
				}
				mustWrite(t, b, driver.IfAbsent, plain)
				mustWrite(t, b, driver.IfAbsent, full)
				mustWrite(t, b, driver.IfAbsent, newRecord("other", `1`, "bob", inDay))
				n := 0
				s.Set(func(op, path string) error {
					if op == "fsync" {
						n++
						t.Log(path)
					}
					return nil
				})
				if err := tt.do(b); err != nil {
					t.Fatal(err)
				}
				s.Set(nil)
				if want := tt.want; noSync && n != 0 || !noSync && n != want {
					t.Errorf("%d fsyncs, want %d (none with NoSync: %v)", n, want, noSync)
				}
			}
		})
	}
}

// TestSweepCost checks that a sweep reads what is due and nothing else.
func TestSweepCost(t *testing.T) {
	b, s := spied(t, memoryDir(t), &Options{NoSync: true})
	for i := range 300 {
		mustWrite(t, b, driver.IfAbsent, newRecord(fmt.Sprintf("late-%d", i), `1`, "ann", inDay.Add(time.Duration(i)*time.Second)))
	}
	for i := range 10 {
		mustWrite(t, b, driver.IfAbsent, newRecord(fmt.Sprintf("due-%d", i), `1`, "ann", inHour))
	}
	reads, lists := 0, 0
	s.Set(func(op, _ string) error {
		switch op {
		case "read":
			reads++
		case "names":
			lists++
		}
		return nil
	})
	n, err := b.DeleteExpired(context.Background(), driver.Sweep{Before: inHour.Add(time.Hour), Limit: 100})
	s.Set(nil)
	if err != nil || n != (driver.Swept{Removed: 10}) {
		t.Fatalf("%+v, %v", n, err)
	}
	if reads != 20 || lists > 4 {
		t.Errorf("%d reads and %d readings of folders for 10 due among 310", reads, lists)
	}
}

// TestListingCost checks that a listing by label reads its matches alone.
func TestListingCost(t *testing.T) {
	b, s := spied(t, memoryDir(t), &Options{NoSync: true})
	for i := range 300 {
		mustWrite(t, b, driver.IfAbsent, newRecord(fmt.Sprintf("many-%d", i), `1`, "many", time.Time{}))
	}
	for i := range 3 {
		mustWrite(t, b, driver.IfAbsent, newRecord(fmt.Sprintf("few-%d", i), `1`, "few", time.Time{}))
	}
	reads, lists := 0, 0
	s.Set(func(op, _ string) error {
		switch op {
		case "read":
			reads++
		case "names":
			lists++
		}
		return nil
	})
	n, err := b.Count(context.Background(), testNow, driver.Query{Label: "principal", Value: "few"})
	if err != nil || n != 3 || reads != 3 || lists != 1 {
		t.Errorf("%d counted, %v, by %d reads and %d readings of folders", n, err, reads, lists)
	}
	reads, lists = 0, 0
	p, err := b.Page(context.Background(), testNow, driver.Query{Limit: 1})
	if err != nil || len(p.Records) != 1 || reads != 1 || lists > 3 {
		t.Errorf("a page of one: %d records, %v, by %d reads and %d readings of folders", len(p.Records), err, reads, lists)
	}
	s.Set(nil)
}

// TestBatchesSyncTogether checks that writes of a batch are under way at the
// same time, so that their syncs can be one, and not too many of them.
func TestBatchesSyncTogether(t *testing.T) {
	b, s := spied(t, memoryDir(t), nil)
	must(t, 0, b.CreateStorage(t.Context()))
	var ops []driver.BatchOp
	for i := range 5 * batchWriters {
		ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: newRecord(fmt.Sprint(i), `1`, "ann", inHour), Cond: driver.IfAbsent}})
	}
	var mu sync.Mutex
	running, most := 0, 0
	together := make(chan struct{})
	s.Set(func(op, path string) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case op == "create":
			if running++; running == 2 && most < 2 {
				close(together)
			}
			most = max(most, running)
		case op == "rename":
			running--
		case op == "write" && most < 2:
			mu.Unlock()
			select {
			case <-together:
			case <-time.After(time.Minute):
				t.Error("each write waits for the one before")
			}
			mu.Lock()
		}
		return nil
	})
	for i, o := range b.WriteMany(t.Context(), testNow, ops) {
		if o.Err != nil || o.Record.ID != ops[i].Write.Record.ID {
			t.Errorf("%d: %v, %v", i, o.Record, o.Err)
		}
	}
	if most < 2 || most > batchWriters {
		t.Errorf("%d writes at the same time", most)
	}
}

const (
	due     = 1_000
	bearers = 100 // of each principal
)

// TestCostAmongHundredThousand checks that what a call reads is in proportion
// to what it finds, not to the store: names read from folders, files opened.
func TestCostAmongHundredThousand(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	many := 100_000
	if disktest.Race {
		many = 20_000
		t.Logf("with the race detector %d records, else 100,000", many)
	}
	// In memory for its speed; the counts are those of any disk.
	b, s := onPower(t, disktest.NewPower(), &Options{NoSync: true})
	must(t, 0, b.CreateStorage(ctx))
	create := func(from, to int) disktest.Count {
		s.Take()
		for i := from; i < to; i++ {
			at := inDay.Add(time.Duration(i%60) * time.Minute)
			if i%(many/due) == 0 {
				at = testNow.Add(time.Duration(1+i/(many/due)%10) * time.Minute)
			}
			mustWrite(t, b, driver.IfAbsent, newRecord(fmt.Sprint("id", i), `1`, fmt.Sprint("p", i%(many/bearers)), at))
		}
		return s.Take()
	}
	create(0, many/2) // all folders are there then
	if early, late := create(many/2, many/2+500), create(many/2+500, many); !maps.Equal(scaled(early.Calls, many/2-500), scaled(late.Calls, 500)) || late.Entries != 0 {
		t.Errorf("creates take %v, then %v", early, late)
	}

	n, err := b.Count(ctx, testNow, driver.Query{Label: "principal", Value: "p7"})
	c := s.Take()
	if err != nil || n != bearers || c.Calls["read"] != bearers || c.Entries != bearers {
		t.Errorf("a count of %d by label, %v: %v", n, err, c)
	}

	const perPage = 30
	found, pages := listAll(t, b, driver.Query{Label: "principal", Value: "p7", Limit: perPage})
	c = s.Take()
	if found != bearers || pages != 4 || c.Calls["read"] != bearers || c.Entries != pages*bearers {
		t.Errorf("%d bearers on %d pages: %v", found, pages, c)
	}

	first, err := b.Page(ctx, testNow, driver.Query{Limit: perPage})
	c = s.Take()
	if err != nil || len(first.Records) != perPage || c.Calls["read"] != perPage || c.Entries > shards+2*many/shards {
		t.Errorf("a page of %d: %v, %v", len(first.Records), err, c)
	}
	found, pages = listAll(t, b, driver.Query{Limit: 1000})
	c = s.Take()
	if found != many || pages > many/1000+1 || c.Calls["read"] != many || c.Entries > many+pages*(shards+2*many/shards) {
		t.Errorf("%d records on %d pages: %v", found, pages, c)
	}

	swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(time.Hour), Limit: 2 * due})
	c = s.Take()
	// Each is read before its announcement and again under its lock, and has two
	// entries; each minute's names are read once.
	if err != nil || swept != (driver.Swept{Removed: due}) || c.Calls["read"] != 2*due || c.Entries > due+100 || c.Calls["names"] > 20 {
		t.Errorf("a sweep: %+v, %v, %v", swept, err, c)
	}
	swept, err = b.DeleteExpired(ctx, driver.Sweep{Before: testNow.Add(time.Hour), Limit: 2 * due})
	c = s.Take()
	if err != nil || swept != (driver.Swept{}) || c.Calls["read"] != 0 || c.Entries > 100 {
		t.Errorf("a sweep with nothing due: %+v, %v, %v", swept, err, c)
	}
}

// scaled multiplies all counts.
func scaled(calls map[string]int, by int) map[string]int {
	out := map[string]int{}
	for op, n := range calls {
		out[op] = n * by
	}
	return out
}

// listAll returns how many records a listing has, on how many pages.
func listAll(t *testing.T, b *Backend, q driver.Query) (found, pages int) {
	t.Helper()
	for {
		p, err := b.Page(context.Background(), testNow, q)
		if err != nil {
			t.Fatal(err)
		}
		found, pages = found+len(p.Records), pages+1
		if p.Next == "" {
			return found, pages
		}
		q.After = p.Next
	}
}
