package driverkit_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func TestErrorsOfLostAnswers(t *testing.T) {
	cut := errors.New("the connection broke")
	dial := &net.OpError{Op: "dial", Err: cut}
	passed, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
	defer cancel()
	ctx := context.Background()
	tests := []struct {
		name   string
		err    error
		kind   error // the sentinel; nil means none
		causes []error
	}{
		{"read", driverkit.ReadError(ctx, cut), model.ErrUnavailable, []error{cut}},
		{"read without a connection", driverkit.ReadError(ctx, dial), model.ErrUnavailable, []error{cut}},
		{"read of a canceled call", driverkit.ReadError(ended(), context.Canceled), nil, []error{context.Canceled}},
		{"read that broke when the call was canceled", driverkit.ReadError(ended(), cut), model.ErrUnavailable, []error{cut, context.Canceled}},
		{"write that was sent", driverkit.WriteError(ctx, cut, true, ""), model.ErrUnknown, []error{cut}},
		{"write that was sent and canceled", driverkit.WriteError(ended(), cut, true, ""), model.ErrUnknown, []error{cut, context.Canceled}},
		{"write that was sent until the deadline", driverkit.WriteError(passed, cut, true, ""), model.ErrUnknown, []error{cut, context.DeadlineExceeded}},
		{"write that was not sent", driverkit.WriteError(ctx, cut, false, "check the port"), model.ErrUnavailable, []error{cut}},
		{"write without a connection", driverkit.WriteError(ctx, dial, false, ""), model.ErrUnavailable, []error{cut}},
		{"write canceled before it was sent", driverkit.WriteError(ended(), cut, false, ""), nil, []error{context.Canceled}},
		{"write that a deadline kept from being sent", driverkit.WriteError(lateContext{ctx}, cut, false, ""), nil, []error{context.DeadlineExceeded}},
		{"dial that a deadline ended", driverkit.WriteError(lateContext{ctx}, dial, false, ""), nil, []error{context.DeadlineExceeded}},
		{"read that a deadline ended", driverkit.ReadError(lateContext{ctx}, context.DeadlineExceeded), nil, []error{context.DeadlineExceeded}},
		{"read whose client has a limit of its own", driverkit.ReadError(ctx, context.DeadlineExceeded), model.ErrUnavailable, []error{context.DeadlineExceeded}},
		{"contended write", driverkit.Contended(), model.ErrUnavailable, nil},
		{"unexpected reply", driverkit.BadReply(), model.ErrUnknown, nil},
		{"corrupt record", driverkit.Corrupt(driverkit.WhyNewer), model.ErrCorrupt, nil},
	}
	for _, tt := range tests {
		if kind := model.Kind(tt.err); kind != tt.kind {
			t.Errorf("%s: %v is %v, want %v", tt.name, tt.err, kind, tt.kind)
		}
		for _, cause := range tt.causes {
			if !errors.Is(tt.err, cause) {
				t.Errorf("%s: %v does not match the cause %v", tt.name, tt.err, cause)
			}
		}
	}
}

// lateContext is a context whose deadline has passed and that has not noticed
// it: its timer is late on a busy machine.
type lateContext struct{ context.Context }

func (lateContext) Deadline() (time.Time, bool) { return time.Unix(1, 0), true }

func TestWaitAndPauseEndWithTheContext(t *testing.T) {
	if err := driverkit.Wait(ended(), time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait returns %v, want %v", err, context.Canceled)
	}
	if err := driverkit.Wait(t.Context(), 0); err != nil {
		t.Errorf("Wait for no time returns %v, want nil", err)
	}
	if err := driverkit.Pause(t.Context(), 0); err != nil {
		t.Errorf("Pause returns %v, want nil", err)
	}
}

func TestParallelRunsAllAtTheWidth(t *testing.T) {
	for _, n := range []int{0, 1, 7} {
		slots := make(chan struct{}, 3)
		done := make([]bool, n)
		driverkit.Parallel(n, cap(slots), func(i int) {
			select {
			case slots <- struct{}{}:
			default:
				t.Error("more calls run at a time than the width")
			}
			done[i] = true
			<-slots
		})
		for i, ran := range done {
			if !ran {
				t.Errorf("do(%d) of %d did not run", i, n)
			}
		}
	}
}
