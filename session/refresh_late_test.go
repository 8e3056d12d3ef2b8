package session_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// The time in which the lease is written counts: fetch ends before another
// request can take over.
func TestRefreshEndsWithItsLease(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := withGrant(t, k)
	p := &provider{k: k}
	k.Backend.SetHook(sessiontest.Before(sessiontest.OpWrite, func() { k.Clock.Advance(59 * time.Second) }))
	begun := time.Now()
	_, err := grants.Refresh(begin(t, k, token), time.Minute, valid, func(ctx context.Context, old grant) (grant, error) {
		if end, bounded := ctx.Deadline(); !bounded || end.After(begun.Add(30*time.Second)) {
			t.Errorf("fetch may go on for %v", end.Sub(begun))
		}
		return p.fetch(ctx, old)
	})
	ok(t, err)
}

// A lease that is over when it is stored does not give the right to fetch.
func TestRefreshWithoutTimeLeftDoesNotFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sessiontest.New(t, nil)
		token := withGrant(t, k)
		slow := func(op sessiontest.Op, _ string, next func() error) error {
			if op == sessiontest.OpWrite {
				k.Clock.Advance(time.Minute)
			}
			return next()
		}
		k.Backend.SetHook(slow)
		_, err := grants.Refresh(begin(t, k, token), time.Minute, valid, func(context.Context, grant) (grant, error) {
			t.Error("fetch was called")
			return grant{}, nil
		})
		is(t, err, context.DeadlineExceeded)
		k.Backend.SetHook(nil)
		p := &provider{k: k}
		g, err := grants.Refresh(begin(t, k, token), time.Minute, valid, p.fetch)
		if err != nil || !valid(g) {
			t.Errorf("%+v, %v", g, err)
		}
	})
}

// What fetch returns after another node has taken over is not stored over the
// other's. If the other one has failed, it is stored and not fetched again.
func TestRefreshThatReturnsLate(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			k := sessiontest.New(t, nil)
			other, err := session.New(k.Backend, &session.Options{Clock: k.Clock, SweptElsewhere: true})
			ok(t, err)
			token := withGrant(t, k)
			fetches := 0
			refused := errors.New("refused")
			begun, end := make(chan struct{}), make(chan struct{})
			var wg sync.WaitGroup
			g, err := grants.Refresh(begin(t, k, token), time.Minute, valid, func(context.Context, grant) (grant, error) {
				fetches++
				k.Clock.Advance(2 * time.Minute)
				wg.Go(func() {
					_, err := grants.Refresh(session.NewContext(t.Context(), other.Open(token)), time.Minute, valid, func(context.Context, grant) (grant, error) {
						close(begun)
						<-end
						if fails {
							return grant{}, refused
						}
						return grant{Access: "new", Refresh: 7}, nil
					})
					if fails != (err != nil) {
						t.Error(err)
					}
				})
				<-begun
				time.AfterFunc(time.Second, func() { close(end) }) // in the time of the bubble
				return grant{Access: "new", Refresh: 1}, nil
			})
			wg.Wait()
			want := grant{"new", 7}
			if fails {
				want = grant{"new", 1}
			}
			if err != nil || g != want || fetches != 1 {
				t.Errorf("the other fails: %v: %+v, %v after %d fetches", fails, g, err, fetches)
			}
			if g, _, err := grants.Get(begin(t, k, token)); err != nil || g != want {
				t.Errorf("the other fails: %v: stored is %+v, %v", fails, g, err)
			}
		})
	}
}

// A lease whose answer was lost, and that arrives late, is the own one.
func TestRefreshKnowsItsOwnLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n := 1; n <= 2; n++ {
			k := sessiontest.New(t, nil)
			token := withGrant(t, k)
			p := &provider{k: k}
			k.Backend.SetHook(sessiontest.Late(n, n+1))
			began := time.Now()
			g, err := grants.Refresh(begin(t, k, token), time.Hour, valid, p.fetch)
			if err != nil || !valid(g) || p.calls.Load() != 1 || time.Since(began) > time.Second {
				t.Errorf("write %d: %+v, %v after %d fetches and %v", n, g, err, p.calls.Load(), time.Since(began))
			}
		}
	})
}

// What the store did not take is kept for the next Persist, and yields to what
// another request has stored meanwhile.
func TestRefreshThatWasNotStoredYields(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := withGrant(t, k)
	p := &provider{k: k}
	u := begin(t, k, token)
	_, err := grants.Refresh(u, time.Minute, valid, func(ctx context.Context, old grant) (grant, error) {
		k.Backend.SetHook(sessiontest.Down)
		return p.fetch(ctx, old)
	})
	ok(t, err)
	k.Backend.SetHook(nil)
	do(t, k, token, func(o *unit) error { return grants.Set(o, grant{Access: "new", Refresh: 9}) })
	u.end(token)
	if g, _, err := grants.Get(begin(t, k, token)); err != nil || g.Refresh != 9 {
		t.Errorf("%+v, %v", g, err)
	}
}

// Another write hides whether the lease was stored. The row says whose it is.
func TestRefreshFindsItsLeaseInTheRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sessiontest.New(t, nil)
		token := withGrant(t, k)
		p := &provider{k: k}
		first := true
		k.Backend.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
			if op != sessiontest.OpWrite || !first {
				return next()
			}
			first = false
			ok(t, next())
			do(t, k, token, func(u *unit) error { return note.Set(u, "w") })
			return driver.MarkUndecidable(model.NewError(model.ErrUnknown, "the answer was lost", nil))
		})
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		u := begin(t, k, token)
		g, err := grants.Refresh(session.NewContext(short, u.s), time.Hour, valid, p.fetch)
		if err != nil || !valid(g) || p.calls.Load() != 1 {
			t.Errorf("%+v, %v after %d fetches", g, err, p.calls.Load())
		}
	})
}

// Nobody fetches again while what was fetched is still to be stored.
func TestRefreshThatWasNotStoredKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sessiontest.New(t, nil)
		other, err := session.New(k.Backend, &session.Options{Clock: k.Clock, SweptElsewhere: true})
		ok(t, err)
		token := withGrant(t, k)
		p := &provider{k: k}
		u := begin(t, k, token)
		_, err = grants.Refresh(u, time.Minute, valid, func(ctx context.Context, old grant) (grant, error) {
			failed := false
			k.Backend.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
				if op == sessiontest.OpWrite && !failed {
					failed = true
					return model.ErrUnavailable
				}
				return next()
			})
			return p.fetch(ctx, old)
		})
		ok(t, err)
		short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = grants.Refresh(session.NewContext(short, other.Open(token)), time.Minute, valid, p.fetch)
		is(t, err, context.DeadlineExceeded)
		u.end(token)
		g, err := grants.Refresh(session.NewContext(t.Context(), other.Open(token)), time.Minute, valid, p.fetch)
		if err != nil || !valid(g) || p.calls.Load() != 1 {
			t.Errorf("%+v, %v after %d fetches", g, err, p.calls.Load())
		}
	})
}

// A refresh does not hide a write in doubt: its Update would run twice.
func TestRefreshBesideAWriteInDoubt(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := withGrant(t, k)
	p := &provider{k: k}
	visits := session.NewKey[int]("visits")
	u := begin(t, k, token)
	ok(t, visits.Update(u, func(n *int) error { *n++; return nil }))
	k.Backend.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
		err := next()
		if op == sessiontest.OpWrite {
			k.Backend.SetHook(nil)
			err = driver.MarkUndecidable(model.NewError(model.ErrUnknown, "the answer was lost", nil))
		}
		return err
	})
	_, err := u.s.Persist(u)
	is(t, err, model.ErrUnknown)
	_, err = grants.Refresh(u, 0, valid, p.fetch)
	ok(t, err)
	if n, _, err := visits.Get(u); err != nil || n != 1 {
		t.Errorf("the request sees %d visits, %v", n, err)
	}
	_, err = u.s.Commit(u)
	is(t, err, model.ErrUnknown)
	if n, _, err := visits.Get(begin(t, k, token)); err != nil || n != 1 {
		t.Errorf("%d visits, %v", n, err)
	}
}

// Requests of one identity that has no row yet refresh once.
func TestRefreshOfAnIdentityWithoutARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sessiontest.New(t, &session.Options{IdentityKey: identityKey})
		other, err := session.New(k.Backend, &session.Options{Clock: k.Clock, SweptElsewhere: true, IdentityKey: identityKey})
		ok(t, err)
		p := &provider{k: k}
		var wg sync.WaitGroup
		for _, svc := range []*session.Service{k.Service, other, k.Service, other} {
			wg.Go(func() {
				s, err := svc.OpenFor(session.Identity{Issuer: "i", SessionID: "s", Principal: "alice"})
				if err != nil {
					t.Error(err)
					return
				}
				g, err := grants.Refresh(session.NewContext(t.Context(), s), 0, valid, func(ctx context.Context, old grant) (grant, error) {
					<-time.After(time.Second) // in the time of the bubble
					return p.fetch(ctx, old)
				})
				if err != nil || !valid(g) {
					t.Errorf("%+v, %v", g, err)
				}
			})
		}
		wg.Wait()
		if n := p.calls.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}
