package session_test

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
)

// A sign-in form with "remember me". Without the tick the session ends with the
// browser, and after half an hour without use.
func ExampleSignInOptions() {
	backend, _ := memory.New(nil, "remember", nil)
	svc, err := session.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, remember := range []bool{false, true} {
		o := session.SignInOptions{Persistence: session.PersistenceBrowser}
		if remember {
			o = session.SignInOptions{Persistence: session.PersistencePersistent, Idle: 7 * 24 * time.Hour, Lifetime: 30 * 24 * time.Hour}
		}
		s := svc.Open("")
		if err := s.SignIn(ctx, "alice", &o); err != nil {
			fmt.Println(err)
			return
		}
		credential, err := s.Commit(ctx)
		fmt.Println(credential, credential.Persistence == session.PersistencePersistent, err)
	}
	// Output:
	// give a token for 24h0m0s false <nil>
	// give a token for 720h0m0s true <nil>
}

// An identity provider signs people in, and its JWT comes with each request. All
// requests of its session share one row.
func ExampleService_OpenFor() {
	backend, _ := memory.New(nil, "identities", nil)
	svc, err := session.New(backend, &session.Options{IdentityKey: bytes.Repeat([]byte{1}, 32)}) // a secret of 32 random bytes
	if err != nil {
		fmt.Println(err)
		return
	}
	theme := session.NewKey[string]("theme")
	for _, set := range []string{"dark", ""} { // two requests
		s, err := svc.OpenFor(session.Identity{
			Issuer: "https://id.example", SessionID: "the claim sid", Principal: "alice", AuthenticatedAt: time.Now().Add(-time.Hour),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		ctx := session.NewContext(context.Background(), s)
		if set != "" {
			err = theme.Set(ctx, set)
		}
		v, _, _ := theme.Get(ctx)
		fmt.Println(v, err, s.RequireRecent(ctx, time.Minute, 0))
		if _, err := s.Commit(ctx); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// dark <nil> session: a recent or stronger authentication is needed
	// dark <nil> session: a recent or stronger authentication is needed
}

// An administrator acts as alice, and comes back.
func ExampleSession_Impersonate() {
	backend, _ := memory.New(nil, "support", nil)
	svc, err := session.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	s := svc.Open("")
	if err := s.SignIn(ctx, "root", nil); err != nil {
		fmt.Println(err)
		return
	}
	if err := s.Impersonate(ctx, "alice", "ticket 7"); err != nil { // the program decides before who may
		fmt.Println(err)
		return
	}
	p, err := s.Principal(ctx)
	fmt.Println(p.ID, "by", p.Actor, err, s.RequireRecent(ctx, 0, 0))
	if err := s.EndImpersonation(ctx); err != nil {
		fmt.Println(err)
		return
	}
	p, err = s.Principal(ctx)
	fmt.Println(p.ID, err)
	// Output:
	// alice by root <nil> session: not while impersonating
	// root <nil>
}

// After a theft the user's token is replaced, and so are open WebSockets, which
// need no token.
func ExampleSession_EndViews() {
	backend, _ := memory.New(nil, "theft", nil)
	svc, err := session.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	s := svc.Open("")
	ctx := session.NewContext(context.Background(), s)
	if err := s.SignIn(ctx, "alice", nil); err != nil {
		fmt.Println(err)
		return
	}
	socket, err := session.Detach(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Rotate(ctx), socket.Err())
	fmt.Println(s.EndViews(ctx), socket.Err())
	// Output:
	// <nil> <nil>
	// <nil> session: ended meanwhile
}
