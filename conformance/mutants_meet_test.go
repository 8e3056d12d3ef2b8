package conformance_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// meetMutants are backends whose calls on the storage go wrong if they meet.
func meetMutants() map[string]mutation {
	return map[string]mutation{
		"DeleteStorage fails on what another node has removed": sharing(func() bug {
			var m meeting
			return func(b driver.ModelExpirySupport, store string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), deleteStorage: func(ctx context.Context) error {
					p, err := b.Page(ctx, time.Unix(1, 0), driver.Query{Limit: 1000})
					if err != nil {
						return err
					}
					if len(p.Records) == 12 { // as many as the case makes
						m.at(store)
					}
					for _, r := range p.Records {
						if err := removeByID(ctx, b, r); err != nil {
							return err
						}
					}
					return driver.DeleteStorage(ctx, b)
				}}
			}
		}),
		"a CreateStorage fails on what another one has made": sharing(func() bug {
			var m meeting
			var deleted, made sync.Map
			return func(b driver.ModelExpirySupport, store string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					deleteStorage: func(ctx context.Context) error {
						deleted.Store(store, true)
						return driver.DeleteStorage(ctx, b)
					},
					createStorage: func(ctx context.Context) error {
						if _, again := deleted.Load(store); again {
							m.at(store)
							if _, taken := made.LoadOrStore(store, true); taken {
								return model.NewError(model.ErrCorrupt, "the place is taken", nil)
							}
						}
						return driver.CreateStorage(ctx, b)
					},
				}
			}
		}),
		"a CreateStorage empties what another one has made": sharing(func() bug {
			var stores, first sync.Map // by name, once they were deleted
			return func(b driver.ModelExpirySupport, store string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					deleteStorage: func(ctx context.Context) error {
						stores.LoadOrStore(store, newGate())
						return driver.DeleteStorage(ctx, b)
					},
					createStorage: func(ctx context.Context) error {
						wrote, deleted := stores.Load(store)
						if !deleted {
							return driver.CreateStorage(ctx, b)
						}
						if _, late := first.LoadOrStore(store, true); late {
							wrote.(*gate).wait()
							return driver.DeleteStorage(ctx, b)
						}
						return driver.CreateStorage(ctx, b)
					},
					write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
						r, err := b.Write(ctx, now, w)
						if wrote, deleted := stores.Load(store); deleted {
							wrote.(*gate).open()
						}
						return r, err
					},
				}
			}
		}),
		"CreateStorage takes a half deleted storage for another program's": sharing(func() bug {
			half, met := newGate(), newGate()
			var creates atomic.Int32
			return func(b driver.ModelExpirySupport, _ string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					deleteStorage: func(ctx context.Context) error {
						half.open()
						met.wait()
						return driver.DeleteStorage(ctx, b)
					},
					createStorage: func(ctx context.Context) error {
						if creates.Add(1) <= 3 { // of the case's nodes, one by one
							return driver.CreateStorage(ctx, b)
						}
						half.wait()
						if met.isOpen() {
							return driver.CreateStorage(ctx, b)
						}
						met.open()
						return model.NewError(model.ErrCorrupt, "something without the store's index", nil)
					},
				}
			}
		}),
		"a second DeleteStorage does not see another program": sharing(func() bug {
			var calls atomic.Int32
			return func(b driver.ModelExpirySupport, store string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), deleteStorage: func(ctx context.Context) error {
					err := driver.DeleteStorage(ctx, b)
					if strings.HasSuffix(store, "-z") && calls.Add(1) == 2 {
						return nil
					}
					return err
				}}
			}
		}),
		"a store that is opened twice at once is two": {opens: func() func(t testing.TB, w *cluster, name string) driver.ModelExpirySupport {
			var n atomic.Int32
			return func(t testing.TB, w *cluster, name string) driver.ModelExpirySupport {
				if strings.Contains(name, "-open") && n.Add(1) == 2 {
					name += "-second"
				}
				return w.node(t, name)
			}
		}()},
	}
}
