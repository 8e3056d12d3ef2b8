package conformance_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

func TestMain(m *testing.M) {
	// A planted bug that rapid finds is no news to keep in a file.
	_ = flag.Set("rapid.nofailfile", "true")
	os.Exit(m.Run())
}

// broken is a backend with overridable methods; what is nil is the lawful
// backend's.
type broken struct {
	expiry.ModelExpirySupport
	get    func(ctx context.Context, now time.Time, id string) (model.Record, error)
	write  func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error)
	touch  func(ctx context.Context, now time.Time, t expiry.Touch) (model.Record, error)
	delete func(ctx context.Context, now time.Time, id string, c model.Cond, prev model.Record) error
	page   func(ctx context.Context, now time.Time, q expiry.Query) (expiry.Page, error)
	sweep  func(ctx context.Context, before time.Time, limit int, each func(model.Record) error) (expiry.Swept, error)
}

func (b *broken) Get(ctx context.Context, now time.Time, id string) (model.Record, error) {
	if b.get != nil {
		return b.get(ctx, now, id)
	}
	return b.ModelExpirySupport.Get(ctx, now, id)
}

func (b *broken) Write(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
	if b.write != nil {
		return b.write(ctx, now, w)
	}
	return b.ModelExpirySupport.Write(ctx, now, w)
}

func (b *broken) Touch(ctx context.Context, now time.Time, t expiry.Touch) (model.Record, error) {
	if b.touch != nil {
		return b.touch(ctx, now, t)
	}
	return b.ModelExpirySupport.Touch(ctx, now, t)
}

func (b *broken) Delete(ctx context.Context, now time.Time, id string, c model.Cond, prev model.Record) error {
	if b.delete != nil {
		return b.delete(ctx, now, id, c, prev)
	}
	return b.ModelExpirySupport.Delete(ctx, now, id, c, prev)
}

func (b *broken) Page(ctx context.Context, now time.Time, q expiry.Query) (expiry.Page, error) {
	if b.page != nil {
		return b.page(ctx, now, q)
	}
	return b.ModelExpirySupport.Page(ctx, now, q)
}

func (b *broken) DeleteExpired(ctx context.Context, before time.Time, limit int, each func(model.Record) error) (expiry.Swept, error) {
	if b.sweep != nil {
		return b.sweep(ctx, before, limit, each)
	}
	return b.ModelExpirySupport.DeleteExpired(ctx, before, limit, each)
}

func (b *broken) CreateStorage(ctx context.Context) error {
	return expiry.CreateStorage(ctx, b.ModelExpirySupport)
}

func (b *broken) DeleteStorage(ctx context.Context) error {
	return expiry.DeleteStorage(ctx, b.ModelExpirySupport)
}

// yield lets the other contenders run, as a round trip to a server would.
func yield() {
	for range 20 {
		runtime.Gosched()
	}
}

// planted is one mistake that a backend could make, and the case that must
// catch it.
type planted struct {
	name     string
	rule     string
	caseName string
	breaks   func(b expiry.ModelExpirySupport) *broken
}

func plantedBugs() []planted {
	return []planted{
		{"Get ignores the expiry", "R2", "Expiry/IsGoneFromTheInstant", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, get: func(ctx context.Context, _ time.Time, id string) (model.Record, error) {
				return b.Get(ctx, time.Time{}, id)
			}}
		}},
		{"records die a millisecond early", "R2", "Expiry/LivesToTheLastMillisecond", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, get: func(ctx context.Context, now time.Time, id string) (model.Record, error) {
				return b.Get(ctx, now.Add(time.Millisecond), id)
			}}
		}},
		{"create looks, then upserts", "R16", "Create/OfManyAtOnceOneWins", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
				if w.Cond == model.Absent {
					if _, err := b.Get(ctx, now, w.ID); err == nil {
						return model.Record{}, model.ErrExists
					}
					yield()
					w.Cond = model.Always
				}
				return b.Write(ctx, now, w)
			}}
		}},
		{"compare-and-set compares, then updates", "R20", "CompareAndSet/OfManyAtOneRevisionOneWins", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
				if w.Cond != model.Match || w.Prev.Rev.IsZero() {
					return b.Write(ctx, now, w)
				}
				cur, err := b.Get(ctx, now, w.ID)
				if err != nil {
					return model.Record{}, err
				}
				if cur.Rev != w.Prev.Rev {
					return cur, model.ErrConflict
				}
				yield()
				w.Cond = model.Live
				return b.Write(ctx, now, w)
			}}
		}},
		{"update reads, then upserts", "R4", "History/OfEverythingIsLinearizable", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
				if w.Cond != model.Live {
					return b.Write(ctx, now, w)
				}
				cur, err := b.Get(ctx, now, w.ID)
				if err != nil {
					return model.Record{}, err
				}
				yield()
				w.Record = w.Result(&cur)
				w.Cond, w.KeepExpiry, w.KeepLabels = model.Always, false, false
				return b.Write(ctx, now, w)
			}}
		}},
		{"touch writes the record back", "R34", "Touch/BesideWritersLosesNeither", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, touch: func(ctx context.Context, now time.Time, t expiry.Touch) (model.Record, error) {
				if t.Mode != expiry.Extend {
					return b.Touch(ctx, now, t)
				}
				cur, err := b.Get(ctx, now, t.ID)
				if err != nil {
					return model.Record{}, err
				}
				yield()
				cur.ExpiresAt = t.Result(cur.ExpiresAt)
				return b.Write(ctx, now, expiry.Write{Record: cur, Cond: model.Always})
			}}
		}},
		{"extend shortens", "R31", "Touch/ExtendToAnEarlierTimeChangesNothing", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, touch: func(ctx context.Context, now time.Time, t expiry.Touch) (model.Record, error) {
				if t.Mode == expiry.Extend {
					t.Mode = expiry.Set
				}
				return b.Touch(ctx, now, t)
			}}
		}},
		{"update clears the expiry that it should keep", "R23", "Update/KeepsTheExpiry", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
				if w.KeepExpiry && w.Cond == model.Live {
					w.KeepExpiry, w.ExpiresAt = false, time.Time{}
				}
				return b.Write(ctx, now, w)
			}}
		}},
		{"upsert keeps the labels of before", "R22", "Upsert/DropsTheLabelsOfBefore", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
				if w.Cond == model.Always && w.Labels == nil {
					if cur, err := b.Get(ctx, now, w.ID); err == nil {
						w.Labels = cur.Labels
					}
				}
				return b.Write(ctx, now, w)
			}}
		}},
		{"delete ignores the revision", "R39", "Delete/AtAnotherRevisionIsAConflict", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, delete: func(ctx context.Context, now time.Time, id string, c model.Cond, prev model.Record) error {
				if c == model.Match && !prev.Rev.IsZero() {
					c = model.Live
				}
				return b.Delete(ctx, now, id, c, prev)
			}}
		}},
		{"a page skips a record where one was deleted", "R42", "Page/GoesOnWhereTheLastRecordWasDeleted", offsetPaging},
		{"a listing by label lags one write behind", "R46", "Label/ListsRightAfterTheWrite", laggingLabels},
		{"the sweep lists, then deletes", "R55", "Sweep/ExtendedBetweenAnnouncementAndRemovalStays", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, sweep: func(ctx context.Context, before time.Time, limit int, each func(model.Record) error) (expiry.Swept, error) {
				if each == nil {
					return b.DeleteExpired(ctx, before, limit, nil)
				}
				// Announces, then removes by id, whatever happened meanwhile.
				var due []model.Record
				_, err := b.DeleteExpired(ctx, before, limit, func(r model.Record) error {
					due = append(due, r)
					return errors.New("later")
				})
				var s expiry.Swept
				for _, r := range due {
					if each(r) == nil {
						_ = b.Delete(ctx, time.Time{}, r.ID, model.Live, model.Record{})
						s.Removed++
					}
				}
				return s, err
			}}
		}},
		{"two sweepers count the same removals", "R52", "Sweep/SharedByManyCountsEachRemovalOnce", func(b expiry.ModelExpirySupport) *broken {
			return &broken{ModelExpirySupport: b, sweep: func(ctx context.Context, before time.Time, limit int, each func(model.Record) error) (expiry.Swept, error) {
				n := 0
				_, err := b.DeleteExpired(ctx, before, limit, func(model.Record) error { n++; return errors.New("only counted") })
				yield()
				s, _ := b.DeleteExpired(ctx, before, limit, each)
				s.Removed = n
				return s, err
			}}
		}},
	}
}

// offsetPaging pages by position, as LIMIT and OFFSET do.
func offsetPaging(b expiry.ModelExpirySupport) *broken {
	return &broken{ModelExpirySupport: b, page: func(ctx context.Context, now time.Time, q expiry.Query) (expiry.Page, error) {
		skip := 0
		for _, ch := range []byte(q.After) {
			if ch != '.' {
				return b.Page(ctx, now, q)
			}
			skip++
		}
		limit := q.Limit
		q.Limit, q.After = limit+skip+1, ""
		p, err := b.Page(ctx, now, q)
		p.Next = ""
		if len(p.Records) > skip+limit {
			p.Records = p.Records[:skip+limit]
			p.Next = string(slices.Repeat([]byte{'.'}, skip+limit))
		}
		p.Records = p.Records[min(skip, len(p.Records)):]
		return p, err
	}}
}

// laggingLabels hides the record that was written last from listings by label,
// as an index that is read before it was refreshed.
func laggingLabels(b expiry.ModelExpirySupport) *broken {
	fresh := freshIDs(b)
	return &broken{ModelExpirySupport: b,
		write: func(ctx context.Context, now time.Time, w expiry.Write) (model.Record, error) {
			r, err := b.Write(ctx, now, w)
			if err == nil {
				fresh.Store("last", w.ID)
			}
			return r, err
		},
		page: func(ctx context.Context, now time.Time, q expiry.Query) (expiry.Page, error) {
			p, err := b.Page(ctx, now, q)
			if last, ok := fresh.Load("last"); ok && q.Label != "" {
				p.Records = slices.DeleteFunc(p.Records, func(r model.Record) bool { return r.ID == last })
			}
			return p, err
		}}
}

// lastWritten is what the nodes of one lagging store share.
var lastWritten sync.Map

func freshIDs(b expiry.ModelExpirySupport) *sync.Map {
	m, _ := lastWritten.LoadOrStore(storeName(b), &sync.Map{})
	return m.(*sync.Map)
}

// named remembers the store's name beside its backend.
type named struct {
	*memory.Backend
	name string
}

func storeName(b expiry.ModelExpirySupport) string { return b.(named).name }

func TestPlantedBugsAreCaughtByName(t *testing.T) {
	for _, p := range plantedBugs() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(conformance.Cases(), func(c conformance.Case) bool { return c.Name == p.caseName })
			if i < 0 {
				t.Fatalf("no case is named %q", p.caseName)
			}
			if !slices.Contains(conformance.Cases()[i].Rules, p.rule) {
				t.Errorf("the case %q is not about %s", p.caseName, p.rule)
			}
			space := memory.NewSpace()
			lawful := func(t testing.TB, name string) expiry.ModelExpirySupport {
				b, err := memory.New(space, name, nil)
				if err != nil {
					t.Fatal(err)
				}
				return named{b, name}
			}
			if err := conformance.Check(t.Context(), conformance.Harness{Open: lawful}, p.caseName); err != nil {
				t.Errorf("the unbroken twin fails: %v", err)
			}
			err := conformance.Check(t.Context(), conformance.Harness{Open: func(t testing.TB, name string) expiry.ModelExpirySupport {
				return p.breaks(lawful(t, name))
			}}, p.caseName)
			var f *conformance.CaseError
			if !errors.As(err, &f) || f.Case != p.caseName {
				t.Errorf("the bug was not caught by %s: %v", p.caseName, err)
			}
		})
	}
}
