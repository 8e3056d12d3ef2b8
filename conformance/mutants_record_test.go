package conformance_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// writeMutant changes a write before the backend gets it.
func writeMutant(change func(ctx context.Context, now time.Time, b driver.ModelExpirySupport, w *driver.Write)) mutation {
	return simply(func(b driver.ModelExpirySupport, _ string) *mutant {
		return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
			change(ctx, now, b, &w)
			return b.Write(ctx, now, w)
		}}
	})
}

// answerMutant changes the result of a write.
func answerMutant(change func(w *driver.Write, r model.Record, err error) (model.Record, error)) mutation {
	return simply(func(b driver.ModelExpirySupport, _ string) *mutant {
		return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
			r, err := b.Write(ctx, now, w)
			return change(&w, r, err)
		}}
	})
}

// getMutant changes the result of a get.
func getMutant(change func(id string, r model.Record, err error) (model.Record, error)) mutation {
	return simply(func(b driver.ModelExpirySupport, _ string) *mutant {
		return &mutant{Wrapper: driverkit.Wrap(b), get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
			r, err := b.Get(ctx, now, driver.Get{ID: id})
			return change(id, r, err)
		}}
	})
}

func recordMutants() map[string]mutation {
	return map[string]mutation{
		"a record keeps the caller's texts": sharing(func() bug {
			ids := map[string]string{} // by its own copy
			var mu sync.Mutex
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
						mu.Lock()
						ids[strings.Clone(w.Record.ID)] = w.Record.ID
						mu.Unlock()
						return b.Write(ctx, now, w)
					},
					get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
						r, err := b.Get(ctx, now, driver.Get{ID: id})
						mu.Lock()
						defer mu.Unlock()
						if kept, ok := ids[id]; ok && err == nil {
							r.ID = kept
						}
						return r, err
					},
				}
			}
		}),
		"an update replaces what the store cannot read": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				w.Encodings = nil
				return b.Write(ctx, now, w)
			}}
		}),
		"get ignores the expiry": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), get: func(ctx context.Context, _ time.Time, id string) (model.Record, error) {
				return b.Get(ctx, time.Time{}, driver.Get{ID: id})
			}}
		}),
		"a call decides as of its beginning": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
				damageableOf(b).waits.Store(0)
				return b.Touch(ctx, now, t)
			}}
		}),
		"records expire a millisecond early": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
				return b.Get(ctx, now.Add(time.Millisecond), driver.Get{ID: id})
			}}
		}),
		"a record shares memory with its caller": sharing(func() bug {
			var kept sync.Map // records by revision
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
					r, err := b.Get(ctx, now, driver.Get{ID: id})
					if err != nil {
						return r, err
					}
					v, _ := kept.LoadOrStore(r.Revision, r)
					return v.(model.Record), nil
				}}
			}
		}),
		"ids are folded to lower case": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b),
				write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
					id := w.Record.ID
					w.Record.ID = strings.ToLower(id)
					r, err := b.Write(ctx, now, w)
					r.ID = id
					return r, err
				},
				get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
					r, err := b.Get(ctx, now, driver.Get{ID: strings.ToLower(id)})
					r.ID = id
					return r, err
				},
			}
		}),
		"stores whose names begin alike share their records": {opens: func(t testing.TB, w *cluster, name string) driver.ModelExpirySupport {
			return w.node(t, name[:min(13, len(name))])
		}},
		"the limit of a value is off by one": writeMutant(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, w *driver.Write) {
			if len(w.Record.Value) == damageableMax+1 {
				w.Record.Value = w.Record.Value[:damageableMax]
			}
		}),
		"bytes that are not text are repaired": writeMutant(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, w *driver.Write) {
			w.Record.Value = []byte(strings.ToValidUTF8(string(w.Record.Value), "\ufffd"))
		}),
		"an unknown id is an empty record": getMutant(func(id string, r model.Record, err error) (model.Record, error) {
			if errors.Is(err, model.ErrNotFound) {
				return model.Record{ID: id}, nil
			}
			return r, err
		}),
		"a record that never expires counts as expired": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				if cur, err := b.Get(ctx, now, driver.Get{ID: w.Record.ID}); err == nil && cur.ExpiresAt.IsZero() && w.Cond == driver.IfAbsent {
					w.Cond = driver.IfAny
				}
				return b.Write(ctx, now, w)
			}}
		}),
		"a create keeps an expired record's labels": writeMutant(func(ctx context.Context, _ time.Time, b driver.ModelExpirySupport, w *driver.Write) {
			if cur, err := b.Get(ctx, time.Time{}, driver.Get{ID: w.Record.ID}); err == nil && w.Cond == driver.IfAbsent {
				w.Record.Labels = cur.Labels
			}
		}),
		"an update creates": writeMutant(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, w *driver.Write) {
			if w.Cond == driver.IfPresent {
				w.Cond = driver.IfAny
			}
		}),
		"a compare-and-set of an unknown id is a conflict": answerMutant(func(w *driver.Write, r model.Record, err error) (model.Record, error) {
			if errors.Is(err, model.ErrNotFound) && w.Cond == driver.IfMatch {
				err = model.ErrConflict
			}
			return r, err
		}),
		"the server version decides": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			withVersion := func(r model.Record, err error) (model.Record, error) {
				r.ServerVersion = "h" + r.Revision.String()
				return r, err
			}
			return &mutant{Wrapper: driverkit.Wrap(b),
				get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
					return withVersion(b.Get(ctx, now, driver.Get{ID: id}))
				},
				write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
					if cur, err := b.Get(ctx, now, driver.Get{ID: w.Record.ID}); err == nil && w.Known.ServerVersion == "h"+cur.Revision.String() {
						w.Known.Revision = cur.Revision
					}
					return withVersion(b.Write(ctx, now, w))
				},
			}
		}),
		"an upsert keeps the earlier labels": writeMutant(func(ctx context.Context, now time.Time, b driver.ModelExpirySupport, w *driver.Write) {
			if cur, err := b.Get(ctx, now, driver.Get{ID: w.Record.ID}); err == nil && w.Cond == driver.IfAny && w.Record.Labels == nil {
				w.Record.Labels = cur.Labels
			}
		}),
		"an update clears the expiry that it should keep": writeMutant(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, w *driver.Write) {
			if w.Keep.Expiry {
				w.Keep.Expiry, w.Record.ExpiresAt = false, time.Time{}
			}
		}),
		"an update takes the labels that it should ignore": writeMutant(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, w *driver.Write) {
			w.Keep.Labels = false
		}),
		"an update without labels keeps the earlier ones": writeMutant(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, w *driver.Write) {
			if w.Cond == driver.IfPresent && w.Record.Labels == nil {
				w.Keep.Labels = true
			}
		}),
		"a write returns what was sent": answerMutant(func(w *driver.Write, r model.Record, err error) (model.Record, error) {
			if err == nil {
				r = w.Record.Head()
			}
			return r, err
		}),
		"a conflict does not return the winner": answerMutant(func(_ *driver.Write, r model.Record, err error) (model.Record, error) {
			if errors.Is(err, model.ErrConflict) {
				r = model.Record{}
			}
			return r, err
		}),
		"a write that conflicts moves the label": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				r, err := b.Write(ctx, now, w)
				if errors.Is(err, model.ErrConflict) {
					moved := r.Clone()
					moved.Labels = maps.Clone(w.Record.Labels)
					_, _ = b.Write(ctx, now, driver.Write{Record: moved, Cond: driver.IfPresent})
				}
				return r, err
			}}
		}),
		"no revision means no check": writeMutant(func(_ context.Context, _ time.Time, _ driver.ModelExpirySupport, w *driver.Write) {
			if w.Cond == driver.IfMatch && w.Known.Revision.IsZero() {
				w.Cond = driver.IfPresent
			}
		}),
		"an error quotes the value": answerMutant(func(w *driver.Write, r model.Record, err error) (model.Record, error) {
			if errors.Is(err, model.ErrExists) {
				err = model.NewError(model.ErrExists, "instead of "+string(w.Record.Value), nil)
			}
			return r, err
		}),
		"every encoding is read as JSON": getMutant(func(_ string, r model.Record, err error) (model.Record, error) {
			r.Encoding = "json"
			return r, err
		}),
		"an update replaces a damaged record": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				r, err := b.Write(ctx, now, w)
				if errors.Is(err, model.ErrCorrupt) {
					w.Cond = driver.IfAny
					return b.Write(ctx, now, w)
				}
				return r, err
			}}
		}),
		"an ended context is ignored": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				return b.Write(context.WithoutCancel(ctx), now, w)
			}}
		}),
		"a node reads from its own cache": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			var cache sync.Map
			return &mutant{Wrapper: driverkit.Wrap(b),
				get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
					if v, ok := cache.Load(id); ok {
						return v.(model.Record).Clone(), nil
					}
					r, err := b.Get(ctx, now, driver.Get{ID: id})
					if err == nil {
						cache.Store(id, r.Clone())
					}
					return r, err
				},
				write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
					cache.Delete(w.Record.ID)
					return b.Write(ctx, now, w)
				},
			}
		}),
	}
}
