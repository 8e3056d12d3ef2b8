package driverkit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// TestListing adds live, expired, unlabelled and corrupt records.
func TestListing(t *testing.T) {
	record := func(id string, size int, ttl time.Duration) *model.Record {
		return &model.Record{ID: id, Value: make([]byte, size), Labels: map[string]string{"state": "new"}, ExpiresAt: now.Add(ttl)}
	}
	other := record("other", 1, time.Hour)
	other.Labels = nil
	for name, test := range map[string]struct {
		q    driver.Query
		size int
		want string // a mark after the record that fills the page
	}{
		"few":    {driver.Query{Limit: 9}, 1, "a b other"},
		"limit":  {driver.Query{Limit: 2}, 1, "a b|other|"},
		"bytes":  {driver.Query{Limit: 9}, driver.PageBytes / 2, "a b|other|"},
		"keys":   {driver.Query{Limit: 9, KeysOnly: true}, driver.PageBytes, "a b other"},
		"values": {driver.Query{Limit: 9}, driver.PageBytes, "a|b|other|"},
		"label":  {driver.Query{Limit: 9, Label: "state", Value: "new"}, 1, "a b"},
	} {
		list := driverkit.Listing{Query: &test.q}
		full := ""
		for _, r := range []*model.Record{record("a", test.size, time.Hour), record("old", 1, 0), record("b", test.size, 1), other} {
			if list.Add(now, r.ID, r, nil) {
				full += r.ID
			}
		}
		if list.Add(now, "bad", nil, driverkit.Corrupt("why")) {
			full += "bad"
		}
		got := ""
		for _, r := range list.Page.Records {
			if got += r.ID; strings.Contains(full, r.ID) {
				got += "|"
			} else {
				got += " "
			}
			if test.q.KeysOnly && r.Value != nil {
				t.Errorf("%s: %q has its value", name, r.ID)
			}
		}
		if got = strings.TrimSpace(got); got != test.want || !slices.Equal(list.Page.Corrupt, []string{"bad"}) {
			t.Errorf("%s: got %q and %q, want %q", name, got, list.Page.Corrupt, test.want)
		}
	}
}

// TestAnswers has records that are live, expired, corrupt and missing.
func TestAnswers(t *testing.T) {
	corrupt := driverkit.Corrupt("why")
	found := map[string]driver.BatchResult{
		"live": {Record: model.Record{ID: "live"}}, "old": {Record: model.Record{ID: "old", ExpiresAt: now}}, "bad": {Err: corrupt},
	}
	gets := []driver.Get{{ID: "old"}, {ID: "live"}, {ID: "none"}, {ID: "bad"}, {ID: "live"}}
	for _, end := range []error{nil, errOther} {
		none := model.ErrNotFound
		if end != nil {
			none = end
		}
		out := make([]driver.BatchResult, len(gets)+1) // it leaves the rest alone
		driverkit.Answers(out, gets, found, end, now)
		for i, want := range []error{model.ErrNotFound, nil, none, corrupt, nil, nil} {
			if got := out[i]; !errors.Is(got.Err, want) || got.Record.ID == "live" != (i == 1 || i == 4) {
				t.Errorf("after %v, result %d is %+v, want %v", end, i, got, want)
			}
		}
	}
}

// TestSteps sweeps 7 of 9 records in steps of 3.
func TestSteps(t *testing.T) {
	for name, test := range map[string]struct {
		limit   int
		refused string // not accepted
		fail    error  // of the second removal
		want    driver.Swept
		removed string
	}{
		"all":          {9, "", nil, driver.Swept{Removed: 9, More: true}, "abc def ghi"},
		"more than":    {20, "", nil, driver.Swept{Removed: 9}, "abc def ghi"},
		"limit":        {7, "", nil, driver.Swept{Removed: 7, More: true}, "abc def g"},
		"refused":      {20, "bdef", nil, driver.Swept{Removed: 5}, "ac ghi"},
		"lost answer":  {20, "", errUnknown, driver.Swept{Removed: 3, Unknown: 3}, "abc def"},
		"other error":  {20, "", errOther, driver.Swept{Removed: 3}, "abc def"},
		"limit in one": {2, "", nil, driver.Swept{Removed: 2, More: true}, "ab"},
	} {
		left, calls := "abcdefghi", []string(nil)
		s, err := driverkit.Steps(t.Context(), newTally(t, driver.Sweep{Limit: test.limit}), 3, func(n int) ([]byte, error) {
			n = min(n, len(left))
			due := []byte(left[:n])
			left = left[n:]
			return due, nil
		}, func(id *byte) bool {
			return !strings.Contains(test.refused, string(*id))
		}, func(ids []byte) (int, error) {
			if calls = append(calls, string(ids)); len(calls) == 2 && test.fail != nil {
				return len(ids), test.fail
			}
			return len(ids), nil
		})
		if s != test.want || !errors.Is(err, test.fail) || strings.Join(calls, " ") != test.removed {
			t.Errorf("%s: got %+v, %v by %q, want %+v, %v by %q", name, s, err, calls, test.want, test.fail, test.removed)
		}
	}
}

// TestStepsEnd has a context that ends while records are announced, and an error
// of the reading: nothing is removed after them.
func TestStepsEnd(t *testing.T) {
	for _, fail := range []error{context.Canceled, errOther} {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := driverkit.Steps(ctx, newTally(t, driver.Sweep{Limit: 9}), 3, func(int) ([]byte, error) {
			if errors.Is(fail, errOther) {
				return nil, fail
			}
			return []byte("abc"), nil
		}, func(*byte) bool { cancel(); return true }, func(ids []byte) (int, error) {
			t.Errorf("%q are removed", ids)
			return 0, nil
		})
		cancel()
		if s != (driver.Swept{}) || !errors.Is(err, fail) {
			t.Errorf("got %+v, %v, want %v", s, err, fail)
		}
	}
}

func TestMaxValue(t *testing.T) {
	for size, want := range map[int]int{0: 5, 1: 1, 9: 9, 10: -1, -1: -1} {
		got, err := driverkit.MaxValue(size, 5, 9)
		if want < 0 != errors.Is(err, model.ErrInvalid) || want > 0 && got != want {
			t.Errorf("%d: got %d, %v, want %d", size, got, err, want)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{"a": "", "ü c": "", "": "empty", "abcde": "4 bytes", "üüü": "4 bytes", "\xff": "UTF-8", "a\x00": "NUL"} {
		err := driverkit.CheckName("the table's name", name, 4)
		if (want == "") != (err == nil) || err != nil && (!errors.Is(err, model.ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the table's name")) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

func TestFinding(t *testing.T) {
	f := driverkit.Finding("sync", "on", "off", false, driver.CheckWarning, "set it")
	if f != (driver.Finding{Name: "sync", Level: driver.CheckWarning, Seen: "off", Need: "on", Fix: "set it"}) {
		t.Errorf("%+v", f)
	}
	f = driverkit.Finding("sync", "on", "on", true, driver.CheckUnsafe, "set it")
	if f != (driver.Finding{Name: "sync", Level: driver.CheckRight, Seen: "on", Need: "on"}) {
		t.Errorf("%+v", f)
	}
}

// TestDeclaredLabelsAreCopies declares names in memory that is used again.
func TestDeclaredLabelsAreCopies(t *testing.T) {
	memory := []byte("state")
	names, err := driverkit.DeclaredLabels([]string{unsafe.String(&memory[0], len(memory))}, 0)
	if err != nil {
		t.Fatal(err)
	}
	copy(memory, "other")
	if names[0] != "state" {
		t.Errorf("the label is %q", names[0])
	}
}

// TestCheckWrites has a check of the backend's own, for single writes and for
// batches, also of a gate that was opened again.
func TestCheckWrites(t *testing.T) {
	gate := newGate()
	gate.CheckWrites(driverkit.TextEncoding)
	if err := gate.Close(); err != nil {
		t.Fatal(err)
	}
	again := gate.Reopen()
	for encoding, bad := range map[string]bool{"json": false, "\xff": true, "a\x00": true} {
		w := driver.Write{Record: model.Record{ID: "id", Revision: model.NewRevision(), Encoding: encoding}, Cond: driver.IfAny}
		out, valid := again.Batch(t.Context(), []driver.BatchOp{{Write: &w}, {Delete: &driver.Delete{ID: "id", Cond: driver.IfPresent}}})
		for _, err := range []error{again.Write(t.Context(), &w), out[0].Err} {
			if errors.Is(err, model.ErrInvalid) != bad || !bad && err != nil {
				t.Errorf("%q: %v", encoding, err)
			}
		}
		if (len(valid) == 1) != bad || out[1].Err != nil {
			t.Errorf("%q: %d operations may go on, %v", encoding, len(valid), out[1].Err)
		}
	}
	if err := gate.Enter(t.Context()); !errors.Is(err, model.ErrClosed) {
		t.Error(err)
	}
}

// TestCloserIsPatient closes what ends at once, and what does not.
func TestCloserIsPatient(t *testing.T) {
	ends := make(chan struct{})
	for _, do := range []func(){func() {}, func() { <-ends }} {
		if err := driverkit.Closer(time.Millisecond, do).Close(); err != nil {
			t.Error(err)
		}
	}
	close(ends)
	closed := false
	if err := driverkit.Closer(time.Hour, func() { closed = true }).Close(); err != nil || !closed {
		t.Error("Close did not wait", err)
	}
}
