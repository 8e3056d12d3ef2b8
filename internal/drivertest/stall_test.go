package drivertest_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// stopped is a backend that answers nothing once it is stalled, and notes which
// methods were called then.
type stopped struct {
	driverkit.Wrapper
	stalled bool
	called  map[string]int
}

func (s *stopped) wait(ctx context.Context, method string) error {
	if !s.stalled {
		return nil
	}
	s.called[method]++
	<-ctx.Done()
	return ctx.Err()
}

func (s *stopped) many(ctx context.Context, method string, n int) []driver.BatchResult {
	out := make([]driver.BatchResult, n)
	err := s.wait(ctx, method)
	for i := range out {
		out[i].Err = err
	}
	return out
}

func (s *stopped) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	if err := s.wait(ctx, "get"); err != nil {
		return model.Record{}, err
	}
	return s.Wrapper.Get(ctx, now, g)
}

func (s *stopped) Write(ctx context.Context, _ time.Time, _ driver.Write) (model.Record, error) {
	return model.Record{}, s.wait(ctx, "write")
}

func (s *stopped) Touch(ctx context.Context, _ time.Time, _ driver.Touch) (model.Record, error) {
	return model.Record{}, s.wait(ctx, "touch")
}

func (s *stopped) Delete(ctx context.Context, _ time.Time, _ driver.Delete) error {
	return s.wait(ctx, "delete")
}

func (s *stopped) Page(ctx context.Context, _ time.Time, _ driver.Query) (driver.Page, error) {
	return driver.Page{}, s.wait(ctx, "page")
}

func (s *stopped) DeleteExpired(ctx context.Context, _ driver.Sweep) (driver.Swept, error) {
	return driver.Swept{}, s.wait(ctx, "delete expired")
}

func (s *stopped) GetMany(ctx context.Context, _ time.Time, gets []driver.Get) []driver.BatchResult {
	return s.many(ctx, "get many", len(gets))
}

func (s *stopped) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	if !s.stalled {
		return s.Wrapper.WriteMany(ctx, now, ops)
	}
	return s.many(ctx, "write many", len(ops))
}

func (s *stopped) Count(ctx context.Context, _ time.Time, _ driver.Query) (int, error) {
	return 0, s.wait(ctx, "count")
}

func (s *stopped) Stat(ctx context.Context, _ time.Time, _ driver.Get) (driver.Stat, error) {
	return driver.Stat{}, s.wait(ctx, "stat")
}

func (s *stopped) CreateStorage(ctx context.Context) error { return s.wait(ctx, "create storage") }
func (s *stopped) DeleteStorage(ctx context.Context) error { return s.wait(ctx, "delete storage") }
func (s *stopped) Ping(ctx context.Context) error          { return s.wait(ctx, "ping") }

// TestStalledCallsEveryMethod has every method called on a stalled backend.
func TestStalledCallsEveryMethod(t *testing.T) {
	s := &stopped{Wrapper: driverkit.Wrap(open(t)), called: map[string]int{}}
	drivertest.Stalled(t, s, func() { s.stalled = true })
	want := "count,create storage,delete,delete expired,delete storage,get,get many,page,ping,stat,touch,write,write many"
	if got := strings.Join(slices.Sorted(maps.Keys(s.called)), ","); got != want {
		t.Errorf("called %s, want %s", got, want)
	}
}
