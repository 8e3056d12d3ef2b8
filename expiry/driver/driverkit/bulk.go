package driverkit

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// IDs returns the ids of the requests, in order.
func IDs(gets []driver.Get) []string {
	ids := make([]string, len(gets))
	for i := range gets {
		ids[i] = gets[i].ID
	}
	return ids
}

// Answers sets the results of the requests to what was read by id, live or
// expired. What was not found is ErrNotFound, or err if that ended the reading.
func Answers(out []driver.BatchResult, gets []driver.Get, found map[string]driver.BatchResult, err error, now time.Time) {
	if err == nil {
		err = model.ErrNotFound
	}
	for i := range gets {
		o, stored := found[gets[i].ID]
		switch {
		case !stored:
			o.Err = err
		case o.Err == nil && o.Record.Expired(now):
			o = driver.BatchResult{Err: model.ErrNotFound}
		}
		out[i] = o
	}
}
