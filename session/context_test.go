package session_test

import (
	"context"
	"testing"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func TestContextHasASessionOfEachService(t *testing.T) {
	shop, office := sessiontest.New(t, nil).Service, sessiontest.New(t, nil).Service
	mine, theirs := shop.Open(""), office.Open("")
	ctx := session.NewContext(t.Context(), mine)
	if _, there := office.From(ctx); there {
		t.Fatal("a session of another service")
	}
	_, _, err := note.In(office).Get(ctx)
	is(t, err, session.ErrNoSession)
	ctx, cancel := context.WithCancel(session.NewContext(ctx, theirs))
	defer cancel()
	if s, _ := session.From(ctx); s != theirs {
		t.Fatal("not the innermost")
	}
	for svc, want := range map[*session.Service]*session.Session{shop: mine, office: theirs} {
		if s, there := svc.From(ctx); !there || s != want {
			t.Fatal(s)
		}
	}
	ok(t, note.In(shop).Set(ctx, "shop"))
	ok(t, note.Set(ctx, "office"))
	for k, want := range map[*session.Service]string{shop: "shop", office: "office", nil: "office"} {
		if v, _, err := note.In(k).Get(ctx); err != nil || v != want {
			t.Fatal(v, err)
		}
	}
	// A second one of the same service hides the first.
	again := shop.Open("")
	if s, _ := shop.From(session.NewContext(ctx, again)); s != again {
		t.Fatal(s)
	}
	if _, there := session.From(session.NewContext(ctx, nil)); there {
		t.Fatal("nil counts")
	}
	if cancel(); context.Cause(ctx) == nil {
		t.Fatal("the context does not end with its parent")
	}
}
