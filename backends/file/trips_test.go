package file

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// TestFsyncs pins the number of fsyncs of each operation, in a store whose
// folders exist.
func TestFsyncs(t *testing.T) {
	ctx := t.Context()
	full := newRecord("full", "ann", inHour)
	touch := func(at time.Time) func(b *Backend) error {
		return func(b *Backend) error {
			return onlyErr(b.Touch(ctx, now, driver.Touch{ID: "full", Mode: driver.TouchSet, ExpiresAt: at}))
		}
	}
	write := func(c driver.Condition, id, principal string, expires time.Time) func(b *Backend) error {
		return func(b *Backend) error {
			return onlyErr(b.Write(ctx, now, driver.Write{Record: newRecord(id, principal, expires), Cond: c}))
		}
	}
	tests := []struct {
		name string
		do   func(b *Backend) error
		want int
	}{
		{"get", func(b *Backend) error { return onlyErr(b.Get(ctx, now, driver.Get{ID: "full"})) }, 0},
		{"create without expiry and label", write(driver.IfAbsent, "new", "", time.Time{}), 2},
		{"create, label and minute in use", write(driver.IfAbsent, "new", "ann", inHour), 4},
		{"create, new label value", write(driver.IfAbsent, "new", "carol", inHour), 4 + 2},
		{"create, new minute", write(driver.IfAbsent, "new", "ann", inHour.Add(time.Minute)), 4 + 1},
		{"create, new day", write(driver.IfAbsent, "new", "ann", inDay.Add(24*time.Hour)), 4 + 2},
		{"update", write(driver.IfPresent, "full", "ann", inHour), 2},
		{"update of the label", write(driver.IfPresent, "full", "bob", inHour), 3},
		{"touch within the minute", touch(inHour.Add(time.Second)), 2},
		{"touch into another minute in use", touch(inDay), 3},
		{"touch that changes nothing", touch(inHour), 0},
		{"delete", func(b *Backend) error { return remove(ctx, b, "full") }, 1},
		{"sweep of one", func(b *Backend) error {
			return onlyErr(b.DeleteExpired(ctx, driver.Sweep{Before: inHour, Limit: 1}))
		}, 1},
		{"page", func(b *Backend) error { return onlyErr(b.Page(ctx, now, driver.Query{Limit: 10})) }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, how := range []string{"files", "log", "NoSync"} {
				power := disktest.NewPower()
				power.NoWhole = how == "files"
				b, s := onPower(t, power, &Options{NoSync: how == "NoSync"})
				must(t, b.CreateStorage(ctx))
				for _, r := range []model.Record{newRecord("plain", "", time.Time{}), full, newRecord("other", "bob", inDay)} {
					create(t, b, r)
				}
				s.Take()
				must(t, tt.do(b))
				want := map[string]int{"files": tt.want, "log": min(1, tt.want)}[how]
				if c := s.Take(); c.Calls["fsync"] != want {
					t.Errorf("%s: %d fsyncs, want %d, among %v", how, c.Calls["fsync"], want, c.Calls)
				}
			}
		})
	}
}

// TestSweepSyncsALockOnce sweeps records of four shards that have one lock. Their
// removals are one step of the log.
func TestSweepSyncsALockOnce(t *testing.T) {
	for noWhole, want := range map[bool]int{false: 1, true: 4} {
		power := disktest.NewPower()
		power.NoWhole = noWhole
		b, s := onPower(t, power, nil)
		must(t, b.CreateStorage(t.Context()))
		for _, id := range sameStripe(4) {
			create(t, b, newRecord(id, "ann", inHour))
		}
		s.Take()
		sweeps(t, b, inHour, 4)
		if n := s.Take().Calls["fsync"]; n != want {
			t.Errorf("%d fsyncs, want %d; without a log: %v", n, want, noWhole)
		}
	}
}

// TestSweepCost checks that a sweep reads only what is due.
func TestSweepCost(t *testing.T) {
	b, s := spied(t, memoryDir(t), &Options{NoSync: true})
	for i := range 300 {
		create(t, b, newRecord(fmt.Sprintf("late-%d", i), "ann", inDay.Add(time.Duration(i)*time.Second)))
	}
	for i := range 10 {
		create(t, b, newRecord(fmt.Sprintf("due-%d", i), "ann", inHour))
	}
	s.Take()
	sweeps(t, b, inHour.Add(time.Hour), 10)
	if c := s.Take().Calls; c["read"] != 20 || c["names"] > 4 {
		t.Errorf("%d reads of files and %d of folders for 10 due records of 310; want 20 and at most 4", c["read"], c["names"])
	}
}

// TestListingCost checks that a listing by label reads only its own records.
func TestListingCost(t *testing.T) {
	b, s := spied(t, memoryDir(t), &Options{NoSync: true})
	for i := range 300 {
		create(t, b, newRecord(fmt.Sprintf("many-%d", i), "many", time.Time{}))
	}
	for i := range 3 {
		create(t, b, newRecord(fmt.Sprintf("few-%d", i), "few", time.Time{}))
	}
	s.Take()
	n, err := b.Count(t.Context(), now, driver.Query{Label: "principal", Value: "few"})
	if c := s.Take().Calls; err != nil || n != 3 || c["read"] != 3 || c["names"] != 1 {
		t.Errorf("a count of %d by label, %v: %v", n, err, c)
	}
	p, err := b.Page(t.Context(), now, driver.Query{Limit: 1})
	if c := s.Take().Calls; err != nil || len(p.Records) != 1 || c["read"] != 1 || c["names"] > 3 {
		t.Errorf("a page of %d, %v: %v", len(p.Records), err, c)
	}
}

// TestBatchesSyncTogether checks that several writes of a batch run at the same
// time, at most batchWriters of them. The file system can then combine their
// syncs.
func TestBatchesSyncTogether(t *testing.T) {
	b, s := spied(t, memoryDir(t), nil)
	must(t, b.CreateStorage(t.Context()))
	var ops []driver.BatchOp
	for i := range 5 * batchWriters {
		ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: newRecord(fmt.Sprint(i), "ann", inHour), Cond: driver.IfAbsent}})
	}
	var mu sync.Mutex
	running, most := 0, 0
	together := make(chan struct{})
	closeTogether := sync.OnceFunc(func() { close(together) })
	s.Set(func(op, _ string) error {
		switch op {
		case "create":
			mu.Lock()
			running++
			most = max(most, running)
			if most == 2 {
				closeTogether()
			}
			mu.Unlock()
		case "write":
			select {
			case <-together:
			case <-time.After(time.Minute):
				t.Error("each write waits for the previous one")
			}
		case "rename":
			mu.Lock()
			running--
			mu.Unlock()
		}
		return nil
	})
	for i, o := range b.WriteMany(t.Context(), now, ops) {
		if o.Err != nil || o.Record.ID != ops[i].Write.Record.ID {
			t.Errorf("operation %d: %v, %v", i, o.Record, o.Err)
		}
	}
	if most < 2 || most > batchWriters {
		t.Errorf("%d writes at the same time, want 2 to %d", most, batchWriters)
	}
}

const (
	due     = 1_000
	bearers = 100 // of each principal
)

// TestCostAmongHundredThousand checks that the names and files that a call reads
// grow with its result and not with the store.
func TestCostAmongHundredThousand(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	many := 100_000
	if disktest.Race {
		many = 20_000
		t.Logf("with the race detector %d records instead of 100,000", many)
	}
	// A disk in memory is faster and has the same counts.
	b, s := onPower(t, disktest.NewPower(), &Options{NoSync: true})
	must(t, b.CreateStorage(ctx))
	fill := func(from, to int) disktest.Count {
		s.Take()
		for i := from; i < to; i++ {
			at := inDay.Add(time.Duration(i%60) * time.Minute)
			if i%(many/due) == 0 {
				at = now.Add(time.Duration(1+i/(many/due)%10) * time.Minute)
			}
			create(t, b, newRecord(fmt.Sprint("id", i), fmt.Sprint("p", i%(many/bearers)), at))
		}
		return s.Take()
	}
	fill(0, many/2) // from here on all folders exist
	if early, late := fill(many/2, many/2+500), fill(many/2+500, many); !maps.Equal(scaled(early.Calls, many/2-500), scaled(late.Calls, 500)) || late.Entries != 0 {
		t.Errorf("the first creates take %v, the later ones %v", early, late)
	}

	n, err := b.Count(ctx, now, driver.Query{Label: "principal", Value: "p7"})
	c := s.Take()
	if err != nil || n != bearers || c.Calls["read"] != bearers || c.Entries != bearers {
		t.Errorf("a count of %d by label, %v: %v", n, err, c)
	}

	const perPage = 30
	found, pages := listAll(t, b, driver.Query{Label: "principal", Value: "p7", Limit: perPage})
	c = s.Take()
	if found != bearers || pages != 4 || c.Calls["read"] != bearers || c.Entries != bearers {
		t.Errorf("%d bearers on %d pages: %v", found, pages, c)
	}

	first, err := b.Page(ctx, now, driver.Query{Limit: perPage})
	c = s.Take()
	if err != nil || len(first.Records) != perPage || c.Calls["read"] != perPage || c.Entries > shards+2*many/shards {
		t.Errorf("a page of %d: %v, %v", len(first.Records), err, c)
	}
	found, pages = listAll(t, b, driver.Query{Limit: 1000})
	c = s.Take()
	if found != many || pages > many/1000+1 || c.Calls["read"] != many || c.Entries > many+pages*shards {
		t.Errorf("%d records on %d pages: %v", found, pages, c)
	}

	swept, err := b.DeleteExpired(ctx, driver.Sweep{Before: now.Add(time.Hour), Limit: 2 * due})
	c = s.Take()
	// A sweep reads each record twice: before its announcement and under its
	// lock. It reads each minute's names once.
	if err != nil || swept != (driver.Swept{Removed: due}) || c.Calls["read"] != 2*due || c.Entries > due+100 || c.Calls["names"] > 20 {
		t.Errorf("a sweep: %+v, %v, %v", swept, err, c)
	}
	swept, err = b.DeleteExpired(ctx, driver.Sweep{Before: now.Add(time.Hour), Limit: 2 * due})
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

// listAll returns the number of records and of pages of a listing.
func listAll(t *testing.T, b *Backend, q driver.Query) (found, pages int) {
	t.Helper()
	for {
		p, err := b.Page(t.Context(), now, q)
		must(t, err)
		found, pages = found+len(p.Records), pages+1
		if p.Next == "" {
			return found, pages
		}
		q.After = p.Next
	}
}
