package driverkit

import (
	"errors"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Judge decides a condition against what a backend read: the stored record,
// nil for nothing, and the error of reading it. An upsert overwrites a record
// that is ErrCorrupt; every other condition returns the error. With
// ErrConflict it returns a copy of the record that won.
func Judge(now time.Time, cur *model.Record, readErr error, c driver.Condition, known model.Revision) (winner model.Record, err error) {
	switch {
	case readErr == nil:
	case errors.Is(readErr, model.ErrNotFound):
		cur = nil
	case errors.Is(readErr, model.ErrCorrupt) && c == driver.IfAny:
		cur = nil
	default:
		return model.Record{}, readErr
	}
	err = driver.Judge(now, cur, c, known)
	if errors.Is(err, model.ErrConflict) {
		return cur.Clone(), err
	}
	return model.Record{}, err
}

// JudgeWrite is Judge for a write, which may also refuse the encoding of what is
// stored.
func JudgeWrite(now time.Time, cur *model.Record, readErr error, w *driver.Write) (winner model.Record, err error) {
	winner, err = Judge(now, cur, readErr, w.Cond, w.Known.Revision)
	if err == nil && readErr == nil {
		err = w.Judge(now, cur)
	}
	return winner, err
}
