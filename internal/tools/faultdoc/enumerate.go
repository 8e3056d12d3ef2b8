package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

var note = session.NewKey[string]("note")

// verb is what a request does.
type verb struct {
	name string
	// before makes the session and returns the client's token.
	before func(w *world) string
	// later is how long the client waits before the request.
	later time.Duration
	do    func(ctx context.Context, w *world, s *session.Session) error
	// after is who the client is if nothing fails.
	after string
}

func verbs() []verb {
	as := func(principal string) func(*world) string {
		return func(w *world) string {
			return w.must("", func(ctx context.Context, s *session.Session) error {
				if principal != "" {
					if err := s.SignIn(ctx, principal, nil); err != nil {
						return err
					}
				}
				return note.Set(ctx, "v")
			})
		}
	}
	acting := func(w *world) string {
		return w.must(as("alice")(w), func(ctx context.Context, s *session.Session) error {
			return s.Impersonate(ctx, "bob", "help")
		})
	}
	read := func(ctx context.Context, _ *world, s *session.Session) error { _, err := s.Info(ctx); return err }
	write := func(ctx context.Context, _ *world, _ *session.Session) error { return note.Set(ctx, "w") }
	return []verb{
		{"A read", as("alice"), 0, read, "alice"},
		{"A read that moves the idle deadline", as("alice"), 10 * time.Minute, read, "alice"},
		{"A read that rotates the secret", func(w *world) string {
			token := as("alice")(w)
			for range 4 { // it stays in use for an hour
				w.clock.Advance(14 * time.Minute)
				token = w.must(token, func(ctx context.Context, s *session.Session) error { return read(ctx, w, s) })
			}
			return token
		}, 10 * time.Minute, read, "alice"},
		{"A first value", func(*world) string { return "" }, 0, write, "anonymous"},
		{"A change", as("alice"), 0, write, "alice"},
		{"SignIn without a session", func(*world) string { return "" }, 0, func(ctx context.Context, _ *world, s *session.Session) error {
			return s.SignIn(ctx, "alice", nil)
		}, "alice"},
		{"SignIn over an anonymous session", as(""), 0, func(ctx context.Context, _ *world, s *session.Session) error {
			return s.SignIn(ctx, "alice", nil)
		}, "alice"},
		{"SignOut", as("alice"), 0, func(ctx context.Context, _ *world, s *session.Session) error { return s.SignOut(ctx) }, "anonymous"},
		{"Rotate", as("alice"), 0, func(ctx context.Context, _ *world, s *session.Session) error { return s.Rotate(ctx) }, "alice"},
		{"Reauthenticate", as("alice"), 0, func(ctx context.Context, _ *world, s *session.Session) error { return s.Reauthenticate(ctx) }, "alice"},
		{"Elevate", as("alice"), 0, func(ctx context.Context, _ *world, s *session.Session) error { return s.Elevate(ctx, 2, time.Hour) }, "alice"},
		{"Impersonate", as("alice"), 0, func(ctx context.Context, _ *world, s *session.Session) error {
			return s.Impersonate(ctx, "bob", "help")
		}, "alice as bob"},
		{"EndImpersonation", acting, 0, func(ctx context.Context, _ *world, s *session.Session) error { return s.EndImpersonation(ctx) }, "alice"},
		{"EndViews", as("alice"), 0, func(ctx context.Context, _ *world, s *session.Session) error { return s.EndViews(ctx) }, "alice"},
		{"A Refresh of a stale value", as("alice"), 0, func(ctx context.Context, _ *world, _ *session.Session) error {
			_, err := note.Refresh(ctx, 0, func(v string) bool { return v == "w" }, func(context.Context, string) (string, error) { return "w", nil })
			return err
		}, "alice"},
		{"Destroy of the own session", as("alice"), 0, func(ctx context.Context, w *world, s *session.Session) error {
			info, err := s.Info(ctx)
			if err != nil {
				return err
			}
			return w.svc.Destroy(ctx, "alice", info.Handle)
		}, "anonymous (ended)"},
		{"DestroyPrincipal of the target of an impersonation", acting, 0, func(ctx context.Context, w *world, _ *session.Session) error {
			_, err := w.svc.DestroyPrincipal(ctx, "bob")
			return err
		}, "anonymous (ended)"},
		{"SignOut during an impersonation", acting, 0, func(ctx context.Context, _ *world, s *session.Session) error { return s.SignOut(ctx) }, "anonymous"},
	}
}

// fault is how a call of the store fails.
type fault int

const (
	refused fault = iota
	lostNotStored
	lostStored
	crashBefore
	crashAfter
)

func (f fault) String() string {
	return [...]string{"refused", "lost, not stored", "lost, stored", "crash before", "crash after"}[f]
}

// crash reports whether the process ends.
func (f fault) crash() bool { return f >= crashBefore }

// result is what a verb left after a fault.
type result struct {
	verb     string
	calls    []string
	at       int // the number of the call that failed
	fault    fault
	returned string
	err      error
	is       string // who the client is
	value    string
	rows     int
	oldOpens bool // the token from before opens a session, and the client has another one
	want     verb
	last     bool
}

// world is a service on a store of its own.
type world struct {
	clock *sessiontest.Clock
	b     *sessiontest.Backend
	svc   *session.Service
}

func newWorld() (*world, error) {
	raw, err := memory.New(memory.NewSpace(), "faults", nil)
	if err != nil {
		return nil, err
	}
	w := &world{clock: sessiontest.NewClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)), b: sessiontest.Wrap(raw)}
	w.svc, err = session.New(w.b, &session.Options{
		Clock: w.clock, Logger: slog.New(slog.DiscardHandler), SweptElsewhere: true,
	})
	return w, err
}

// must makes a request that succeeds, and returns the client's token.
func (w *world) must(token string, do func(ctx context.Context, s *session.Session) error) string {
	c, verbErr, commitErr := w.request(token, do)
	if err := errors.Join(verbErr, commitErr); err != nil {
		panic(err) // a mistake of this program
	}
	return taken(token, c)
}

func (w *world) request(token string, do func(ctx context.Context, s *session.Session) error) (c session.Credential, verbErr, commitErr error) {
	s := w.svc.Open(token)
	ctx := session.NewContext(context.Background(), s)
	verbErr = do(ctx, s)
	c, commitErr = s.Commit(ctx)
	return c, verbErr, commitErr
}

// of returns what the verb does in this world.
func (w *world) of(v verb) func(ctx context.Context, s *session.Session) error {
	return func(ctx context.Context, s *session.Session) error { return v.do(ctx, w, s) }
}

// taken returns the token that a client has after a credential.
func taken(token string, c session.Credential) string {
	switch c.Action {
	case session.ActionGive:
		return c.Token()
	case session.ActionClear:
		return ""
	}
	return token
}

// enumerate runs every verb with every fault at every call.
func enumerate(ctx context.Context) ([]result, error) {
	var all []result
	for _, v := range verbs() {
		calls, err := callsOf(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		for at := range calls {
			for f := refused; f <= crashAfter; f++ {
				r, err := run(ctx, v, calls, at, f)
				if err != nil {
					return nil, fmt.Errorf("%s, call %d, %v: %w", v.name, at, f, err)
				}
				all = append(all, r)
			}
		}
		if len(all) > 0 {
			all[len(all)-1].last = true
		}
	}
	return all, nil
}

// callsOf returns the calls of the store that the verb makes.
func callsOf(v verb) ([]string, error) {
	w, err := newWorld()
	if err != nil {
		return nil, err
	}
	token := v.before(w)
	w.clock.Advance(v.later)
	var calls []string
	w.b.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
		calls = append(calls, string(op))
		return next()
	})
	_, verbErr, commitErr := w.request(token, w.of(v))
	return calls, errors.Join(verbErr, commitErr)
}

// run makes one request in which the call with the number at fails.
func run(ctx context.Context, v verb, calls []string, at int, f fault) (result, error) {
	w, err := newWorld()
	if err != nil {
		return result{}, err
	}
	old := v.before(w)
	w.clock.Advance(v.later)
	n := 0
	w.b.SetHook(func(op sessiontest.Op, id string, next func() error) error {
		n++
		switch {
		case n-1 < at, n-1 > at && f == refused:
			return next()
		case n-1 > at:
			return sessiontest.Down(op, id, next)
		}
		if f == lostStored || f == crashAfter {
			if err := next(); err != nil {
				return err
			}
		}
		if f == refused || op == sessiontest.OpGet || op == sessiontest.OpPage {
			return model.NewError(model.ErrUnavailable, "the store is down", nil)
		}
		return model.NewError(model.ErrUnknown, "the answer was lost", nil)
	})
	c, verbErr, commitErr := w.request(old, w.of(v))
	w.b.SetHook(nil)
	r := result{verb: v.name, calls: calls, at: at, fault: f, err: errors.Join(verbErr, commitErr), want: v}
	r.returned = kind(r.err)
	token := old
	if f.crash() {
		r.returned = "nothing"
	} else {
		token = taken(old, c)
	}
	if r.is, r.value, err = w.who(ctx, token); err != nil {
		return r, err
	}
	if token != old && old != "" {
		is, _, err := w.who(ctx, old)
		if err != nil {
			return r, err
		}
		r.oldOpens = !strings.HasPrefix(is, "anonymous (") && is != "anonymous"
	}
	r.rows, err = w.svc.Count(ctx)
	return r, err
}

// who returns whom a token makes its client, and whether their value is there.
func (w *world) who(ctx context.Context, token string) (is, value string, err error) {
	s := w.svc.Open(token)
	ctx = session.NewContext(ctx, s)
	info, err := s.Info(ctx)
	if err != nil {
		return "", "", err
	}
	v, there, err := note.Get(ctx)
	if err != nil {
		return "", "", err
	}
	if value = v; !there {
		value = "none"
	}
	switch {
	case info.Actor != "":
		return info.Actor + " as " + info.Principal, value, nil
	case info.Principal != "":
		return info.Principal, value, nil
	case info.Handle != "":
		return "anonymous, with a session", value, nil
	}
	why, err := s.Why(ctx)
	if err != nil || why == session.WhyNone {
		return "anonymous", value, err
	}
	return "anonymous (" + why.String() + ")", value, nil
}

// kind returns the sentinel of an error in words.
func kind(err error) string {
	for _, k := range []struct {
		is   error
		text string
	}{
		{session.ErrGone, "ErrGone"},
		{model.ErrUnknown, "ErrUnknown"},
		{model.ErrUnavailable, "ErrUnavailable"},
	} {
		if errors.Is(err, k.is) {
			return k.text
		}
	}
	if err == nil {
		return "no error"
	}
	return err.Error()
}
