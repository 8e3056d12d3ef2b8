package conformance_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// at names a revision of a record, at which two callers meet.
type at struct {
	id  string
	rev model.Revision
}

func raceMutants() map[string]mutation {
	return map[string]mutation{
		"a create reads, then upserts": sharing(func() bug {
			var m meeting
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
					if w.Cond == driver.IfAbsent {
						if _, err := b.Get(ctx, now, driver.Get{ID: w.Record.ID}); err == nil {
							return model.Record{}, model.ErrExists
						}
						m.at(w.Record.ID)
						w.Cond = driver.IfAny
					}
					return b.Write(ctx, now, w)
				}}
			}
		}),
		"a create over an expired record reads, then upserts": sharing(func() bug {
			var m meeting
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
					old, err := b.Get(ctx, time.Time{}, driver.Get{ID: w.Record.ID})
					if w.Cond == driver.IfAbsent && err == nil && old.Expired(now) {
						m.at(at{w.Record.ID, old.Revision})
						w.Cond = driver.IfAny
					}
					return b.Write(ctx, now, w)
				}}
			}
		}),
		"a compare-and-set compares, then updates": sharing(func() bug {
			var m meeting
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
					if w.Cond != driver.IfMatch {
						return b.Write(ctx, now, w)
					}
					cur, err := b.Get(ctx, now, driver.Get{ID: w.Record.ID})
					if err != nil {
						return model.Record{}, err
					}
					if cur.Revision != w.Known.Revision {
						return cur, model.ErrConflict
					}
					m.at(at{w.Record.ID, cur.Revision})
					w.Cond = driver.IfPresent
					return b.Write(ctx, now, w)
				}}
			}
		}),
		"a compare-and-set compares, then upserts": sharing(func() bug {
			d := newDuet()
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
						if w.Cond != driver.IfMatch {
							return b.Write(ctx, now, w)
						}
						cur, err := b.Get(ctx, now, driver.Get{ID: w.Record.ID})
						d.between()
						if err != nil || cur.Revision != w.Known.Revision {
							return cur, model.ErrConflict
						}
						w.Record = w.Result(&cur)
						w.Cond, w.Keep.Expiry, w.Keep.Labels = driver.IfAny, false, false
						return b.Write(ctx, now, w)
					},
					delete: func(ctx context.Context, now time.Time, id string, c driver.Condition, known model.Record) (err error) {
						d.act(func() { err = b.Delete(ctx, now, driver.Delete{ID: id, Cond: c, Known: known}) })
						return err
					},
				}
			}
		}),
		"a touch compares the revision, then sets": sharing(func() bug {
			d := newDuet()
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
						cur, err := b.Get(ctx, now, driver.Get{ID: t.ID})
						d.between()
						if err == nil {
							err = t.Judge(now, &cur)
						}
						if err != nil {
							return model.Record{}, err
						}
						t.Cond = driver.IfPresent
						return b.Touch(ctx, now, t)
					},
					write: func(ctx context.Context, now time.Time, w driver.Write) (r model.Record, err error) {
						if w.Cond != driver.IfAny {
							return b.Write(ctx, now, w)
						}
						d.act(func() { r, err = b.Write(ctx, now, w) })
						return r, err
					},
				}
			}
		}),
		"a touch reads, then writes the record back": sharing(func() bug {
			d := newDuet()
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
						cur, err := b.Get(ctx, now, driver.Get{ID: t.ID})
						d.between()
						if err != nil {
							return model.Record{}, err
						}
						cur.ExpiresAt = t.Result(cur.ExpiresAt)
						return b.Write(ctx, now, driver.Write{Record: cur, Cond: driver.IfAny})
					},
					write: func(ctx context.Context, now time.Time, w driver.Write) (r model.Record, err error) {
						if w.Cond != driver.IfMatch {
							return b.Write(ctx, now, w)
						}
						d.act(func() { r, err = b.Write(ctx, now, w) })
						return r, err
					},
				}
			}
		}),
		"a touch brings back a record that was deleted meanwhile": sharing(func() bug {
			d := newDuet()
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
						cur, err := b.Get(ctx, now, driver.Get{ID: t.ID})
						d.between()
						if err != nil {
							return model.Record{}, err
						}
						cur.ExpiresAt = t.Result(cur.ExpiresAt)
						return b.Write(ctx, now, driver.Write{Record: cur, Cond: driver.IfAny})
					},
					delete: func(ctx context.Context, now time.Time, id string, c driver.Condition, known model.Record) (err error) {
						d.act(func() { err = b.Delete(ctx, now, driver.Delete{ID: id, Cond: c, Known: known}) })
						return err
					},
				}
			}
		}),
		"an extension compares, then sets": sharing(func() bug {
			// One of the earlier times is set after the latest, which is 23 minutes
			// later.
			var n atomic.Int32
			held, latest := newGate(), newGate()
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
					cur, err := b.Get(ctx, now, driver.Get{ID: t.ID})
					if err != nil || !t.ExpiresAt.After(cur.ExpiresAt) {
						return cur.Head(), err
					}
					t.Mode = driver.TouchSet
					if t.ExpiresAt.Sub(now) >= time.Hour+23*time.Minute {
						held.wait()
						defer latest.open()
					} else if n.Add(1) == 1 {
						held.open()
						latest.wait()
					}
					return b.Touch(ctx, now, t)
				}}
			}
		}),
		"a delete reads, then removes": sharing(func() bug {
			var m meeting
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), delete: func(ctx context.Context, now time.Time, id string, c driver.Condition, known model.Record) error {
					cur, err := b.Get(ctx, now, driver.Get{ID: id})
					if err == nil {
						err = driver.Judge(now, &cur, c, known.Revision)
					}
					if err != nil {
						return err
					}
					m.at(at{id, cur.Revision})
					_ = b.Delete(ctx, now, driver.Delete{ID: id, Cond: driver.IfPresent})
					return nil
				}}
			}
		}),
		"a delete compares, then removes": sharing(func() bug {
			d := newDuet()
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					delete: func(ctx context.Context, now time.Time, id string, c driver.Condition, known model.Record) error {
						if c != driver.IfMatch {
							return b.Delete(ctx, now, driver.Delete{ID: id, Cond: c, Known: known})
						}
						cur, err := b.Get(ctx, now, driver.Get{ID: id})
						d.between()
						if err == nil {
							err = driver.Judge(now, &cur, c, known.Revision)
						}
						if err != nil {
							return err
						}
						return b.Delete(ctx, now, driver.Delete{ID: id, Cond: driver.IfPresent})
					},
					write: func(ctx context.Context, now time.Time, w driver.Write) (r model.Record, err error) {
						if w.Cond != driver.IfPresent {
							return b.Write(ctx, now, w)
						}
						d.act(func() { r, err = b.Write(ctx, now, w) })
						return r, err
					},
				}
			}
		}),
		"a record is written in two steps": sharing(func() bug {
			var once atomic.Bool
			torn, read := newGate(), newGate()
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
						cur, err := b.Get(ctx, now, driver.Get{ID: w.Record.ID})
						if w.Cond == driver.IfAny && err == nil && cur.Labels["principal"] != w.Record.Labels["principal"] && once.CompareAndSwap(false, true) {
							half := w
							half.Record.Labels = cur.Labels
							_, _ = b.Write(ctx, now, half)
							torn.open()
							read.wait()
						}
						if w.Cond == driver.IfAny && !torn.isOpen() {
							torn.wait() // or this write would repair the torn record
						}
						if w.Cond == driver.IfAny && !read.isOpen() {
							read.wait()
						}
						return b.Write(ctx, now, w)
					},
					get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
						torn.wait()
						r, err := b.Get(ctx, now, driver.Get{ID: id})
						read.open()
						return r, err
					},
				}
			}
		}),
		"a replica that lags answers reads": sharing(func() bug {
			var before sync.Map
			return func(b driver.ModelExpirySupport, store string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
						cur, err := b.Get(ctx, now, driver.Get{ID: w.Record.ID})
						r, werr := b.Write(ctx, now, w)
						if err == nil && werr == nil {
							before.Store(recordKey{store, w.Record.ID}, cur)
						}
						return r, werr
					},
					get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
						if v, ok := before.Load(recordKey{store, id}); ok {
							return v.(model.Record).Clone(), nil
						}
						return b.Get(ctx, now, driver.Get{ID: id})
					},
				}
			}
		}),
		"a count includes rewritten records twice": sharing(func() bug {
			var rewrites atomic.Int64
			rewritten := newGate()
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
						r, err := b.Write(ctx, now, w)
						if err == nil && w.Cond == driver.IfPresent {
							rewrites.Add(1)
							rewritten.open()
						}
						return r, err
					},
					count: func(ctx context.Context, now time.Time, label, value string) (int, error) {
						rewritten.wait()
						n, err := driver.Count(ctx, b, now, driver.Query{Label: label, Value: value})
						return n + 1000*int(rewrites.Load()), err
					},
				}
			}
		}),
		"a listing by label reads its records later": sharing(func() bug {
			// The index is read. One of its records moves to another label. Then the
			// records are read without a check of the label.
			arrived := newGate()
			d := newDuet()
			var listed, moved atomic.Bool // once
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				mover := func(id string) bool { return len(id) > 5 && id[:5] == "moves" }
				return &mutant{Wrapper: driverkit.Wrap(b),
					write: func(ctx context.Context, now time.Time, w driver.Write) (r model.Record, err error) {
						if !mover(w.Record.ID) || w.Cond != driver.IfPresent {
							return b.Write(ctx, now, w)
						}
						if w.Record.Labels["principal"] == "bob" && !moved.Swap(true) {
							d.act(func() { r, err = b.Write(ctx, now, w) })
							return r, err
						}
						r, err = b.Write(ctx, now, w)
						if w.Record.ID == "moves0" {
							arrived.open()
						}
						return r, err
					},
					page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
						if q.Label == "" || q.Value != "ann" {
							return b.Page(ctx, now, q)
						}
						arrived.wait()
						q.Limit = 1000
						p, err := b.Page(ctx, now, q)
						if !listed.Swap(true) {
							d.between()
						}
						for i, r := range p.Records {
							if got, err := b.Get(ctx, now, driver.Get{ID: r.ID}); err == nil {
								p.Records[i] = got
							}
						}
						return p, err
					},
				}
			}
		}),
		"a canceled write is reported as not sent": sharing(func() bug {
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
					r, err := b.Write(context.WithoutCancel(ctx), now, w)
					if ctx.Done() != nil && len(w.Record.Value) > 4000 {
						wait(ctx.Done()) // the answer is late
						return model.Record{}, ctx.Err()
					}
					return r, err
				}}
			}
		}),
	}
}
