package driverkit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

var (
	errUnknown = model.NewError(model.ErrUnknown, "the answer was lost", nil)
	errOther   = model.NewError(model.ErrUnavailable, "the server did not answer", nil)
)

func newTally(t *testing.T, s driver.Sweep) *driverkit.Tally {
	t.Helper()
	tally, err := newGate().Sweep(t.Context(), &s)
	if err != nil {
		t.Fatal(err)
	}
	return tally
}

// TestTallyReturnsUnknownBeforeOtherErrors checks rule R56 in both orders.
func TestTallyReturnsUnknownBeforeOtherErrors(t *testing.T) {
	for name, errs := range map[string][]error{
		"unknown first": {errUnknown, errOther}, "unknown last": {errOther, errUnknown}, "unknown between": {errOther, errUnknown, errOther},
	} {
		tally := newTally(t, driver.Sweep{Limit: 10})
		tally.Removed(2)
		for _, err := range errs {
			tally.Failed(1, err)
		}
		s, err := tally.Result()
		if !errors.Is(err, model.ErrUnknown) || s.Removed != 2 || s.Unknown != 1 {
			t.Errorf("%s: got %+v, %v, want 2 removed, 1 unknown and ErrUnknown", name, s, err)
		}
	}
}

func TestTallyCountsOnlyUnknownFailures(t *testing.T) {
	tally := newTally(t, driver.Sweep{Limit: 10})
	tally.Outcome(true, nil)
	tally.Outcome(false, nil)
	tally.Outcome(false, errOther)
	s, err := tally.Result()
	if s.Removed != 1 || s.Unknown != 0 || s.More || !errors.Is(err, model.ErrUnavailable) {
		t.Errorf("got %+v, %v, want 1 removed and ErrUnavailable", s, err)
	}
}

func TestTallyKeepsTheLimit(t *testing.T) {
	tally := newTally(t, driver.Sweep{Limit: 5})
	var asked []int
	s, err := tally.Run(t.Context(), func(n int) (bool, error) {
		asked = append(asked, n)
		tally.Removed(min(n, 2))
		return true, nil
	})
	if err != nil || s.Removed != 5 || !s.More || !slices.Equal(asked, []int{5, 3, 1}) {
		t.Errorf("got %+v, %v after steps of at most %v, want 5 removed and more", s, err, asked)
	}
	if tally.Left() != 0 {
		t.Errorf("%d removals left, want 0", tally.Left())
	}
}

func TestTallyRunStops(t *testing.T) {
	tests := []struct {
		name  string
		ctx   context.Context
		step  func(tally *driverkit.Tally) (bool, error)
		want  error
		steps int
	}{
		{"when nothing is due", context.Background(), func(*driverkit.Tally) (bool, error) { return false, nil }, nil, 1},
		{"when a step fails", context.Background(), func(*driverkit.Tally) (bool, error) { return true, errOther }, model.ErrUnavailable, 1},
		{"when a removal fails", context.Background(), func(tally *driverkit.Tally) (bool, error) { tally.Failed(1, errUnknown); return true, nil }, model.ErrUnknown, 1},
		{"when the context has ended", ended(), func(*driverkit.Tally) (bool, error) { return true, nil }, context.Canceled, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tally := newTally(t, driver.Sweep{Limit: 5})
			steps := 0
			_, err := tally.Run(tt.ctx, func(int) (bool, error) { steps++; return tt.step(tally) })
			if !errors.Is(err, tt.want) || steps != tt.steps {
				t.Errorf("got %v after %d steps, want %v after %d", err, steps, tt.want, tt.steps)
			}
		})
	}
}

func TestTallyAnnouncesRecordsWithoutTheirValue(t *testing.T) {
	rec := model.Record{ID: "a", Revision: model.NewRevision(), Labels: map[string]string{"principal": "ann"}, Value: []byte("secret")}
	var seen model.Record
	tally := newTally(t, driver.Sweep{Limit: 1, OnExpire: func(r model.Record) error {
		seen = r
		r.Labels["principal"] = "changed"
		return nil
	}})
	if !tally.Accepts(&rec) || !tally.Announces() {
		t.Error("the record is not accepted")
	}
	if seen.ID != "a" || seen.Value != nil || rec.Labels["principal"] != "ann" {
		t.Errorf("announced %+v, kept the labels %v; want a copy without the value", seen, rec.Labels)
	}
	refusing := newTally(t, driver.Sweep{Limit: 1, OnExpire: func(model.Record) error { return errors.New("stays") }})
	if refusing.Accepts(&rec) {
		t.Error("a record is accepted, want it refused by OnExpire")
	}
	if silent := newTally(t, driver.Sweep{Limit: 1}); !silent.Accepts(&rec) || silent.Announces() {
		t.Error("without OnExpire a record is refused or announced")
	}
}

func TestTallyEachRemovesExpiredRecordsOneByOne(t *testing.T) {
	records := []model.Record{
		{ID: "due", ExpiresAt: now.Add(-time.Minute)}, {ID: "at the instant", ExpiresAt: now}, {ID: "later", ExpiresAt: now.Add(time.Millisecond)},
		{ID: "never"}, {ID: "refused", ExpiresAt: now}, {ID: "changed", ExpiresAt: now}, {ID: "last", ExpiresAt: now}, {ID: "over the limit", ExpiresAt: now},
	}
	tally := newTally(t, driver.Sweep{Limit: 3, OnExpire: func(r model.Record) error {
		if r.ID == "refused" {
			return errors.New("stays")
		}
		return nil
	}})
	var removed []string
	s, err := tally.Each(t.Context(), now, slices.Values(records), func(r *model.Record) (bool, error) {
		if r.ID == "changed" {
			return false, nil
		}
		removed = append(removed, r.ID)
		return true, nil
	})
	if err != nil || s.Removed != 3 || !s.More || !slices.Equal(removed, []string{"due", "at the instant", "last"}) {
		t.Errorf("got %+v, %v and removed %q", s, err, removed)
	}
	s, err = newTally(t, driver.Sweep{Limit: 3}).Each(ended(), now, slices.Values(records), func(*model.Record) (bool, error) { return true, nil })
	if !errors.Is(err, context.Canceled) || s.Removed != 0 {
		t.Errorf("with an ended context: got %+v, %v, want %v", s, err, context.Canceled)
	}
}
