package expiry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

var errCut = errors.New("connection reset")

func lost() error { return model.NewError(model.ErrUnknown, "the answer was lost", errCut) }

// stored is a record as a backend would return it.
func stored(id string, rev model.Revision) model.Record {
	return model.Record{ID: id, Revision: rev, Value: []byte(`{"N":1}`), Encoding: "json"}
}

// TestLostWrite is what one look can tell after the answer to a write was lost.
func TestLostWrite(t *testing.T) {
	old := model.NewRevision()
	var sent model.Revision
	loses := func(_ context.Context, arg any) (model.Record, error) { //nolint:unparam // the script's signature
		sent = arg.(driver.Write).Record.Revision
		return model.Record{}, lost()
	}
	shows := func(rev func() model.Revision) step {
		return step{"Get", func(context.Context, any) (model.Record, error) { return stored("a", rev()), nil }}
	}
	own := func() model.Revision { return sent }
	previous := func() model.Revision { return old }
	gone := step{"Get", answer(model.Record{}, model.ErrNotFound)}
	match := &expiry.WriteOptions{IfMatch: expiry.AtRevision(old)}

	for _, tc := range []struct {
		name string
		opts *expiry.WriteOptions
		then []step
		want error
	}{
		{"own revision is there", nil, []step{shows(own)}, nil},
		{"another revision is there", nil, []step{shows(model.NewRevision)}, model.ErrUnknown},
		{"nothing is there", nil, []step{gone}, model.ErrUnknown},
		{"the look fails", nil, []step{{"Get", answer(model.Record{}, model.ErrUnavailable)}}, model.ErrUnknown},
		{"the previous revision tells nothing without a condition", nil, []step{shows(previous)}, model.ErrUnknown},
		{"compare-and-set: own revision is there", match, []step{shows(own)}, nil},
		{"compare-and-set: sent again", match, []step{shows(previous), {"Write", func(_ context.Context, arg any) (model.Record, error) {
			if got := arg.(driver.Write).Record.Revision; got != sent {
				t.Errorf("sent again with the revision %v, first with %v", got, sent)
			}
			return stored("a", sent), nil
		}}}, nil},
		{"compare-and-set: sent again, and the first one arrived late", match, []step{shows(previous), {"Write", func(context.Context, any) (model.Record, error) {
			return stored("a", sent), model.ErrConflict
		}}}, nil},
		{"compare-and-set: sent again, and another won", match, []step{shows(previous), {"Write", answer(stored("a", model.NewRevision()), model.ErrConflict)}}, model.ErrUnknown},
		{"compare-and-set: sent again, and lost again", match, []step{shows(previous), {"Write", answer(model.Record{}, lost())}}, model.ErrUnknown},
		{"compare-and-set: sent again, and gone", match, []step{shows(previous), {"Write", answer(model.Record{}, model.ErrNotFound)}}, model.ErrUnknown},
		{"compare-and-set: another won", match, []step{shows(model.NewRevision)}, model.ErrUnknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			steps := append([]step{{"Write", loses}}, tc.then...)
			b := newScripted(t, steps...)
			it, err := storeOn(t, b, nil).Update(t.Context(), "a", value{2}, tc.opts)
			if tc.want == nil {
				if err != nil || it.Revision != sent || it.Value.N != 2 {
					t.Errorf("got %+v, %v", it, err)
				}
			} else {
				wantKind(t, err, tc.want)
				if !errors.Is(err, errCut) {
					t.Errorf("%v does not unwrap to the cause", err)
				}
			}
			var calls []string
			for _, s := range steps {
				calls = append(calls, s.call)
			}
			b.wants(calls...)
		})
	}
}

func TestLostWriteLooksEvenIfTheCallerHasGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	old := model.NewRevision()
	b := newScripted(t,
		step{"Write", func(context.Context, any) (model.Record, error) {
			cancel()
			return model.Record{}, model.NewError(model.ErrUnknown, "", context.Canceled)
		}},
		step{"Get", func(ctx context.Context, _ any) (model.Record, error) {
			if ctx.Err() != nil {
				t.Error("the look has the caller's ended context")
			}
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the look has no limit of its own")
			}
			return stored("a", old), nil
		}},
	)
	_, err := storeOn(t, b, nil).Update(ctx, "a", value{2}, &expiry.WriteOptions{IfMatch: expiry.AtRevision(old)})
	wantKind(t, err, model.ErrUnknown)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not match the context's error", err)
	}
	b.wants("Write", "Get") // and nothing is sent again for a caller who has gone
}

func TestNothingIsLookedAtInVain(t *testing.T) {
	undecidable := driver.MarkUndecidable(lost())
	b := newScripted(t, step{"Write", answer(model.Record{}, undecidable)}, step{"Touch", answer(model.Record{}, undecidable)}, step{"Delete", answer(model.Record{}, undecidable)})
	s := storeOn(t, b, nil)
	at := expiry.AtRevision(model.NewRevision())
	_, err := s.Update(t.Context(), "a", value{}, &expiry.WriteOptions{IfMatch: at})
	wantKind(t, err, model.ErrUnknown)
	_, err = s.Touch(t.Context(), "a", expiry.After(time.Hour), nil)
	wantKind(t, err, model.ErrUnknown)
	wantKind(t, s.Delete(t.Context(), "a", &expiry.DeleteOptions{IfMatch: at}), model.ErrUnknown)
	b.wants("Write", "Touch", "Delete")
}

func TestLostTouch(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	clock := expiry.ClockFunc(func() time.Time { return now })
	rev := model.NewRevision()
	until := now.Add(time.Hour)
	rec := func(r model.Revision, at time.Time) model.Record {
		x := stored("a", r)
		x.ExpiresAt = at
		return x
	}
	for _, tc := range []struct {
		name string
		opts *expiry.TouchOptions
		seen model.Record
		err  error
		want error
	}{
		{"the expiry is in force", nil, rec(rev, until), nil, nil},
		{"another expiry is in force", nil, rec(rev, now.Add(time.Minute)), nil, model.ErrUnknown},
		{"extended further by another", &expiry.TouchOptions{Extend: true}, rec(rev, until.Add(time.Hour)), nil, nil},
		{"set further by another", nil, rec(rev, until.Add(time.Hour)), nil, model.ErrUnknown},
		{"the known revision has gone", &expiry.TouchOptions{Known: expiry.AtRevision(model.NewRevision())}, rec(rev, until), nil, model.ErrUnknown},
		{"the known revision is there", &expiry.TouchOptions{Known: expiry.AtRevision(rev)}, rec(rev, until), nil, nil},
		{"the record has gone", nil, model.Record{}, model.ErrNotFound, model.ErrUnknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newScripted(t, step{"Touch", answer(model.Record{}, lost())}, step{"Get", answer(tc.seen, tc.err)})
			it, err := storeOn(t, b, &expiry.StoreOptions{Clock: clock}).Touch(t.Context(), "a", expiry.At(until), tc.opts)
			if tc.want != nil {
				wantKind(t, err, tc.want)
			} else if err != nil || !it.ExpiresAt.Equal(tc.seen.ExpiresAt) || it.Revision != rev {
				t.Errorf("got %+v, %v", it, err)
			}
			b.wants("Touch", "Get")
		})
	}
}

func TestLostDelete(t *testing.T) {
	rev := model.NewRevision()
	at := &expiry.DeleteOptions{IfMatch: expiry.AtRevision(rev)}
	for _, tc := range []struct {
		name string
		opts *expiry.DeleteOptions
		then []step
		want error
	}{
		{"of any revision", nil, nil, model.ErrUnknown},
		{"at a revision, gone", at, []step{{"Get", answer(model.Record{}, model.ErrNotFound)}}, model.ErrUnknown},
		{"at a revision, another is there", at, []step{{"Get", answer(stored("a", model.NewRevision()), nil)}}, model.ErrUnknown},
		{"at a revision, sent again", at, []step{{"Get", answer(stored("a", rev), nil)}, {"Delete", answer(model.Record{}, nil)}}, nil},
		{"at a revision, sent again and gone", at, []step{{"Get", answer(stored("a", rev), nil)}, {"Delete", answer(model.Record{}, model.ErrNotFound)}}, model.ErrUnknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			steps := append([]step{{"Delete", answer(model.Record{}, lost())}}, tc.then...)
			b := newScripted(t, steps...)
			err := storeOn(t, b, nil).Delete(t.Context(), "a", tc.opts)
			if tc.want != nil {
				wantKind(t, err, tc.want)
			} else if err != nil {
				t.Error(err)
			}
			if len(b.steps) > 0 {
				t.Errorf("not called: %v", b.steps)
			}
		})
	}
}

// TestLooksShareTimeOfTheirOwn has a call that goes on for longer than
// LookTimeout between two lost answers: it still looks after the second one.
func TestLooksShareTimeOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []step
		for range 2 {
			var sent model.Revision
			steps = append(steps,
				step{"Write", func(_ context.Context, arg any) (model.Record, error) {
					time.Sleep(time.Minute) //nolint:forbidigo // of the bubble's clock
					sent = arg.(driver.Write).Record.Revision
					return model.Record{}, lost()
				}},
				step{"Get", func(_ context.Context, arg any) (model.Record, error) {
					return stored(arg.(string), sent), nil
				}})
		}
		b := newScripted(t, steps...)
		s := storeOn(t, b, &expiry.StoreOptions{LookTimeout: time.Second})
		res, err := s.Bulk(t.Context(), []expiry.Op[value]{{Kind: expiry.OpUpdate, ID: "a"}, {Kind: expiry.OpUpdate, ID: "b"}})
		if err != nil || res.Err() != nil || res.Updated != 2 {
			t.Errorf("got %+v, %v, %v", res, err, res.Err())
		}
		b.wants("Write", "Get", "Write", "Get")
	})
}

// TestABatchSendsNoExpiredRecordAgain loses an update until the new expiry has
// passed. To send it again would hide the live record.
func TestABatchSendsNoExpiredRecordAgain(t *testing.T) {
	m, err := memory.New(nil, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	b := &losing{Wrapper: driverkit.Wrap(m)}
	s := storeOn(t, b, &expiry.StoreOptions{Clock: expiry.ClockFunc(func() time.Time { return now })})
	it, err := s.Create(t.Context(), "a", value{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.lose = func(int) bool { now = now.Add(2 * time.Second); return false }
	res, err := s.Bulk(t.Context(), []expiry.Op[value]{{
		Kind: expiry.OpUpdate, ID: "a", Value: value{2},
		Opts: &expiry.WriteOptions{IfMatch: expiry.AtRevision(it.Revision), Expiry: expiry.After(time.Second)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, res.Results[0].Err, model.ErrUnknown)
	if it, err := s.Get(t.Context(), "a"); err != nil || it.Value.N != 1 {
		t.Errorf("got %+v, %v", it, err)
	}
}

// mixed fails operations of a batch in different ways: those of the list, and all
// others are carried out and their answers lost.
type mixed struct {
	driverkit.Wrapper
	fail []error
}

func (b *mixed) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out := make([]driver.BatchResult, len(ops))
	for i := range ops {
		if out[i].Err = b.fail[i%len(b.fail)]; out[i].Err == nil {
			b.Wrapper.WriteMany(ctx, now, ops[i:i+1])
			out[i].Err = lost()
		}
	}
	return out
}

// TestLostAmongOtherErrors has removals that fail in several ways, in every order:
// one whose outcome is unknown is not hidden behind another error, which would say
// that nothing was applied.
func TestLostAmongOtherErrors(t *testing.T) {
	down := model.NewError(model.ErrUnavailable, "down", nil)
	corrupt := model.NewError(model.ErrCorrupt, "damaged", nil)
	for _, fail := range [][]error{{down, nil}, {nil, down}, {context.Canceled, nil}, {corrupt, down, nil}, {nil, corrupt}} {
		m, err := memory.New(nil, "n", nil)
		if err != nil {
			t.Fatal(err)
		}
		s := storeOn(t, &mixed{driverkit.Wrap(m), fail}, nil)
		for verb, remove := range map[string]func() (int, error){
			"DeleteByLabel": func() (int, error) { return s.DeleteByLabel(t.Context(), "principal", "ann") },
			"DeleteAll":     func() (int, error) { return s.DeleteAll(t.Context()) },
		} {
			for _, id := range []string{"a", "b", "c"} {
				put(t, m, model.Record{ID: id, Revision: model.NewRevision(), Labels: map[string]string{"principal": "ann"}, Value: []byte("{}"), Encoding: "json"})
			}
			_, err := remove()
			wantKind(t, err, model.ErrUnknown)
			if err != nil && !errors.Is(err, errCut) {
				t.Errorf("%s: %v", verb, err)
			}
		}
	}
}
