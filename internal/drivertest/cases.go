package drivertest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// RunCases runs the chosen cases of the suite, which must be at least as many as least,
// under the same names as conformance.Run.
func RunCases(t *testing.T, h conformance.Harness, least int, chosen func(name string) bool) {
	t.Helper()
	ran := 0
	t.Run("cases", func(t *testing.T) {
		for _, c := range conformance.Cases() {
			if !chosen(c.Name) {
				continue
			}
			ran++
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				if err := conformance.Check(t.Context(), h, c.Name); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if ran < least {
		t.Errorf("%d cases, want at least %d", ran, least)
	}
	t.Logf("%d cases", ran)
}

// Refusing is a backend that refuses the write for which none are left, and no
// later one.
type Refusing struct {
	driver.ModelExpirySupport
	Left *atomic.Int64
}

// Write refuses, or writes.
func (b Refusing) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if b.Left.Add(-1) == -1 {
		return model.Record{}, model.ErrUnavailable
	}
	return b.ModelExpirySupport.Write(ctx, now, w)
}
