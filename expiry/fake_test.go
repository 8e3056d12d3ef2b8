package expiry_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// scripted is a backend that answers from a script: the next function of the
// list for each call, which also records the calls.
type scripted struct {
	t    *testing.T
	desc driver.Description

	mu    sync.Mutex
	calls []string
	steps []step
}

type step struct {
	call string // "Get", "Write", …
	do   func(ctx context.Context, arg any) (model.Record, error)
}

func newScripted(t *testing.T, steps ...step) *scripted {
	t.Helper()
	return &scripted{t: t, steps: steps, desc: driver.Description{Backend: "scripted", Labels: []string{"principal"}}}
}

func (s *scripted) next(ctx context.Context, call string, arg any) (model.Record, error) {
	s.mu.Lock()
	s.calls = append(s.calls, call)
	if len(s.steps) == 0 || s.steps[0].call != call {
		s.mu.Unlock()
		s.t.Errorf("call %s, the script has %v", call, s.steps)
		return model.Record{}, errors.New("not in the script")
	}
	do := s.steps[0].do
	s.steps = s.steps[1:]
	s.mu.Unlock()
	return do(ctx, arg)
}

func (s *scripted) Get(ctx context.Context, _ time.Time, g driver.Get) (model.Record, error) {
	return s.next(ctx, "Get", g.ID)
}

func (s *scripted) Write(ctx context.Context, _ time.Time, w driver.Write) (model.Record, error) {
	return s.next(ctx, "Write", w)
}

func (s *scripted) Touch(ctx context.Context, _ time.Time, t driver.Touch) (model.Record, error) {
	return s.next(ctx, "Touch", t)
}

func (s *scripted) Delete(ctx context.Context, _ time.Time, d driver.Delete) error {
	_, err := s.next(ctx, "Delete", d.ID)
	return err
}

func (s *scripted) Page(ctx context.Context, _ time.Time, q driver.Query) (driver.Page, error) {
	_, err := s.next(ctx, "Page", q)
	return driver.Page{}, err
}

func (s *scripted) DeleteExpired(ctx context.Context, sw driver.Sweep) (driver.Swept, error) {
	_, err := s.next(ctx, "DeleteExpired", sw.Before)
	return driver.Swept{}, err
}

func (s *scripted) Describe() driver.Description { return s.desc }
func (s *scripted) Close() error                 { return nil }

// wants fails unless exactly those calls were made and the script is done.
func (s *scripted) wants(calls ...string) {
	s.t.Helper()
	if !slices.Equal(s.calls, calls) || len(s.steps) > 0 {
		s.t.Errorf("calls %v, want %v", s.calls, calls)
	}
}

type value struct{ N int }

func storeOn(t *testing.T, b driver.ModelExpirySupport, opts *expiry.StoreOptions) *expiry.Store[value] {
	t.Helper()
	s, err := expiry.NewStore[value](b, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func answer(r model.Record, err error) func(context.Context, any) (model.Record, error) {
	return func(context.Context, any) (model.Record, error) { return r, err }
}

func wantKind(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got %v, want %v", err, kind)
	}
	if got := model.Kind(err); got != kind {
		t.Errorf("%v is of the kind %v, want %v", err, got, kind)
	}
}
