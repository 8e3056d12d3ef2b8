package conformance_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// closing returns a mutant that knows whether it is closed.
func closing(change func(m *mutant, b driver.ModelExpirySupport, closed *atomic.Bool)) mutation {
	return simply(func(b driver.ModelExpirySupport, _ string) *mutant {
		var closed atomic.Bool
		m := &mutant{Wrapper: driverkit.Wrap(b), close: func() error { closed.Store(true); return b.Close() }}
		change(m, b, &closed)
		return m
	})
}

// withoutUndeclared returns the write without its undeclared labels.
func withoutUndeclared(w driver.Write) driver.Write {
	w.Record = w.Record.Clone()
	delete(w.Record.Labels, "undeclared")
	return w
}

// batchMutant replaces WriteMany.
func batchMutant(writeMany func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, ops []driver.BatchOp) []driver.BatchResult) mutation {
	return simply(func(b driver.ModelExpirySupport, _ string) *mutant {
		return &mutant{Wrapper: driverkit.Wrap(b), writeMany: func(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
			return writeMany(ctx, b, now, ops)
		}}
	})
}

// tokenMutant accepts a refused token if accepts does, given the listing and
// all tokens that were returned so far, with their listings.
func tokenMutant(accepts func(asked listing, token string, given map[string]listing) bool) mutation {
	return sharing(func() bug {
		var mu sync.Mutex
		given := map[string]listing{}
		return func(b driver.ModelExpirySupport, store string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
				asked := listing{store, q.Label, q.Value}
				p, err := b.Page(ctx, now, q)
				mu.Lock()
				defer mu.Unlock()
				if err != nil && q.After != "" && accepts(asked, q.After, given) {
					return driver.Page{}, nil
				}
				if p.Next != "" {
					given[p.Next] = asked
				}
				return p, err
			}}
		}
	})
}

// listing tells one listing from another.
type listing struct{ store, label, value string }

func orderMutants() map[string]mutation {
	return map[string]mutation{
		"the context is checked before the request": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
				if err := ctx.Err(); err != nil {
					return model.Record{}, err
				}
				return b.Touch(ctx, now, t)
			}}
		}),
		"Close is checked before the request": closing(func(m *mutant, b driver.ModelExpirySupport, closed *atomic.Bool) {
			m.write = func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				if closed.Load() {
					return model.Record{}, model.ErrClosed
				}
				return b.Write(ctx, now, w)
			}
		}),
		"Close is checked before the context": closing(func(m *mutant, b driver.ModelExpirySupport, closed *atomic.Bool) {
			m.count = func(ctx context.Context, now time.Time, label, value string) (int, error) {
				if closed.Load() {
					return 0, model.ErrClosed
				}
				return driver.Count(ctx, b, now, driver.Query{Label: label, Value: value})
			}
		}),
		"a batch checks the context once, before its items": batchMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
			if err := ctx.Err(); err != nil {
				out := make([]driver.BatchResult, len(ops))
				for i := range out {
					out[i].Err = err
				}
				return out
			}
			return driver.WriteMany(ctx, b, now, ops)
		}),
		"a page without a limit has all records": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			if q.Limit < 1 {
				q.Limit = 1000
			}
			return b.Page(ctx, now, q)
		}),
		"a sweep without a limit removes all records": sweepMutant(func(ctx context.Context, b driver.ModelExpirySupport, before time.Time, limit int, onExpire func(model.Record) error) (driver.Swept, error) {
			if limit < 1 {
				limit = 1000
			}
			return b.DeleteExpired(ctx, driver.Sweep{Before: before, Limit: limit, OnExpire: onExpire})
		}),
		"a write drops labels that are not declared": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
				return b.Write(ctx, now, withoutUndeclared(w))
			}}
		}),
		"a batch drops labels that are not declared": batchMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
			for i := range ops {
				if ops[i].Write != nil {
					w := withoutUndeclared(*ops[i].Write)
					ops[i].Write = &w
				}
			}
			return driver.WriteMany(ctx, b, now, ops)
		}),
		"a page ignores a value without a label": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			if q.Label == "" {
				q.Value = ""
			}
			return b.Page(ctx, now, q)
		}),
		"a count ignores a value without a label": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), count: func(ctx context.Context, now time.Time, label, value string) (int, error) {
				if label == "" {
					value = ""
				}
				return driver.Count(ctx, b, now, driver.Query{Label: label, Value: value})
			}}
		}),
		"a token of one listing ends another": tokenMutant(func(asked listing, token string, given map[string]listing) bool {
			from, ok := given[token]
			return ok && from.store == asked.store
		}),
		"a token of one store ends a listing of another": tokenMutant(func(asked listing, token string, given map[string]listing) bool {
			from, ok := given[token]
			return ok && from.label == asked.label && from.value == asked.value
		}),
		"a token of all records ends a listing by label": tokenMutant(func(asked listing, token string, given map[string]listing) bool {
			from, ok := given[token]
			return ok && from == listing{store: asked.store} && asked.label != ""
		}),
		"a token does not include the label's value": tokenMutant(func(asked listing, token string, given map[string]listing) bool {
			from, ok := given[token]
			return ok && from.store == asked.store && from.label == asked.label
		}),
		"a token with other bytes is accepted": tokenMutant(func(asked listing, token string, given map[string]listing) bool {
			for other, from := range given {
				if from == asked && len(other) == len(token) {
					return true
				}
			}
			return false
		}),
		"a line break after a token is ignored": tokenMutant(func(asked listing, token string, given map[string]listing) bool {
			whole, cut := strings.CutSuffix(token, "\n")
			return cut && given[whole] == asked
		}),
		"the beginning of a token is enough": tokenMutant(func(asked listing, token string, given map[string]listing) bool {
			for whole, from := range given {
				if from == asked && strings.HasPrefix(whole, token) {
					return true
				}
			}
			return false
		}),
		"the store ignores the longest lifetime": inStore(func() bug {
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), describe: func() driver.Description {
					d := b.Describe()
					d.MaxTTL = 0
					return d
				}}
			}
		}),
	}
}
