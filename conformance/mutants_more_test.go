package conformance_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

var errKept = errors.New("the mutant does not remove it")

// sweepWithout returns a sweep that never removes the records for which lost
// returns true.
func sweepWithout(b driver.ModelExpirySupport, lost func(model.Record) bool) func(context.Context, time.Time, int, func(model.Record) error) (driver.Swept, error) {
	return func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
		return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: func(r model.Record) error {
			switch {
			case lost(r):
				return errKept
			case onExpire != nil:
				return onExpire(r)
			}
			return nil
		}})
	}
}

// moreMutants make mistakes that internal/tools/mutants found, as it made them in
// backends.
func moreMutants() map[string]mutation {
	return map[string]mutation{
		"a count includes what a sweep announces": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			announced := 0
			return &mutant{Wrapper: driverkit.Wrap(b),
				count: func(ctx context.Context, now time.Time, label, value string) (int, error) {
					n, err := driver.Count(ctx, b, now, driver.Query{Label: label, Value: value})
					return n + announced, err
				},
				sweep: func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
					defer func() { announced = 0 }()
					return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: func(r model.Record) error {
						if onExpire == nil {
							return nil
						}
						announced = 1
						return onExpire(r)
					}})
				},
			}
		}),
		"a sweep with OnExpire exceeds its limit": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			if onExpire != nil {
				limit++
			}
			return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: onExpire})
		}),
		"a label that comes back is not listed":      hidingLabels(func(first, now map[string]string) bool { return first["principal"] == now["principal"] }),
		"a label is not listed if another one stays": hidingLabels(func(_, now map[string]string) bool { return now["state"] != "" && now["principal"] == "bob" }),
		"an update keeps the caller's texts": sharing(func() bug {
			kept := map[string]string{} // encodings, by the id's own copy
			var mu sync.Mutex
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
						r, err := b.Write(ctx, now, w)
						mu.Lock()
						defer mu.Unlock()
						if err == nil && w.Cond != driver.IfAbsent {
							kept[strings.Clone(w.Record.ID)] = w.Record.Encoding
						}
						return r, err
					},
					get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
						r, err := b.Get(ctx, now, driver.Get{ID: id})
						mu.Lock()
						defer mu.Unlock()
						if encoding, ok := kept[id]; ok && err == nil {
							r.Encoding = encoding
						}
						return r, err
					},
				}
			}
		}),
		"a stat answers after Close": closing(func(m *mutant, b driver.ModelExpirySupport, closed *atomic.Bool) {
			m.stat = func(ctx context.Context, now time.Time, id string) (driver.Stat, error) {
				if ctx.Err() == nil && closed.Load() {
					return driver.Stat{}, nil
				}
				return driver.GetStat(ctx, b, now, driver.Get{ID: id})
			}
		}),
		"a write keeps the server version that the caller sent": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				r, err := b.Write(ctx, now, w)
				r.ServerVersion = w.Record.ServerVersion
				return r, err
			}}
		}),
		"a count leaves out at most two expired records": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), count: func(ctx context.Context, now time.Time, label, value string) (int, error) {
				q := driver.Query{Label: label, Value: value}
				live, err := driver.Count(ctx, b, now, q)
				if err != nil {
					return 0, err
				}
				all, err := driver.Count(ctx, b, time.Time{}, q)
				return live + max(0, all-live-2), err
			}}
		}),
		"a delete hides the record beside it from sweeps": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			deletes, hidden := 0, ""
			return &mutant{Wrapper: driverkit.Wrap(b),
				writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
					for _, op := range ops {
						if op.Delete != nil {
							deletes++
						}
					}
					return driver.WriteMany(ctx, b, now, ops)
				},
				sweep: sweepWithout(b, func(r model.Record) bool {
					if deletes > 20 && hidden == "" {
						hidden = r.ID
					}
					return hidden == r.ID
				}),
			}
		}),
		"a touch of one record hides another from sweeps": sharing(func() bug {
			var mu sync.Mutex
			touches, hidden := 0, map[string]bool{}
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
						mu.Lock()
						defer mu.Unlock()
						if touches++; touches > 40 && touches%20 == 0 {
							hidden[t.ID] = true
						}
						return b.Touch(ctx, now, t)
					},
					sweep: sweepWithout(b, func(r model.Record) bool {
						mu.Lock()
						defer mu.Unlock()
						return hidden[r.ID]
					}),
				}
			}
		}),
	}
}

// hidingLabels leaves a record out of listings by principal after its second
// write on, if hides says so about its first and its present labels.
func hidingLabels(hides func(first, now map[string]string) bool) mutation {
	return sharing(func() bug {
		var mu sync.Mutex
		first, hidden := map[string]map[string]string{}, map[string]bool{}
		return func(b driver.ModelExpirySupport, _ string) *mutant {
			note := func(w *driver.Write) {
				mu.Lock()
				defer mu.Unlock()
				id := strings.Clone(w.Record.ID)
				before, again := first[id]
				if !again {
					before = w.Record.Labels
					first[id] = before
				}
				hidden[id] = again && hides(before, w.Record.Labels)
			}
			return &mutant{Wrapper: driverkit.Wrap(b),
				writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
					for _, op := range ops {
						if op.Write != nil {
							note(op.Write)
						}
					}
					return driver.WriteMany(ctx, b, now, ops)
				},
				page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
					p, err := b.Page(ctx, now, q)
					mu.Lock()
					defer mu.Unlock()
					p.Records = slices.DeleteFunc(p.Records, func(r model.Record) bool { return q.Label == "principal" && hidden[r.ID] })
					return p, err
				},
			}
		}
	})
}
