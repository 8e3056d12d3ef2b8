package session_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

func TestPersistRefusesAnOversizedSession(t *testing.T) {
	f := setup(t, session.Options{})
	limited := &limit{Wrapper: driverkit.Wrap(f.b), max: 1000}
	svc, err := session.New(limited, &session.Options{Clock: f.clock})
	ok(t, err)
	s := svc.Open("")
	ctx := session.NewContext(t.Context(), s)
	ok(t, note.Set(ctx, strings.Repeat("x", 1000)))
	_, err = s.Commit(ctx)
	is(t, err, model.ErrTooLarge)
}

// limit is a backend with a small MaxValue.
type limit struct {
	driverkit.Wrapper
	max int
}

func (l *limit) Describe() driver.Description {
	d := l.ModelExpirySupport.Describe()
	d.MaxValue = l.max
	return d
}

// Bug: alexedwards/scs#114
func TestRequireReportsAMissingMiddleware(t *testing.T) {
	_, there := session.From(t.Context())
	_, err := session.Require(t.Context())
	if there || !errors.Is(err, session.ErrNoSession) {
		t.Fatal(there, err)
	}
}

func TestChangesAfterTheCommitAreErrors(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	ctx, s := f.open(t, token)
	_, err := s.Commit(ctx)
	ok(t, err)
	is(t, note.Set(ctx, "w"), session.ErrCommitted)
	is(t, note.Delete(ctx), session.ErrCommitted)
	_, _, err = note.Take(ctx)
	is(t, err, session.ErrCommitted)
	is(t, note.Update(ctx, func(*string) error { return nil }), session.ErrCommitted)
	is(t, s.SignIn(ctx, "alice", nil), session.ErrCommitted)
	is(t, s.SignOut(ctx), session.ErrCommitted)
	is(t, s.Rotate(ctx), session.ErrCommitted)
	is(t, s.Reauthenticate(ctx), session.ErrCommitted)
	if v, there, err := note.Get(ctx); err != nil || !there || v != "v" {
		t.Fatalf("reading after the commit: %q, %v, %v", v, there, err)
	}
}

func TestPersistCanBeRepeated(t *testing.T) {
	f := setup(t, session.Options{})
	ctx, s := f.open(t, "")
	ok(t, note.Set(ctx, "v"))
	first, err := s.Persist(ctx)
	ok(t, err)
	ok(t, note.Set(ctx, "w"))
	second, err := s.Persist(ctx)
	ok(t, err)
	last, err := s.Commit(ctx)
	ok(t, err)
	if first.Token() == "" || first.Token() != second.Token() || second != last {
		t.Fatalf("%v, %v, %v", first, second, last)
	}
	if calls := f.b.Calls(); calls != "Write 2" {
		t.Fatal(calls)
	}
}

func TestSessionIsSafeForTheGoroutinesOfOneRequest(t *testing.T) {
	f := setup(t, session.Options{})
	token := create(t, f)
	ctx, s := f.open(t, token)
	total := session.NewKey[int]("total")
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			own := session.NewKey[int](fmt.Sprint("own-", i))
			errs := []error{
				own.Set(ctx, i),
				total.Update(ctx, func(n *int) error { *n++; return nil }),
			}
			_, _, err := note.Get(ctx)
			errs = append(errs, err)
			if i%8 == 0 {
				_, err = s.Persist(ctx)
				errs = append(errs, err)
			}
			_, err = s.Info(ctx)
			errs = append(errs, err)
			_, _ = fmt.Sprint(s), s.Changed()
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, err := s.Commit(ctx)
	ok(t, err)
	ctx, _ = f.open(t, token)
	if n, _, err := total.Get(ctx); err != nil || n != 40 {
		t.Fatal(n, err)
	}
	for i := range 40 {
		if n, there, err := session.NewKey[int](fmt.Sprint("own-", i)).Get(ctx); err != nil || !there || n != i {
			t.Fatal(i, n, err)
		}
	}
}
