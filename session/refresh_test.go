package session_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// grant is what a program keeps of an identity provider.
type grant struct {
	Access  string
	Refresh int
}

var grants = session.NewKey[grant]("oauth")

// provider hands out one grant for each refresh token, as OAuth 2.1 asks.
type provider struct {
	k     *sessiontest.Kit
	calls atomic.Int64
	used  atomic.Int64
}

func valid(g grant) bool { return g.Access == "new" }

func (p *provider) fetch(_ context.Context, old grant) (grant, error) {
	p.calls.Add(1)
	if !p.used.CompareAndSwap(int64(old.Refresh), int64(old.Refresh)+1) {
		return grant{}, errors.New("the refresh token was used before")
	}
	return grant{Access: "new", Refresh: old.Refresh + 1}, nil
}

func withGrant(t *testing.T, k *sessiontest.Kit) string {
	t.Helper()
	return do(t, k, "", func(u *unit) error {
		return errors.Join(u.s.SignIn(u, "alice", nil), grants.Set(u, grant{Access: "old"}))
	})
}

func TestRefreshIsDoneByOneRequestOnTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sessiontest.New(t, nil)
		other, err := session.New(k.Backend, &session.Options{Clock: k.Clock, SweptElsewhere: true})
		ok(t, err)
		token := withGrant(t, k)
		p := &provider{k: k}
		slow := func(ctx context.Context, old grant) (grant, error) {
			<-time.After(time.Second) // in the time of the bubble
			return p.fetch(ctx, old)
		}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				svc := k.Service
				if i%2 == 1 {
					svc = other
				}
				s := svc.Open(token)
				ctx := session.NewContext(t.Context(), s)
				g, err := grants.Refresh(ctx, 0, valid, slow)
				if err != nil || g != (grant{"new", 1}) {
					t.Errorf("%+v, %v", g, err)
				}
				if _, err := s.Commit(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := p.calls.Load(); n != 1 {
			t.Fatalf("%d requests refreshed", n)
		}
		u := begin(t, k, token)
		if g, _, err := grants.Get(u); err != nil || !valid(g) {
			t.Fatalf("%+v, %v", g, err)
		}
		names, err := session.Keys(u)
		if err != nil || !slices.Equal(names, []string{"oauth"}) {
			t.Fatalf("%q, %v", names, err)
		}
		k.Backend.Calls()
		_, err = grants.Refresh(u, 0, valid, p.fetch)
		ok(t, err)
		k.Backend.Assert(t, "none", "a refresh of a fresh value")
	})
}

func TestRefreshCostsThreeCallsAndLeavesNothingToPersist(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := withGrant(t, k)
	p := &provider{k: k}
	u := begin(t, k, token)
	ok(t, note.Set(u, "of the request"))
	k.Backend.Calls()
	_, err := grants.Refresh(u, time.Second, valid, p.fetch)
	ok(t, err)
	k.Backend.Assert(t, "Get 1, Write 2", "a refresh")
	if g, _, err := grants.Get(u); err != nil || !valid(g) {
		t.Fatalf("the request sees %+v, %v", g, err)
	}
	u.end(token)
	k.Backend.Assert(t, "Write 1", "the request's own change, without a conflict")
	u = begin(t, k, token)
	if v, _, err := note.Get(u); err != nil || v != "of the request" {
		t.Fatal(v, err)
	}
	// Without changes of its own, a request has nothing to write afterwards.
	ok(t, grants.Set(u, grant{Access: "old", Refresh: 1}))
	u.end(token)
	u = begin(t, k, token)
	_, err = grants.Refresh(u, 0, valid, p.fetch)
	ok(t, err)
	k.Backend.Calls()
	u.end(token)
	k.Backend.Assert(t, "none", "the commit after a refresh")
}

func TestRefreshThatFailsGivesTheRightBack(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := withGrant(t, k)
	refused := errors.New("refused")
	u := begin(t, k, token)
	_, err := grants.Refresh(u, time.Hour, valid, func(context.Context, grant) (grant, error) { return grant{}, refused })
	is(t, err, refused)
	func() {
		defer func() { _ = recover() }()
		_, _ = grants.Refresh(u, time.Hour, valid, func(context.Context, grant) (grant, error) { panic("a bug of the program") })
		t.Error("the panic of fetch was swallowed")
	}()
	p := &provider{k: k}
	g, err := grants.Refresh(u, 0, valid, p.fetch)
	if err != nil || !valid(g) {
		t.Fatalf("%+v, %v", g, err)
	}
	_, err = grants.Refresh(u, -1, valid, p.fetch)
	is(t, err, model.ErrInvalid)
	is(t, session.NewKey[int]("_lease:oauth").Set(u, 1), model.ErrInvalid)
}

func TestRefreshIsTakenOverFromADeadProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sessiontest.New(t, nil)
		token := withGrant(t, k)
		p := &provider{k: k}
		// The process dies in its fetch: nothing that it does later arrives.
		dying, die := context.WithCancel(t.Context())
		dead, err := session.New(k.Backend, &session.Options{Clock: k.Clock, SweptElsewhere: true})
		ok(t, err)
		s := dead.Open(token)
		_, err = grants.Refresh(session.NewContext(dying, s), 10*time.Second, valid, func(context.Context, grant) (grant, error) {
			k.Backend.SetHook(sessiontest.Down)
			die()
			return grant{}, errors.New("dead")
		})
		if err == nil {
			t.Fatal("a dead process has refreshed")
		}
		k.Backend.SetHook(nil)
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		u := begin(t, k, token)
		u.Context = session.NewContext(short, u.s)
		_, err = grants.Refresh(u, 10*time.Second, valid, p.fetch)
		is(t, err, context.DeadlineExceeded)
		k.Clock.Advance(10 * time.Second)
		g, err := grants.Refresh(begin(t, k, token), 10*time.Second, valid, p.fetch)
		if err != nil || !valid(g) || p.calls.Load() != 1 {
			t.Fatalf("%+v, %v, %d calls", g, err, p.calls.Load())
		}
	})
}

func TestRefreshKeepsWhatTheStoreRefuses(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := withGrant(t, k)
	p := &provider{k: k}
	u := begin(t, k, token)
	g, err := grants.Refresh(u, 0, valid, func(ctx context.Context, old grant) (grant, error) {
		k.Backend.SetHook(sessiontest.Down)
		return p.fetch(ctx, old)
	})
	if err != nil || !valid(g) {
		t.Fatalf("%+v, %v", g, err)
	}
	k.Backend.SetHook(nil)
	u.end(token)
	if g, _, err := grants.Get(begin(t, k, token)); err != nil || !valid(g) {
		t.Fatalf("the tokens of the provider are lost: %+v, %v", g, err)
	}
}

func TestRefreshThatGivesUpDoesNotEndTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sessiontest.New(t, nil)
		other, err := session.New(k.Backend, &session.Options{Clock: k.Clock, SweptElsewhere: true})
		ok(t, err)
		token := withGrant(t, k)
		p := &provider{k: k}
		var wg sync.WaitGroup
		refresh := func(ctx context.Context, svc *session.Service, want error) {
			wg.Go(func() {
				g, err := grants.Refresh(session.NewContext(ctx, svc.Open(token)), 0, valid, func(ctx context.Context, old grant) (grant, error) {
					<-time.After(5 * time.Second) // in the time of the bubble
					return p.fetch(ctx, old)
				})
				if !errors.Is(err, want) || err == nil && !valid(g) {
					t.Errorf("%+v, %v, want %v", g, err, want)
				}
			})
			synctest.Wait()
		}
		refresh(t.Context(), other, nil)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		refresh(short, k.Service, context.DeadlineExceeded) // waits for the other node
		refresh(t.Context(), k.Service, nil)                // waits for the one before
		wg.Wait()
		if p.calls.Load() != 1 {
			t.Fatal("two requests refreshed")
		}
	})
}

// Another node refreshes between the read of a request and its lease.
func TestRefreshThatComesLateDoesNotFetchAgain(t *testing.T) {
	k := sessiontest.New(t, nil)
	other, err := session.New(k.Backend, &session.Options{Clock: k.Clock, SweptElsewhere: true})
	ok(t, err)
	token := withGrant(t, k)
	p := &provider{k: k}
	k.Backend.SetHook(sessiontest.Before(sessiontest.OpWrite, func() {
		_, err := grants.Refresh(session.NewContext(t.Context(), other.Open(token)), 0, valid, p.fetch)
		ok(t, err)
	}))
	g, err := grants.Refresh(begin(t, k, token), time.Hour, valid, p.fetch)
	if err != nil || !valid(g) || p.calls.Load() != 1 {
		t.Fatalf("%+v, %v after %d fetches", g, err, p.calls.Load())
	}
	// It has given its lease back.
	do(t, k, token, func(u *unit) error { return grants.Set(u, grant{Access: "old", Refresh: 1}) })
	_, err = grants.Refresh(session.NewContext(t.Context(), other.Open(token)), 0, valid, p.fetch)
	ok(t, err)
}

func TestRefreshGoesOnIfTheClientHangsUp(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := withGrant(t, k)
	p := &provider{k: k}
	leaving, leave := context.WithCancel(t.Context())
	_, err := grants.Refresh(session.NewContext(leaving, k.Service.Open(token)), 0, valid, func(ctx context.Context, old grant) (grant, error) {
		leave()
		ok(t, ctx.Err())
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("fetch has no deadline")
		}
		return p.fetch(ctx, old)
	})
	ok(t, err)
	if g, _, err := grants.Get(begin(t, k, token)); err != nil || !valid(g) {
		t.Fatalf("the tokens of the provider are lost: %+v, %v", g, err)
	}
}

func TestRefreshOfASessionThatEnds(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := withGrant(t, k)
	p := &provider{k: k}
	u := begin(t, k, token)
	_, err := grants.Refresh(u, 0, valid, func(ctx context.Context, old grant) (grant, error) {
		do(t, k, token, func(o *unit) error { return o.s.SignOut(o) })
		return p.fetch(ctx, old)
	})
	is(t, err, session.ErrGone)
	dead(t, k, token)
	// A session without a row has no other request.
	u = begin(t, k, "")
	g, err := grants.Refresh(u, 0, valid, (&provider{k: k}).fetch)
	if err != nil || !valid(g) {
		t.Fatalf("%+v, %v", g, err)
	}
	if token = u.end(""); token == "" {
		t.Fatal("nothing was stored")
	}
}

// A write whose answer is lost, and whose outcome the store cannot learn, neither
// keeps the others waiting nor loses what the provider returned.
func TestRefreshWithLostAnswers(t *testing.T) {
	for _, applied := range []bool{true, false} {
		for write := 1; write <= 2; write++ {
			k := sessiontest.New(t, nil)
			token := withGrant(t, k)
			writes, blind := 0, false
			k.Backend.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
				lost := model.NewError(model.ErrUnknown, "the answer was lost", nil)
				switch {
				case blind: // the look of the store
					blind = false
					return model.ErrUnavailable
				case op != sessiontest.OpWrite:
				default:
					if writes++; writes == write {
						blind = true
						if applied {
							_ = next()
						}
						return lost
					}
				}
				return next()
			})
			p := &provider{k: k}
			g, err := grants.Refresh(begin(t, k, token), time.Hour, valid, p.fetch)
			if err != nil || !valid(g) {
				t.Errorf("write %d, applied %v: %+v, %v", write, applied, g, err)
			}
			k.Backend.SetHook(nil)
			g, err = grants.Refresh(begin(t, k, token), time.Hour, valid, p.fetch)
			if err != nil || !valid(g) || p.calls.Load() != 1 {
				t.Errorf("write %d, applied %v: %+v, %v after %d fetches", write, applied, g, err, p.calls.Load())
			}
		}
	}
}

func TestLeaseOfARefreshIsNoValueOfTheProgram(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := withGrant(t, k)
	p := &provider{k: k}
	u := begin(t, k, token)
	_, err := grants.Refresh(u, time.Hour, valid, func(ctx context.Context, old grant) (grant, error) {
		do(t, k, token, func(o *unit) error {
			names, err := session.Keys(o)
			if err != nil || !slices.Equal(names, []string{"oauth"}) {
				t.Errorf("%q, %v", names, err)
			}
			return session.Clear(o)
		})
		// The lease is still held.
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		other, err := session.New(k.Backend, &session.Options{Clock: k.Clock, SweptElsewhere: true})
		ok(t, err)
		_, err = grants.Refresh(session.NewContext(short, other.Open(token)), 0, valid, p.fetch)
		is(t, err, context.DeadlineExceeded)
		return p.fetch(ctx, old)
	})
	ok(t, err)
	if p.calls.Load() != 1 {
		t.Fatal("two requests refreshed")
	}
}
