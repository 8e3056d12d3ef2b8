package driver

import (
	"errors"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

func TestConditionNames(t *testing.T) {
	for c, want := range map[Condition]string{
		0: "invalid", IfAny: "any", IfAbsent: "absent", IfPresent: "present", IfMatch: "match", 99: "invalid",
	} {
		if c.String() != want {
			t.Errorf("condition %d is %q, want %q", c, c, want)
		}
	}
}

// TestBatchOpIsOneOperation gives operations that are nothing, or two things.
func TestBatchOpIsOneOperation(t *testing.T) {
	var unused struct{ ModelExpirySupport } // a call of it would panic
	both := BatchOp{Write: &Write{}, Delete: &Delete{ID: "a", Cond: IfPresent}}
	for _, r := range WriteMany(t.Context(), unused, time.Time{}, []BatchOp{{}, both}) {
		if !errors.Is(r.Err, model.ErrInvalid) {
			t.Errorf("got %v, want %v", r.Err, model.ErrInvalid)
		}
	}
	if id := (BatchOp{}).ID(); id != "" {
		t.Errorf("the operation that is nothing has the id %q", id)
	}
}

func TestNothingBearsAnEmptyValue(t *testing.T) {
	q := Query{Label: "principal"}
	if q.Bears(&model.Record{ID: "a"}) {
		t.Error("a record without the label is in a listing by it")
	}
}
