package conformance_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func lifeMutants() map[string]mutation {
	return map[string]mutation{
		"Describe forgets after Close": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			var closed atomic.Bool
			return &mutant{Wrapper: driverkit.Wrap(b),
				close: func() error { closed.Store(true); return b.Close() },
				describe: func() driver.Description {
					if closed.Load() {
						return driver.Description{}
					}
					return b.Describe()
				},
			}
		}),
		"two concurrent calls of Close both close": sharing(func() bug {
			var m meeting
			var opened sync.Map
			return func(b driver.ModelExpirySupport, store string) *mutant {
				// The case closes the first node of a store once, and the second one
				// many times at once.
				if _, second := opened.LoadOrStore(store, true); !second {
					return &mutant{Wrapper: driverkit.Wrap(b)}
				}
				var closed atomic.Bool
				return &mutant{Wrapper: driverkit.Wrap(b), close: func() error {
					if closed.Load() {
						return nil
					}
					m.at(store)
					if closed.Swap(true) {
						return errors.New("closed twice")
					}
					return b.Close()
				}}
			}
		}),
		"a write after Close is carried out": {opens: func(t testing.TB, w *cluster, name string) driver.ModelExpirySupport {
			open := w.node(t, name) // never closed
			b := w.node(t, name)
			return &mutant{Wrapper: driverkit.Wrap(b), write: func(ctx context.Context, now time.Time, wr driver.Write) (model.Record, error) {
				return open.Write(ctx, now, wr)
			}}
		}},
		"Close closes the shared client": {opens: func() func(t testing.TB, w *cluster, name string) driver.ModelExpirySupport {
			var mu sync.Mutex
			nodes := map[string][]driver.ModelExpirySupport{}
			return func(t testing.TB, w *cluster, name string) driver.ModelExpirySupport {
				b := w.node(t, name)
				mu.Lock()
				defer mu.Unlock()
				nodes[name] = append(nodes[name], b)
				return &mutant{Wrapper: driverkit.Wrap(b), close: func() error {
					mu.Lock()
					defer mu.Unlock()
					for _, n := range nodes[name] {
						_ = n.Close()
					}
					return nil
				}}
			}
		}()},
		"a goroutine outlives Close": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			stop := make(chan struct{})
			go func() { wait(stop) }()
			return &mutant{Wrapper: driverkit.Wrap(b)}
		}),
		"CreateStorage deletes the records": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			return &mutant{Wrapper: driverkit.Wrap(b), createStorage: func(ctx context.Context) error {
				return errors.Join(driver.DeleteStorage(ctx, b), driver.CreateStorage(ctx, b))
			}}
		}),
		"DeleteStorage deletes other stores too": sharing(func() bug {
			var mu sync.Mutex
			nodes := map[string]driver.ModelExpirySupport{}
			return func(b driver.ModelExpirySupport, store string) *mutant {
				mu.Lock()
				defer mu.Unlock()
				nodes[store] = b
				return &mutant{Wrapper: driverkit.Wrap(b), deleteStorage: func(ctx context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					for other, n := range nodes {
						if len(other) >= len(store) && other[:len(store)] == store {
							_ = driver.DeleteStorage(ctx, n)
						}
					}
					return nil
				}}
			}
		}),
		"a node caches records across DeleteStorage": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			var cache sync.Map
			return &mutant{Wrapper: driverkit.Wrap(b), get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
				r, err := b.Get(ctx, now, driver.Get{ID: id})
				if err == nil {
					cache.Store(id, r.Clone())
				} else if v, ok := cache.Load(id); ok {
					return v.(model.Record).Clone(), nil
				}
				return r, err
			}}
		}),
	}
}
