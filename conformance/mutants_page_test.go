package conformance_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// pageMutant replaces Page.
func pageMutant(page func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error)) mutation {
	return simply(func(b driver.ModelExpirySupport, _ string) *mutant {
		return &mutant{Wrapper: driverkit.Wrap(b), page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
			return page(ctx, b, now, q)
		}}
	})
}

// whole lists all records of the query.
func whole(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) ([]model.Record, error) {
	q.After, q.Limit = "", 100_000
	p, err := b.Page(ctx, now, q)
	return p.Records, err
}

// onlyLabel returns a page. If other is true, its records bear the label of the
// query alone.
func onlyLabel(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query, other bool) (driver.Page, error) {
	p, err := b.Page(ctx, now, q)
	for i := range p.Records {
		if other {
			p.Records[i].Labels = map[string]string{q.Label: q.Value}
		}
	}
	return p, err
}

var errToken = model.NewError(model.ErrInvalid, "no page returned this token", nil)

func pageMutants() map[string]mutation {
	return map[string]mutation{
		"a listing pages by position": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			skip := len(q.After)
			all, err := whole(ctx, b, now, q)
			all = all[min(skip, len(all)):]
			if err != nil || len(all) <= q.Limit {
				return driver.Page{Records: all}, err
			}
			return driver.Page{Records: all[:q.Limit], Next: strings.Repeat(".", skip+q.Limit)}, nil
		}),
		"a listing by a label has that label alone": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			return onlyLabel(ctx, b, now, q, q.Label != "")
		}),
		"a listing of keys by a label has that label alone": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			return onlyLabel(ctx, b, now, q, q.Label != "" && q.KeysOnly)
		}),
		"a listing is in order of the last write": reordered(func(*driver.Write) bool { return true }, false),
		"a listing ends after a thousand": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			all, err := whole(ctx, b, now, q)
			p, perr := b.Page(ctx, now, q)
			if perr != nil || err != nil || len(all) <= 1000 || len(p.Records) == 0 {
				return p, perr
			}
			last := p.Records[len(p.Records)-1].ID
			if slices.IndexFunc(all, func(r model.Record) bool { return r.ID == last }) >= 999 {
				p.Next = "" // takes the server's page size for the end
			}
			return p, nil
		}),
		"an empty page is the end": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			// Expired records are removed from the page, and an empty page ends the
			// listing.
			p, err := b.Page(ctx, time.Time{}, q)
			p.Records = slices.DeleteFunc(p.Records, func(r model.Record) bool { return r.Expired(now) })
			if len(p.Records) < q.Limit {
				p.Next = ""
			}
			return p, err
		}),
		"a page has any number of bytes": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			p, err := b.Page(ctx, now, q)
			for err == nil && p.Next != "" && len(p.Records) < q.Limit {
				var more driver.Page
				rest := q
				rest.After, rest.Limit = p.Next, q.Limit-len(p.Records)
				more, err = b.Page(ctx, now, rest)
				p.Records, p.Next = append(p.Records, more.Records...), more.Next
			}
			return p, err
		}),
		"a page exceeds its limit": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			q.Limit++
			return b.Page(ctx, now, q)
		}),
		"a token belongs to its node": simply(func(b driver.ModelExpirySupport, _ string) *mutant {
			var given sync.Map
			return &mutant{Wrapper: driverkit.Wrap(b), page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
				if _, ok := given.Load(q.After); !ok && q.After != "" {
					return driver.Page{}, errToken
				}
				p, err := b.Page(ctx, now, q)
				given.Store(p.Next, true)
				return p, err
			}}
		}),
		"a token can be used once": sharing(func() bug {
			var used sync.Map
			return func(b driver.ModelExpirySupport, store string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
					if _, twice := used.LoadOrStore(recordKey{store, q.After}, true); twice && q.After != "" {
						return driver.Page{}, errToken
					}
					return b.Page(ctx, now, q)
				}}
			}
		}),
		"a token needs the record that it names": sharing(func() bug {
			var last sync.Map
			return func(b driver.ModelExpirySupport, store string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
					if id, ok := last.Load(recordKey{store, q.After}); ok && q.After != "" {
						if _, err := b.Get(ctx, now, driver.Get{ID: id.(string)}); err != nil {
							return driver.Page{}, errToken
						}
					}
					p, err := b.Page(ctx, now, q)
					if n := len(p.Records); n > 0 {
						last.Store(recordKey{store, p.Next}, p.Records[n-1].ID)
					}
					return p, err
				}}
			}
		}),
		"a token expires after an hour": sharing(func() bug {
			var given sync.Map
			return func(b driver.ModelExpirySupport, store string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b), page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
					if at, ok := given.Load(recordKey{store, q.After}); ok && now.Sub(at.(time.Time)) > time.Hour {
						return driver.Page{}, errToken
					}
					p, err := b.Page(ctx, now, q)
					given.Store(recordKey{store, p.Next}, now)
					return p, err
				}}
			}
		}),
		"an unknown token starts at the beginning": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			p, err := b.Page(ctx, now, q)
			if errors.Is(err, model.ErrInvalid) && q.After != "" {
				q.After = ""
				return b.Page(ctx, now, q)
			}
			return p, err
		}),
		"a listing by label lags one write behind": sharing(func() bug {
			// The index is read before it is refreshed.
			var fresh sync.Map
			return func(b driver.ModelExpirySupport, store string) *mutant {
				return &mutant{Wrapper: driverkit.Wrap(b),
					write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
						r, err := b.Write(ctx, now, w)
						if err == nil {
							fresh.Store(store, w.Record.ID)
						}
						return r, err
					},
					page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
						p, err := b.Page(ctx, now, q)
						if last, ok := fresh.Load(store); ok && q.Label != "" {
							p.Records = slices.DeleteFunc(p.Records, func(r model.Record) bool { return r.ID == last })
						}
						return p, err
					},
				}
			}
		}),
		"the second page forgets the label": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			if q.Label == "" || q.After == "" {
				return b.Page(ctx, now, q)
			}
			all, err := whole(ctx, b, now, driver.Query{})
			return driver.Page{Records: all[:min(q.Limit, len(all))]}, err
		}),
		"a label's value is compared by its prefix": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			if q.Label == "" {
				return b.Page(ctx, now, q)
			}
			all, err := whole(ctx, b, now, driver.Query{KeysOnly: q.KeysOnly})
			return driver.Page{Records: slices.DeleteFunc(all, func(r model.Record) bool { return !strings.HasPrefix(r.Labels[q.Label], q.Value) })}, err
		}),
		"an undeclared label lists nothing": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			p, err := b.Page(ctx, now, q)
			if errors.Is(err, model.ErrInvalid) && q.After == "" {
				return driver.Page{}, nil
			}
			return p, err
		}),
		"a listing of keys leaves out the labels": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			p, err := b.Page(ctx, now, q)
			for i := range p.Records {
				if q.KeysOnly {
					p.Records[i].Labels = nil
				}
			}
			return p, err
		}),
		"a damaged record empties its page": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			p, err := b.Page(ctx, now, q)
			if len(p.Corrupt) > 0 {
				p.Records = nil
			}
			return p, err
		}),
		"a damaged record is not reported": pageMutant(func(ctx context.Context, b driver.ModelExpirySupport, now time.Time, q driver.Query) (driver.Page, error) {
			p, err := b.Page(ctx, now, q)
			p.Corrupt = nil
			return p, err
		}),
	}
}

// reordered returns a mutant whose listings are in order of the last write for
// which moves is true, or touch: such a record moves to the end, like a row of
// a table.
func reordered(moves func(w *driver.Write) bool, touched bool) mutation {
	return sharing(func() bug {
		var mu sync.Mutex
		n, order := 0, map[recordKey]int{}
		return func(b driver.ModelExpirySupport, store string) *mutant {
			move := func(id string, again bool) {
				if k := (recordKey{store, id}); again || order[k] == 0 {
					n++
					order[k] = n
				}
			}
			return &mutant{Wrapper: driverkit.Wrap(b),
				write: func(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
					mu.Lock()
					defer mu.Unlock()
					move(w.Record.ID, moves(&w))
					return b.Write(ctx, now, w)
				},
				touch: func(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
					mu.Lock()
					defer mu.Unlock()
					move(t.ID, touched)
					return b.Touch(ctx, now, t)
				},
				page: func(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
					after, _ := strconv.Atoi(q.After)
					all, err := whole(ctx, b, now, q)
					mu.Lock()
					defer mu.Unlock()
					of := func(r model.Record) int { return order[recordKey{store, r.ID}] }
					all = slices.DeleteFunc(all, func(r model.Record) bool { return of(r) <= after })
					slices.SortFunc(all, func(a, b model.Record) int { return of(a) - of(b) })
					if err != nil || len(all) <= q.Limit {
						return driver.Page{Records: all}, err
					}
					return driver.Page{Records: all[:q.Limit], Next: strconv.Itoa(of(all[q.Limit-1]))}, nil
				},
			}
		}
	})
}
