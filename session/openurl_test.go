package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	_ "github.com/sojourn-go/sojourn/backends/file"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/session"
)

// TestOpenURL has a service with a backend of its own: a store that requests can use,
// sweeps that outlive the context of the call, and a Close that ends both.
func TestOpenURL(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	swept := make(chan error)
	svc, err := session.OpenURL(ctx, "file:"+t.TempDir()+"?name=sessions", &session.Options{Sweep: expiry.SweeperOptions{
		Interval: time.Millisecond,
		OnSwept: func(_ driver.Swept, err error) {
			select {
			case swept <- err:
			case <-t.Context().Done():
			}
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	ctx = t.Context()
	for range 2 {
		if err := <-swept; err != nil {
			t.Errorf("swept with %v", err)
		}
	}
	go func() {
		for range swept {
		}
	}()
	in := session.NewContext(ctx, svc.Open(""))
	if err := session.SignIn(in, "ann", nil); err != nil {
		t.Fatal(err)
	}
	if id, _, err := session.User(in); err != nil || id != "ann" {
		t.Errorf("signed in as %q, %v", id, err)
	}
	if err := session.SignOut(in); err != nil {
		t.Error(err)
	}
	if _, signedIn, err := session.User(in); err != nil || signedIn {
		t.Errorf("after a sign-out: signed in %t, %v", signedIn, err)
	}
	for range 2 {
		if err := svc.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := svc.Ping(ctx); !errors.Is(err, expiry.ErrClosed) {
		t.Errorf("after Close the backend answers %v", err)
	}
}

// TestOpenURLRefuses has calls that cannot work, and leave nothing open.
func TestOpenURLRefuses(t *testing.T) {
	good := "file:" + t.TempDir()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		url  string
		opts *session.Options
		want error
	}{
		"a scheme that nobody registered":    {t.Context(), "gopher://host/", nil, expiry.ErrInvalid},
		"a backend without the label":        {t.Context(), good + "?labels=other", nil, expiry.ErrInvalid},
		"options that contradict each other": {t.Context(), good, &session.Options{Sweep: expiry.SweeperOptions{Interval: -1}}, expiry.ErrInvalid},
		"a context that has ended":           {ended, good, nil, context.Canceled},
	} {
		if svc, err := session.OpenURL(test.ctx, test.url, test.opts); svc != nil || !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSignInWithoutASession has a context that no handler of sessions made.
func TestSignInWithoutASession(t *testing.T) {
	if err := session.SignIn(t.Context(), "ann", nil); !errors.Is(err, session.ErrNoSession) {
		t.Error(err)
	}
	if err := session.SignOut(t.Context()); !errors.Is(err, session.ErrNoSession) {
		t.Error(err)
	}
}
