package conformance_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// sweepMutant replaces DeleteExpired.
func sweepMutant(sweep func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error)) mutation {
	return simply(func(b driver.ModelExpirySupport, _ string) *mutant {
		return &mutant{Wrapper: driverkit.Wrap(b), sweep: func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			return sweep(ctx, b, before, limit, onExpire)
		}}
	})
}

func listedThenRemoved(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
	if onExpire == nil {
		return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit})
	}
	var s driver.Swept
	for _, r := range due(ctx, b, before, limit) {
		if onExpire(r) == nil && removeByID(ctx, b, r) == nil {
			s.Removed++
		}
	}
	return s, nil
}

func sweepMutants() map[string]mutation {
	return map[string]mutation{
		"a sweep exceeds its limit": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit + 1, OnExpire: onExpire})
		}),
		"a sweep never reports more": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			s, err := b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: onExpire})
			s.More = false
			return s, err
		}),
		"a sweep reports no more if other sweeps removed its records": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			s, err := listedThenRemoved(ctx, b, before, limit, onExpire)
			if onExpire != nil {
				s.More = s.Removed == limit
			}
			return s, err
		}),
		"a sweep skips as many records as were refused": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			if onExpire == nil {
				return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit})
			}
			var s driver.Swept
			for skip := 0; s.Removed < limit; {
				list := due(ctx, b, before, skip+limit)
				if len(list) <= skip {
					return s, nil
				}
				for _, r := range list[skip:] {
					if onExpire(r) != nil {
						skip++
					} else if removeByID(ctx, b, r) == nil {
						s.Removed++
					}
				}
			}
			s.More = true
			return s, nil
		}),
		"a sweep announces no labels": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: func(r model.Record) error {
				r.Labels = nil
				if onExpire == nil {
					return nil
				}
				return onExpire(r)
			}})
		}),
		"a refusal ends the sweep": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			list := due(ctx, b, before, limit)
			for _, r := range list {
				if onExpire == nil {
					break
				}
				if refused := onExpire(r); refused != nil {
					return driver.Swept{}, refused
				}
			}
			return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit})
		}),
		"a sweep only marks what it removes": sharing(func() bug {
			var marked sync.Map
			return func(b driver.ModelExpirySupport, store string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), sweep: func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
					var s driver.Swept
					for _, r := range due(ctx, b, before, 1000) {
						if _, twice := marked.LoadOrStore(recordKey{store, r.ID}, true); twice || onExpire != nil && onExpire(r) != nil {
							continue
						}
						s.Removed++
					}
					return s, nil
				}}
			}
		}),
		"a sweep removes by the record, not by its label's entries": sharing(func() bug {
			var mu sync.Mutex
			entries := map[recordKey]map[string]model.Record{}
			return func(b driver.ModelExpirySupport, store string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
						r, err := b.Write(ctx, now, w)
						mu.Lock()
						defer mu.Unlock()
						key := recordKey{store, r.Labels["principal"]}
						if entries[key] == nil {
							entries[key] = map[string]model.Record{}
						}
						entries[key][r.ID] = r
						return r, err
					},
					count: func(ctx context.Context, now time.Time, label, value string) (int, error) {
						if label == "" {
							return driver.Count(ctx, b, now, driver.Query{Label: label, Value: value})
						}
						mu.Lock()
						defer mu.Unlock()
						n := 0
						for _, r := range entries[recordKey{store, value}] {
							if !r.Expired(now) {
								n++
							}
						}
						return n, nil
					},
				}
			}
		}),
		"a sweep lists, then removes by id": sweepMutant(listedThenRemoved),
		"a sweep compares the expiry alone": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			var s driver.Swept
			for _, r := range due(ctx, b, before, limit) {
				if onExpire != nil && onExpire(r) != nil {
					continue
				}
				if cur, err := b.Get(ctx, time.Time{}, driver.Get{ID: r.ID}); err == nil && cur.ExpiresAt.Equal(r.ExpiresAt) && removeByID(ctx, b, r) == nil {
					s.Removed++
				}
			}
			return s, nil
		}),
		"a sweep and an extension cross": sharing(func() bug {
			d := newDuet()
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					sweep: func(ctx context.Context, before time.Time, limit int, _ func(model.Record) error) (driver.Swept, error) {
						var s driver.Swept
						list := due(ctx, b, before, limit)
						d.between()
						for _, r := range list {
							if removeByID(ctx, b, r) == nil {
								s.Removed++
							}
						}
						return s, nil
					},
					touch: func(ctx context.Context, now time.Time, t driver.Touch) (r model.Record, err error) {
						d.act(func() { r, err = b.Touch(ctx, now, t) })
						return r, err
					},
				}
			}
		}),
		"a sweep and a create cross": sharing(func() bug {
			d := newDuet()
			var one atomic.Bool
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					sweep: func(ctx context.Context, before time.Time, limit int, _ func(model.Record) error) (driver.Swept, error) {
						var s driver.Swept
						if one.Swap(true) {
							return s, nil
						}
						list := due(ctx, b, before, limit)
						d.between()
						for _, r := range list {
							if removeByID(ctx, b, r) == nil {
								s.Removed++
							}
						}
						return s, nil
					},
					write: func(ctx context.Context, now time.Time, w driver.Write) (r model.Record, err error) {
						if _, gerr := b.Get(ctx, time.Time{}, driver.Get{ID: w.Record.ID}); gerr != nil {
							return b.Write(ctx, now, w)
						}
						d.act(func() { r, err = b.Write(ctx, now, w) })
						return r, err
					},
				}
			}
		}),
		"two sweepers count the same removals": sharing(func() bug {
			var m meeting
			var one sync.Mutex
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), sweep: func(ctx context.Context, before time.Time, limit int, _ func(model.Record) error) (driver.Swept, error) {
					one.Lock()
					list := due(ctx, b, before, 1000)
					one.Unlock()
					slices.SortFunc(list, func(a, b model.Record) int { return strings.Compare(a.ID, b.ID) })
					list = list[:min(limit, len(list))]
					m.at("listed")
					for _, r := range list {
						_ = removeByID(ctx, b, r)
					}
					return driver.Swept{Removed: len(list), More: len(list) == limit}, nil
				}}
			}
		}),
		"a sweep counts a record that a delete removed first": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			n := 0
			s, err := b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: func(r model.Record) error {
				if onExpire != nil {
					if err := onExpire(r); err != nil {
						return err
					}
				}
				n++
				return nil
			}})
			s.Removed = n
			return s, err
		}),
		"a sweep holds its lock while it announces": sharing(func() bug {
			var lock sync.Mutex
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					sweep: func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
						if !lock.TryLock() {
							return driver.Swept{}, model.ErrUnavailable
						}
						defer lock.Unlock()
						return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: onExpire})
					},
					touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
						if !lock.TryLock() { // a mutex would wait forever
							return model.Record{}, model.ErrUnavailable
						}
						defer lock.Unlock()
						return b.Touch(ctx, now, t)
					},
				}
			}
		}),
		"a sweep counts a lost removal as removed": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			s, err := b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: onExpire})
			s.Removed, s.Unknown = s.Removed+s.Unknown, 0
			return s, err
		}),
		"a sweep returns no error for a lost removal": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			s, err := b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: onExpire})
			if s.Unknown > 0 {
				err = nil
			}
			return s, err
		}),
	}
}
