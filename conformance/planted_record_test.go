package conformance_test

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// writeBug changes a write before it is carried out.
func writeBug(change func(ctx context.Context, now time.Time, b expiry.ModelExpirySupport, w *expiry.Write)) plant {
	return simply(func(b expiry.ModelExpirySupport, _ string) *broken {
		return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
			change(ctx, now, b, &w)
			return b.Write(ctx, now, w)
		}}
	})
}

// answerBug changes the answer to a write.
func answerBug(change func(w *expiry.Write, r model.Record, err error) (model.Record, error)) plant {
	return simply(func(b expiry.ModelExpirySupport, _ string) *broken {
		return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
			r, err := b.Write(ctx, now, w)
			return change(&w, r, err)
		}}
	})
}

// getBug changes the answer to a get.
func getBug(change func(id string, r model.Record, err error) (model.Record, error)) plant {
	return simply(func(b expiry.ModelExpirySupport, _ string) *broken {
		return &broken{ModelExpirySupport: b, get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
			r, err := b.Get(ctx, now, id)
			return change(id, r, err)
		}}
	})
}

func recordBugs() map[string]plant {
	return map[string]plant{
		"get ignores the expiry": simply(func(b expiry.ModelExpirySupport, _ string) *broken {
			return &broken{ModelExpirySupport: b, get: func(ctx context.Context, _ time.Time, id string) (model.Record, error) {
				return b.Get(ctx, time.Time{}, id)
			}}
		}),
		"records die a millisecond early": simply(func(b expiry.ModelExpirySupport, _ string) *broken {
			return &broken{ModelExpirySupport: b, get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
				return b.Get(ctx, now.Add(time.Millisecond), id)
			}}
		}),
		"a record shares memory with its caller": sharing(func() bug {
			var kept sync.Map // of revisions
			return func(b expiry.ModelExpirySupport, _ string) *broken {
				return &broken{ModelExpirySupport: b, get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
					r, err := b.Get(ctx, now, id)
					if err != nil {
						return r, err
					}
					v, _ := kept.LoadOrStore(r.Rev, r)
					return v.(model.Record), nil
				}}
			}
		}),
		"ids are folded to lower case": simply(func(b expiry.ModelExpirySupport, _ string) *broken {
			return &broken{ModelExpirySupport: b,
				write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
					id := w.ID
					w.ID = strings.ToLower(id)
					r, err := b.Write(ctx, now, w)
					r.ID = id
					return r, err
				},
				get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
					r, err := b.Get(ctx, now, strings.ToLower(id))
					r.ID = id
					return r, err
				},
			}
		}),
		"stores whose names begin alike share their records": {opens: func(t testing.TB, w *world, name string) expiry.ModelExpirySupport {
			return w.node(t, name[:min(13, len(name))])
		}},
		"the limit of a value is off by one": writeBug(func(_ context.Context, _ time.Time, _ expiry.ModelExpirySupport, w *expiry.Write) {
			if len(w.Value) == vaultMax+1 {
				w.Value = w.Value[:vaultMax]
			}
		}),
		"bytes that are no text are repaired": writeBug(func(_ context.Context, _ time.Time, _ expiry.ModelExpirySupport, w *expiry.Write) {
			w.Value = []byte(strings.ToValidUTF8(string(w.Value), "\ufffd"))
		}),
		"an unknown id is an empty record": getBug(func(id string, r model.Record, err error) (model.Record, error) {
			if model.KindOf(err) == model.ErrNotFound {
				return model.Record{ID: id}, nil
			}
			return r, err
		}),
		"a record that never expires counts as expired": simply(func(b expiry.ModelExpirySupport, _ string) *broken {
			return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
				if cur, err := b.Get(ctx, now, w.ID); err == nil && cur.ExpiresAt.IsZero() && w.Cond == model.Absent {
					w.Cond = model.Always
				}
				return b.Write(ctx, now, w)
			}}
		}),
		"a create keeps an expired record's labels": writeBug(func(ctx context.Context, _ time.Time, b expiry.ModelExpirySupport, w *expiry.Write) {
			if cur, err := b.Get(ctx, time.Time{}, w.ID); err == nil && w.Cond == model.Absent {
				w.Labels = cur.Labels
			}
		}),
		"an update creates": writeBug(func(_ context.Context, _ time.Time, _ expiry.ModelExpirySupport, w *expiry.Write) {
			if w.Cond == model.Live {
				w.Cond = model.Always
			}
		}),
		"a compare-and-set of nothing is a conflict": answerBug(func(w *expiry.Write, r model.Record, err error) (model.Record, error) {
			if model.KindOf(err) == model.ErrNotFound && w.Cond == model.Match {
				err = model.ErrConflict
			}
			return r, err
		}),
		"the hint decides": simply(func(b expiry.ModelExpirySupport, _ string) *broken {
			hint := func(r model.Record, err error) (model.Record, error) {
				r.Hint = "h" + r.Rev.String()
				return r, err
			}
			return &broken{ModelExpirySupport: b,
				get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
					return hint(b.Get(ctx, now, id))
				},
				write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
					if cur, err := b.Get(ctx, now, w.ID); err == nil && w.Prev.Hint == "h"+cur.Rev.String() {
						w.Prev.Rev = cur.Rev
					}
					return hint(b.Write(ctx, now, w))
				},
			}
		}),
		"an upsert keeps the labels of before": writeBug(func(ctx context.Context, now time.Time, b expiry.ModelExpirySupport, w *expiry.Write) {
			if cur, err := b.Get(ctx, now, w.ID); err == nil && w.Cond == model.Always && w.Labels == nil {
				w.Labels = cur.Labels
			}
		}),
		"an update clears the expiry that it should keep": writeBug(func(_ context.Context, _ time.Time, _ expiry.ModelExpirySupport, w *expiry.Write) {
			if w.KeepExpiry {
				w.KeepExpiry, w.ExpiresAt = false, time.Time{}
			}
		}),
		"an update takes the labels that it should ignore": writeBug(func(_ context.Context, _ time.Time, _ expiry.ModelExpirySupport, w *expiry.Write) {
			w.KeepLabels = false
		}),
		"an update without labels keeps those of before": writeBug(func(_ context.Context, _ time.Time, _ expiry.ModelExpirySupport, w *expiry.Write) {
			if w.Cond == model.Live && w.Labels == nil {
				w.KeepLabels = true
			}
		}),
		"the answer is what was sent": answerBug(func(w *expiry.Write, r model.Record, err error) (model.Record, error) {
			if err == nil {
				r = w.Head()
			}
			return r, err
		}),
		"a conflict names nobody": answerBug(func(_ *expiry.Write, r model.Record, err error) (model.Record, error) {
			if model.KindOf(err) == model.ErrConflict {
				r = model.Record{}
			}
			return r, err
		}),
		"a conflict has moved the label already": simply(func(b expiry.ModelExpirySupport, _ string) *broken {
			return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
				r, err := b.Write(ctx, now, w)
				if model.KindOf(err) == model.ErrConflict {
					moved := r.Clone()
					moved.Labels = maps.Clone(w.Labels)
					_, _ = b.Write(ctx, now, expiry.Write{Record: moved, Cond: model.Live})
				}
				return r, err
			}}
		}),
		"no revision means no check": writeBug(func(_ context.Context, _ time.Time, _ expiry.ModelExpirySupport, w *expiry.Write) {
			if w.Cond == model.Match && w.Prev.Rev.IsZero() {
				w.Cond = model.Live
			}
		}),
		"an error quotes the value": answerBug(func(w *expiry.Write, r model.Record, err error) (model.Record, error) {
			if model.KindOf(err) == model.ErrExists {
				err = model.Fault(model.ErrExists, "instead of "+string(w.Value), nil)
			}
			return r, err
		}),
		"every encoding is taken for JSON": getBug(func(_ string, r model.Record, err error) (model.Record, error) {
			r.Encoding = "json"
			return r, err
		}),
		"a damaged record is made anew by an update": simply(func(b expiry.ModelExpirySupport, _ string) *broken {
			return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
				r, err := b.Write(ctx, now, w)
				if model.KindOf(err) == model.ErrCorrupt {
					w.Cond = model.Always
					return b.Write(ctx, now, w)
				}
				return r, err
			}}
		}),
		"an ended context is not looked at": simply(func(b expiry.ModelExpirySupport, _ string) *broken {
			return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
				return b.Write(context.WithoutCancel(ctx), now, w)
			}}
		}),
		"a node reads from its own cache": simply(func(b expiry.ModelExpirySupport, _ string) *broken {
			var cache sync.Map
			return &broken{ModelExpirySupport: b,
				get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
					if v, ok := cache.Load(id); ok {
						return v.(model.Record).Clone(), nil
					}
					r, err := b.Get(ctx, now, id)
					if err == nil {
						cache.Store(id, r.Clone())
					}
					return r, err
				},
				write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
					cache.Delete(w.ID)
					return b.Write(ctx, now, w)
				},
			}
		}),
	}
}
