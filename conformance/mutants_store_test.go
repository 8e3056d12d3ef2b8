package conformance_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// sent returns a mutant of a Store that changes the writes it sends.
func sent(change func(w *driver.Write)) mutation {
	return inStore(func() bug {
		return func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				change(&w)
				return b.Write(ctx, now, w)
			}}
		}
	})
}

// received returns a mutant of a Store that changes the records it gets.
func received(change func(r *model.Record)) mutation {
	return inStore(func() bug {
		return func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
				r, err := b.Get(ctx, now, driver.Get{ID: id})
				if err == nil {
					change(&r)
				}
				return r, err
			}}
		}
	})
}

// fields returns the members of a JSON object, or nil if data is not an
// object.
func fields(data []byte) map[string]any {
	var m map[string]any
	_ = json.Unmarshal(data, &m)
	return m
}

func storeMutants() map[string]mutation {
	return map[string]mutation{
		"an upsert ignores the store's TTL": sent(func(w *driver.Write) {
			if w.Cond == driver.IfAny {
				w.Record.ExpiresAt = time.Time{}
			}
		}),
		"an update drops the labels that it was not given": sent(func(w *driver.Write) {
			if w.Cond == driver.IfPresent {
				w.Keep.Labels = false
			}
		}),
		"an expiry rounds down": sent(func(w *driver.Write) {
			if !w.Record.ExpiresAt.IsZero() {
				w.Record.ExpiresAt = w.Record.ExpiresAt.Add(-time.Millisecond)
			}
		}),
		"a revision is the hash of the value": sent(func(w *driver.Write) {
			sum := sha256.Sum256(w.Record.Value)
			copy(w.Record.Revision[:], sum[:])
		}),
		"numbers pass through a vendor's encoder": sent(func(w *driver.Write) {
			if m := fields(w.Record.Value); m != nil {
				w.Record.Value, _ = json.Marshal(m)
			}
		}),
		"fields that were not named are encoded again": received(func(r *model.Record) {
			if m := fields(r.Value); m != nil {
				r.Value, _ = json.Marshal(m)
			}
		}),
		"a nested value is merged": sent(func(w *driver.Write) {
			next, before := fields(w.Record.Value), fields(w.Known.Value)
			for name, v := range before {
				old, isMap := v.(map[string]any)
				now, stays := next[name].(map[string]any)
				for k, v := range old {
					if _, there := now[k]; isMap && stays && !there {
						now[k] = v
					}
				}
			}
			if next != nil {
				w.Record.Value, _ = json.Marshal(next)
			}
		}),
		"a mutation that changes nothing is written": received(func(r *model.Record) {
			r.Value = append(bytes.Clone(r.Value), ' ')
		}),
		"a get takes two calls": inStore(func() bug {
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
					_, _ = b.Get(ctx, now, driver.Get{ID: id})
					return b.Get(ctx, now, driver.Get{ID: id})
				}}
			}
		}),
		"two takers both get the record": inStore(func() bug {
			var m meeting
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), delete: func(ctx context.Context, now time.Time, id string, c driver.Condition, known model.Record) error {
					m.at(at{id, known.Revision})
					_ = b.Delete(ctx, now, driver.Delete{ID: id, Cond: c, Known: known})
					return nil
				}}
			}
		}),
		"two mutations start from the same value": inStore(func() bug {
			var m meeting
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
					if w.Cond == driver.IfMatch {
						m.at("read")
						w.Cond = driver.IfPresent
					}
					return b.Write(ctx, now, w)
				}}
			}
		}),
		"a delete by label counts what others removed": inStore(func() bug {
			var m meeting
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
					m.at("listed")
					out := driver.WriteMany(ctx, b, now, ops)
					for i := range out {
						if ops[i].Delete != nil && errors.Is(out[i].Err, model.ErrNotFound) {
							out[i].Err = nil
						}
					}
					return out
				}}
			}
		}),
		"a delete by label lists once": inStore(func() bug {
			var listed atomic.Bool
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
					if q.Label != "" && q.After == "" && listed.Swap(true) {
						return driver.Page{}, nil
					}
					return b.Page(ctx, now, q)
				}}
			}
		}),
		"results are sorted by id": inStore(func() bug {
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), getMany: func(ctx context.Context, now time.Time, ids []string) []driver.BatchResult {
					sorted := slices.Sorted(slices.Values(ids))
					return driver.GetMany(ctx, b, now, driver.Gets(sorted...))
				}}
			}
		}),
		"a bulk returns its errors at wrong indexes": inStore(func() bug {
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
					out := driver.WriteMany(ctx, b, now, ops)
					slices.SortStableFunc(out, func(a, b driver.BatchResult) int {
						return strings.Compare(failed(a), failed(b))
					})
					return out
				}}
			}
		}),
		"a reindex removes the expiry": inStore(func() bug {
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
					for i := range ops {
						ops[i].Write.Keep.Expiry, ops[i].Write.Record.ExpiresAt = false, time.Time{}
					}
					return driver.WriteMany(ctx, b, now, ops)
				}}
			}
		}),
		"a sweep ignores the grace": inStore(func() bug {
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), sweep: func(ctx context.Context, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
					return b.DeleteExpired(ctx, driver.Sweep{Before: before.Add(time.Minute), Limit: limit, OnExpire: onExpire})
				}}
			}
		}),
	}
}

// failed sorts failed results behind the others.
func failed(o driver.BatchResult) string {
	if o.Err != nil {
		return "b"
	}
	return "a"
}
