package scsstore_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/alexedwards/scs/v2"

	"github.com/sojourn-go/sojourn/adapters/scsstore"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// A program stays on scs, with a backend of Sojourn.
func ExampleNew() {
	backend, _ := memory.New(nil, "scs", nil) // or redis.New(client, "scs", nil), …
	store, err := scsstore.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	manager := scs.New()
	manager.Store = store
	manager.HashTokenInStore = true
	mux := http.NewServeMux()
	_ = manager.LoadAndSave(mux) // as before
}

// A program moves from scs to package session, and everybody stays signed in.
func ExampleMove() {
	manager := scs.New() // as before, with its store and cookie
	backend, _ := memory.New(nil, "sessions", nil)
	svc, _ := session.New(backend, nil)
	m, err := sessionhttp.New(svc, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	cart := session.NewKey[[]string]("cart")
	open := func(ctx context.Context) error {
		items, _ := manager.Get(ctx, "cart").([]string)
		if err := cart.Set(ctx, items); err != nil {
			return err
		}
		user := manager.GetString(ctx, "user")
		if user == "" {
			return nil // a visitor who has not signed in
		}
		s, err := session.Require(ctx)
		if err != nil {
			return err
		}
		return s.SignIn(ctx, user, &session.SignInOptions{NotAfter: manager.Deadline(ctx)})
	}
	mux := http.NewServeMux()
	_ = m.Wrap(scsstore.Move(manager, open)(mux)) // in the place of manager.LoadAndSave(mux)
}
