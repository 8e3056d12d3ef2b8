package file

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestListingIsLinear counts the names and files that a listing and a sweep in
// parts read for each record. A large store takes at most twice as much of
// either as a small one.
func TestListingIsLinear(t *testing.T) {
	t.Parallel()
	const small, page = 1000, 100
	large := 64_000
	if disktest.Race {
		large = 16_000
		t.Logf("with the race detector %d records instead of 64,000", large)
	}
	queries := map[string]driver.Query{
		"by label": {Label: "principal", Value: "ann", Limit: page, KeysOnly: true},
		"of all":   {Limit: page, KeysOnly: true},
	}
	cost := func(n int) map[string]float64 {
		b, s := onPower(t, disktest.NewPower(), &Options{NoSync: true})
		for i := range n {
			create(t, b, newRecord(fmt.Sprint("id", i), "ann", inHour))
		}
		out := map[string]float64{}
		note := func(what string) {
			c := s.Take()
			out[what+": names"] = float64(c.Entries) / float64(n)
			out[what+": files"] = float64(c.Calls["read"]+c.Calls["open"]+c.Calls["names"]) / float64(n)
		}
		s.Take()
		for name, q := range queries {
			if found, _ := listAll(t, b, q); found != n {
				t.Fatalf("%s: found %d of %d", name, found, n)
			}
			note(name)
		}
		for more, removed := true, 0; more; {
			got, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: inHour, Limit: page})
			must(t, err)
			if removed, more = removed+got.Removed, got.More; !more && removed != n {
				t.Fatalf("swept %d of %d", removed, n)
			}
		}
		note("sweep")
		return out
	}
	few := cost(small)
	for what, got := range cost(large) {
		if got > 2*few[what] {
			t.Errorf("%s for each record: %.2f of %d, %.2f of %d", what, few[what], small, got, large)
		}
	}
}

// TestChunksAreBounded checks that abandoned listings do not keep everything.
func TestChunksAreBounded(t *testing.T) {
	var c chunks
	names := make([]string, 3*maxChunkNames)
	for i := range 100 {
		c.put(chunk{key: fmt.Sprint(i), names: names, end: true})
	}
	sum := 0
	for _, k := range c.list {
		sum += len(k.names)
		if len(k.names) > maxChunkNames || k.end {
			t.Errorf("a chunk has %d names, and ends: %v", len(k.names), k.end)
		}
	}
	if len(c.list) > maxChunks || sum > maxNames || sum != c.names || sum == 0 {
		t.Errorf("%d chunks with %d names, counted as %d", len(c.list), sum, c.names)
	}
	c = chunks{}
	for i := range 100 {
		c.put(chunk{key: fmt.Sprint(i % 20), names: names[:1]})
	}
	if len(c.list) != maxChunks {
		t.Errorf("%d chunks are kept, want %d", len(c.list), maxChunks)
	}
}

// TestLargeFolder has more entries under one label value, and in one minute, than a
// chunk has names. Calls read them a chunk at a time and miss none.
func TestLargeFolder(t *testing.T) {
	t.Parallel()
	const strays = maxChunkNames + 5000
	b, s := onPower(t, disktest.NewPower(), &Options{NoSync: true})
	want := map[string]string{}
	for _, id := range []string{groupOf(0)[0], groupOf(40)[0], groupOf(63)[3]} { // 00, 28 and 7f
		want[id] = create(t, b, newRecord(id, "ann", inHour)).Revision.String()
	}
	must(t, b.withTree(t.Context(), false, func(tr *tree) error {
		for i := range strays {
			p := placeOf(fmt.Sprint("stray", i))
			for _, e := range entriesOf(&p, &model.Record{Labels: map[string]string{"principal": "ann"}, ExpiresAt: inHour}) {
				folder, err := tr.addEntry(e)
				must(t, err)
				must(t, folder.close())
			}
		}
		seen, after := 0, ""
		for more := true; more; {
			var names []string
			var err error
			names, more, err = tr.someNames(labelBase("principal"), labelSub("ann"), maxChunkNames, func(name string) bool { return name > after })
			must(t, err)
			if len(names) > maxChunkNames || !slices.IsSorted(names) || names[0] <= after {
				t.Errorf("%d names from %q after %q", len(names), names[0], after)
			}
			seen, after = seen+len(names), names[len(names)-1]
		}
		if seen != strays+len(want) {
			t.Errorf("%d names, want %d", seen, strays+len(want))
		}
		return nil
	}))
	s.Take()
	n, err := b.Count(t.Context(), now, driver.Query{Label: "principal", Value: "ann"})
	if c := s.Take(); err != nil || n != len(want) || c.Calls["names"] != 2 {
		t.Errorf("counted %d, %v, with %d reads of the folder", n, err, c.Calls["names"])
	}
	if got, err := list(b, "principal", "ann"); err != nil || !maps.Equal(got, want) {
		t.Errorf("listed %v, %v, want %v", got, err, want)
	}
	sweeps(t, b, inHour, len(want))
	if left := onlyFiles(b.system.(*disktest.Spy).System.(*disktest.Power).Files()); len(left) != 0 {
		t.Errorf("%d files are left, such as %s", len(left), left[0])
	}
}

// TestEachListingReadsForItself ends a listing early. A later one finds what was
// stored meanwhile, though it stands at the same place.
func TestEachListingReadsForItself(t *testing.T) {
	for _, principal := range []string{"", "ann"} {
		b := open(t, memoryDir(t), "store", &Options{NoSync: true})
		ids := oneShard(40)
		first, later := ids[:20], ids[20:]
		for _, id := range first {
			create(t, b, newRecord(id, "ann", inHour))
		}
		q := driver.Query{Limit: 1}
		if principal != "" {
			q.Label, q.Value = "principal", principal
		}
		old, err := b.Page(t.Context(), now, q)
		must(t, err)
		for _, id := range later {
			create(t, b, newRecord(id, "ann", inHour))
		}
		if found, _ := listAll(t, b, q); found != 40 {
			t.Errorf("found %d of 40 records with %q", found, principal)
		}
		q.After = old.Next
		for range 2 { // the second time nothing is kept
			if found, _ := listAll(t, b, q); found < 19 {
				t.Errorf("found %d records after the first, want at least 19", found)
			}
		}
	}
}

// TestProcessesListInTurn has two processes go on with each other's pages. Each reads
// the names of the label's records once.
func TestProcessesListInTurn(t *testing.T) {
	power := disktest.NewPower()
	var two [2]*Backend
	var spies [2]*disktest.Spy
	for i := range two {
		two[i], spies[i] = onPower(t, power, &Options{NoSync: true})
	}
	const many = 500
	for i := range many {
		create(t, two[0], newRecord(fmt.Sprint("id", i), "ann", inHour))
	}
	for _, s := range spies {
		s.Take()
	}
	seen, page := map[string]bool{}, 0
	var early driver.Query
	for q := (driver.Query{Label: "principal", Value: "ann", Limit: 10}); page == 0 || q.After != ""; page++ {
		p, err := two[page%2].Page(t.Context(), now, q)
		must(t, err)
		for _, r := range p.Records {
			if seen[r.ID] {
				t.Errorf("%s is listed twice", r.ID)
			}
			seen[r.ID] = true
		}
		if q.After = p.Next; page == 1 {
			early = q
		}
	}
	if len(seen) != many {
		t.Errorf("%d records are listed, want %d", len(seen), many)
	}
	for i, s := range spies {
		if c := s.Take(); c.Calls["names"] != 1 || c.Calls["read"] != many/2 {
			t.Errorf("process %d: %v, want the names once and half of the records", i, c.Calls)
		}
	}
	for _, b := range two { // a page that was listed before
		if n, _ := listAll(t, b, early); n != many-20 {
			t.Errorf("%d records after the second page, want %d", n, many-20)
		}
	}
}

// oneShard returns n ids of one shard.
func oneShard(n int) []string {
	var out []string
	for i := 0; len(out) < n; i++ {
		if p := placeOf(fmt.Sprint(i)); p.shard == 0 {
			out = append(out, p.id)
		}
	}
	return out
}

// TestFileThatCannotBeRead checks that what walks the records goes on after a
// record that the process may not read, or that the disk does not return.
func TestFileThatCannotBeRead(t *testing.T) {
	for _, why := range []error{fs.ErrPermission, syscall.EIO, syscall.EBADMSG} {
		goesOnAfter(t, why)
	}
}

func goesOnAfter(t *testing.T, why error) {
	t.Helper()
	ctx := t.Context()
	b, s := spied(t, memoryDir(t), &Options{NoSync: true})
	for i := range 10 {
		create(t, b, newRecord(fmt.Sprint("id", i), "ann", inHour))
	}
	p := placeOf("id5")
	s.Set(func(op, path string) error {
		if op == "read" && strings.HasSuffix(path, p.path()) {
			return &fs.PathError{Op: "open", Path: path, Err: why}
		}
		return nil
	})
	for _, q := range []driver.Query{{Limit: 100}, {Label: "principal", Value: "ann", Limit: 100}} {
		page, err := b.Page(ctx, now, q)
		if err != nil || len(page.Records) != 9 || len(page.Corrupt) != 1 || page.Corrupt[0] != "id5" || page.Next != "" {
			t.Errorf("%v: page by %q: %d records, corrupt %q, %v", why, q.Label, len(page.Records), page.Corrupt, err)
		}
		if n, err := b.Count(ctx, now, q); err != nil || n != 9 {
			t.Errorf("%v: count by %q: %d, %v", why, q.Label, n, err)
		}
	}
	_, err := b.Get(ctx, now, driver.Get{ID: "id5"})
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if n, err := b.Rebuild(ctx); err != nil || n != 0 {
		t.Errorf("rebuild: %d, %v", n, err)
	}
	sweeps(t, b, inHour, 9)
	s.Set(nil)
	sweeps(t, b, inHour, 1)
}

// TestLabelsAtTheLimit stores the most and longest labels that a backend allows.
func TestLabelsAtTheLimit(t *testing.T) {
	names := make([]string, 50)
	for i := range names {
		names[i] = fmt.Sprintf("l%02d", i)
		for model.CheckLabelName(names[i]+"x") == nil {
			names[i] += "x"
		}
	}
	b := open(t, memoryDir(t), "store", &Options{NoSync: true, Labels: names})
	r := newRecord(strings.Repeat("i", model.MaxID), "", inHour)
	r.Encoding = strings.Repeat("e", 255)
	r.Labels = map[string]string{}
	for i, name := range names {
		r.Labels[name] = strings.Repeat(string(rune('a'+i%26)), model.MaxLabel)
	}
	holds(t, b, create(t, b, r))
	for _, name := range names {
		if l, err := list(b, name, r.Labels[name]); err != nil || len(l) != 1 {
			t.Fatalf("%d records by the label %s, %v", len(l), name, err)
		}
	}
	if _, err := New(t.TempDir(), "x", &Options{Labels: slices.Concat(names, []string{"more"})}); model.Kind(err) != model.ErrInvalid {
		t.Errorf("51 labels: %v, want %v", err, model.ErrInvalid)
	}
}

// TestTouchAtARevision checks the condition of a touch with each mode.
func TestTouchAtARevision(t *testing.T) {
	ctx := t.Context()
	for _, touch := range []driver.Touch{
		{Mode: driver.TouchSet, ExpiresAt: inDay},
		{Mode: driver.TouchExtend, ExpiresAt: inDay},
		{Mode: driver.TouchExtend, ExpiresAt: now.Add(time.Minute)}, // changes nothing
		{Mode: driver.TouchClear},
	} {
		b := open(t, memoryDir(t), "store", &Options{NoSync: true})
		cur := create(t, b, newRecord("a", "ann", inHour))
		create(t, b, newRecord("gone", "ann", now.Add(time.Millisecond)))
		touch.ID, touch.Cond, touch.Known.Revision = "a", driver.IfMatch, model.NewRevision()
		_, err := b.Touch(ctx, now, touch)
		drivertest.WantKind(t, err, model.ErrConflict)
		drivertest.Holds(t, b, "a", cur.Revision, cur.ExpiresAt)
		for _, id := range []string{"gone", "never"} {
			touch.ID = id
			_, err = b.Touch(ctx, now.Add(time.Minute/2), touch)
			drivertest.WantKind(t, err, model.ErrNotFound)
		}
		touch.ID, touch.Known.Revision = "a", cur.Revision
		must(t, onlyErr(b.Touch(ctx, now, touch)))
		drivertest.Holds(t, b, "a", cur.Revision, touch.Result(cur.ExpiresAt))
	}
}
