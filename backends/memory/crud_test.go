package memory

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// text returns a string over the buffer, as frameworks cut them from a request.
func text(buffer []byte) string { return unsafe.String(unsafe.SliceData(buffer), len(buffer)) }

// borrowed is a record whose texts are cut from one buffer.
type borrowed struct {
	buffer []byte
	at     int
}

func (b *borrowed) cut(s string) string {
	n := copy(b.buffer[b.at:], s)
	b.at += n
	return text(b.buffer[b.at-n : b.at])
}

func (b *borrowed) record(r model.Record) model.Record {
	r.ID, r.Encoding = b.cut(r.ID), b.cut(r.Encoding)
	labels := r.Labels
	r.Labels = map[string]string{}
	for name, value := range labels {
		r.Labels[b.cut(name)] = b.cut(value)
	}
	return r
}

// TestCallersTextsAreCopied uses the memory behind each text of a call again,
// as frameworks do.
func TestCallersTextsAreCopied(t *testing.T) {
	name := []byte("x")
	label := []byte("principal")
	b, err := New(nil, text(name), &Options{Labels: []string{text(label)}})
	if err != nil {
		t.Fatal(err)
	}
	name[0], label[0] = '?', '?'
	if got := b.Describe().Labels; got[0] != "principal" {
		t.Fatalf("the declared labels are %v", got)
	}
	want := drivertest.Record("a", "ann", time.Hour)
	put := func(c driver.Condition, value, encoding, principal string) {
		t.Helper()
		want.Revision, want.Encoding, want.Value = model.NewRevision(), encoding, []byte(value)
		want.Labels = map[string]string{"principal": principal}
		cut := borrowed{buffer: make([]byte, 100)}
		if _, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: cut.record(want), Cond: c}); err != nil {
			t.Fatal(err)
		}
		copy(cut.buffer, bytes.Repeat([]byte("?"), len(cut.buffer)))
		equal(t, drivertest.Get(t, b, "a"), want)
		p, err := b.Page(t.Context(), drivertest.Now, driver.Query{Label: "principal", Value: principal, Limit: 10})
		if err != nil || len(p.Records) != 1 {
			t.Fatalf("listed %v, %v", p.Records, err)
		}
	}
	put(driver.IfAbsent, "1", "json", "ann")
	put(driver.IfAny, "2", "gob", "ann")
	put(driver.IfPresent, "3", "gob", "bob")
	put(driver.IfPresent, "4", "json", "ann")

	id := []byte("a")
	if _, err := b.Touch(t.Context(), drivertest.Now, driver.Touch{ID: text(id), Mode: driver.TouchClear}); err != nil {
		t.Fatal(err)
	}
	id[0] = '?'
	if err := b.Delete(t.Context(), drivertest.Now, driver.Delete{ID: "a", Cond: driver.IfPresent}); err != nil {
		t.Error(err)
	}
	mustBeEmpty(t, b)
}

func equal(t *testing.T, got, want model.Record) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the record is %+v, want %+v", got, want)
	}
}

// inUse returns the bytes in use after a collection.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what the first one only swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestBuffersAreNotKept cuts each text and value from a megabyte of its own.
func TestBuffersAreNotKept(t *testing.T) {
	const records, megabyte = 100, 1 << 20
	b := open(t)
	before := inUse()
	for i := range records {
		cut := borrowed{buffer: make([]byte, megabyte)}
		r := cut.record(drivertest.Record(fmt.Sprint("ann-", i), fmt.Sprint("p", i), time.Hour))
		r.ServerVersion = cut.cut("v1")
		r.Value = cut.buffer[cut.at : cut.at+2]
		for range 2 {
			r.Revision = model.NewRevision()
			if _, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: r, Cond: driver.IfAny, ValueOwned: true}); err != nil {
				t.Fatal(err)
			}
		}
		q := driver.Query{Label: "principal", Value: r.Labels["principal"], Limit: 1}
		if p, err := b.Page(t.Context(), drivertest.Now, q); err != nil || len(p.Records) != 1 {
			t.Fatal(p, err)
		}
	}
	if kept := inUse() - before; kept > 5*megabyte {
		t.Errorf("%d small records keep %d KB", records, kept>>10)
	}
	runtime.KeepAlive(b)
}

// TestRoomIsGivenBack stores many records and removes them. All but two percent
// of the memory that they took is free afterwards.
func TestRoomIsGivenBack(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records int
		remove  func(t *testing.T, b *Backend, n int)
	}{
		{"sweep", 400_000, sweepAll},
		{"sweep with an OnExpire", 50_000, sweepAnnounced},
		{"delete", 50_000, drain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t)
			before := inUse()
			for i := range tt.records {
				r := drivertest.Record(fmt.Sprint("ann-", i), fmt.Sprint("p", i/4), time.Minute)
				if _, err := b.Write(t.Context(), drivertest.Now, driver.Write{Record: r, Cond: driver.IfAbsent, ValueOwned: true}); err != nil {
					t.Fatal(err)
				}
			}
			full := inUse() - before
			tt.remove(t, b, tt.records)
			mustBeEmpty(t, b)
			if left := inUse() - before; left > full/50 {
				t.Errorf("%d of %d KB are still in use", left>>10, full>>10)
			}
			runtime.KeepAlive(b)
		})
	}
}

func sweepAll(t *testing.T, b *Backend, n int) { t.Helper(); sweepLimited(t, b, n, nil) }

func sweepAnnounced(t *testing.T, b *Backend, n int) { t.Helper(); sweepLimited(t, b, n, accept) }

func sweepLimited(t *testing.T, b *Backend, want int, onExpire func(model.Record) error) {
	t.Helper()
	n, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: want + 1, OnExpire: onExpire})
	if err != nil || n.Removed != want {
		t.Fatalf("swept %+v, %v; want %d removed", n, err, want)
	}
}

func TestTableShrinks(t *testing.T) {
	tab, want := newTable[int, int](0), map[int]int{}
	for i := range 1000 {
		tab.put(i, -i)
		want[i] = -i
	}
	for i := range 990 {
		tab.remove(i)
		delete(want, i)
		if tab.peak >= sparse && len(tab.m) < tab.peak/4 {
			t.Fatalf("%d entries are left of %d", len(tab.m), tab.peak)
		}
	}
	if !maps.Equal(tab.m, want) {
		t.Errorf("the table has %v, want %v", tab.m, want)
	}
}

func TestStat(t *testing.T) {
	b := open(t)
	want := drivertest.Record("a", "ann", time.Hour)
	drivertest.Seed(t, b, want, drivertest.Expired("gone", "ann"))
	got, err := b.Stat(t.Context(), drivertest.Now, driver.Get{ID: "a"})
	if err != nil || got.Size != len(want.Value) {
		t.Fatalf("the size is %d, %v; want %d", got.Size, err, len(want.Value))
	}
	equal(t, got.Record, want.Head())
	got.Record.Labels["principal"] = "eve"
	equal(t, drivertest.Get(t, b, "a"), want)
	for _, id := range []string{"gone", "never"} {
		if _, err := b.Stat(t.Context(), drivertest.Now, driver.Get{ID: id}); !errors.Is(err, model.ErrNotFound) {
			t.Errorf("stat of %q: %v, want %v", id, err, model.ErrNotFound)
		}
	}
}
