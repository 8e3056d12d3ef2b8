package conformance_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

func lifeBugs() map[string]plant {
	return map[string]plant{
		"Describe forgets after Close": simply(func(b driver.ModelExpirySupport, _ string) *broken {
			var closed atomic.Bool
			return &broken{ModelExpirySupport: b,
				shut: func() error { closed.Store(true); return b.Close() },
				describe: func() driver.Description {
					if closed.Load() {
						return driver.Description{}
					}
					return b.Describe()
				},
			}
		}),
		"two that close at once both think to be the first": sharing(func() bug {
			var m meeting
			var opened sync.Map
			return func(b driver.ModelExpirySupport, store string) *broken {
				// The first node of a store has one who closes it, the second many.
				if _, second := opened.LoadOrStore(store, true); !second {
					return &broken{ModelExpirySupport: b}
				}
				var closed atomic.Bool
				return &broken{ModelExpirySupport: b, shut: func() error {
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
		"a write after Close is carried out": {opens: func(t testing.TB, w *world, name string) driver.ModelExpirySupport {
			open := w.node(t, name) // never closed
			b := w.node(t, name)
			return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, wr driver.Write) (model.Record, error) {
				return open.Write(ctx, now, wr)
			}}
		}},
		"Close closes the client of all": {opens: func() func(t testing.TB, w *world, name string) driver.ModelExpirySupport {
			var mu sync.Mutex
			nodes := map[string][]driver.ModelExpirySupport{}
			return func(t testing.TB, w *world, name string) driver.ModelExpirySupport {
				b := w.node(t, name)
				mu.Lock()
				defer mu.Unlock()
				nodes[name] = append(nodes[name], b)
				return &broken{ModelExpirySupport: b, shut: func() error {
					mu.Lock()
					defer mu.Unlock()
					for _, n := range nodes[name] {
						_ = n.Close()
					}
					return nil
				}}
			}
		}()},
		"a goroutine outlives Close": simply(func(b driver.ModelExpirySupport, _ string) *broken {
			stop := make(chan struct{})
			go func() { wait(stop) }()
			return &broken{ModelExpirySupport: b}
		}),
		"CreateStorage starts afresh": simply(func(b driver.ModelExpirySupport, _ string) *broken {
			return &broken{ModelExpirySupport: b, make: func(ctx context.Context) error {
				return errors.Join(driver.DeleteStorage(ctx, b), driver.CreateStorage(ctx, b))
			}}
		}),
		"DeleteStorage takes the neighbours along": sharing(func() bug {
			var mu sync.Mutex
			nodes := map[string]driver.ModelExpirySupport{}
			return func(b driver.ModelExpirySupport, store string) *broken {
				mu.Lock()
				defer mu.Unlock()
				nodes[store] = b
				return &broken{ModelExpirySupport: b, raze: func(ctx context.Context) error {
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
		"a node keeps what it read through DeleteStorage": simply(func(b driver.ModelExpirySupport, _ string) *broken {
			var cache sync.Map
			return &broken{ModelExpirySupport: b, get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
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
