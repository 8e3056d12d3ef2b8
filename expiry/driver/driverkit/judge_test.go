package driverkit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func TestJudge(t *testing.T) {
	live := &model.Record{ID: "a", Revision: model.NewRevision(), ExpiresAt: now.Add(time.Second), Value: []byte("v")}
	expired := &model.Record{ID: "a", Revision: model.NewRevision(), ExpiresAt: now}
	corrupt, lost := driverkit.Corrupt(driverkit.WhyForeign), driverkit.ReadError(t.Context(), errors.New("cut"))
	conditions := []driver.Condition{driver.IfAny, driver.IfAbsent, driver.IfPresent, driver.IfMatch}
	tests := []struct {
		name    string
		cur     *model.Record
		readErr error
		known   model.Revision
		want    [4]error // by condition
	}{
		{"nothing stored", nil, nil, live.Revision, [4]error{nil, nil, model.ErrNotFound, model.ErrNotFound}},
		{"read as not found", nil, model.ErrNotFound, live.Revision, [4]error{nil, nil, model.ErrNotFound, model.ErrNotFound}},
		{"a live record", live, nil, live.Revision, [4]error{nil, model.ErrExists, nil, nil}},
		{"another revision", live, nil, expired.Revision, [4]error{nil, model.ErrExists, nil, model.ErrConflict}},
		{"an expired record", expired, nil, expired.Revision, [4]error{nil, nil, model.ErrNotFound, model.ErrNotFound}},
		{"a corrupt record", nil, corrupt, live.Revision, [4]error{nil, model.ErrCorrupt, model.ErrCorrupt, model.ErrCorrupt}},
		{"a failed read", nil, lost, live.Revision, [4]error{model.ErrUnavailable, model.ErrUnavailable, model.ErrUnavailable, model.ErrUnavailable}},
	}
	for _, tt := range tests {
		for i, cond := range conditions {
			winner, err := driverkit.Judge(now, tt.cur, tt.readErr, cond, tt.known)
			if !errors.Is(err, tt.want[i]) {
				t.Errorf("%s under %v: got %v, want %v", tt.name, cond, err, tt.want[i])
			}
			if conflict := errors.Is(err, model.ErrConflict); conflict != (winner.ID == "a") {
				t.Errorf("%s under %v: got the winner %+v with %v", tt.name, cond, winner, err)
			}
		}
	}
	winner, _ := driverkit.Judge(now, live, nil, driver.IfMatch, expired.Revision)
	winner.Value[0] = 'X'
	if string(live.Value) != "v" {
		t.Error("the winner shares memory with the stored record")
	}
	if _, err := driverkit.Judge(now, live, nil, 0, live.Revision); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("without a condition: got %v, want %v", err, model.ErrInvalid)
	}
}
