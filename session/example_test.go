package session_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
)

type basket struct{ Items []string }

var Basket = session.NewKey[basket]("basket")

// A session without HTTP: open it by its token, change it, persist it, and do
// what the credential says.
func Example() {
	backend, err := memory.New(nil, "sessions", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	svc, err := session.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	// A first visit, without a token.
	s := svc.Open("")
	ctx := session.NewContext(context.Background(), s)
	err = Basket.Update(ctx, func(b *basket) error {
		b.Items = append(b.Items, "map")
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	credential, err := s.Commit(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(credential.Action == session.ActionGive, len(credential.Token()))

	// The next visit has the token and signs in.
	s = svc.Open(credential.Token())
	ctx = session.NewContext(context.Background(), s)
	if err := s.SignIn(ctx, "alice", nil); err != nil {
		fmt.Println(err)
		return
	}
	b, _, err := Basket.Get(ctx)
	p, perr := s.Principal(ctx)
	fmt.Println(p.ID, b.Items, err, perr)

	// The token from before the sign-in opens nothing.
	old := svc.Open(credential.Token())
	_, err = old.Principal(context.Background())
	fmt.Println(errors.Is(err, session.ErrUnauthenticated))
	// Output:
	// true 66
	// alice [map] <nil> <nil>
	// true
}

// A policy prints its lifetimes.
func ExamplePolicy() {
	fmt.Println(session.Policy{})
	fmt.Println(session.AAL3())
	// Output:
	// idle 30m0s, absolute 24h0m0s, touch every 3m0s, rotate every 1h0m0s, overlap 30s
	// idle 15m0s, absolute 12h0m0s, touch every 1m30s, rotate every 1h0m0s, overlap 30s
}

// A list of the devices of one person.
func ExampleService_Sessions() {
	backend, _ := memory.New(nil, "devices", nil)
	svc, err := session.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, device := range []string{"laptop", "phone"} {
		s := svc.Open("")
		s.SetClient(session.Client{UserAgent: device})
		if err := s.SignIn(ctx, "alice", nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	devices := 0
	for info, err := range svc.Sessions(ctx, "alice") {
		if err != nil {
			fmt.Println(err)
			return
		}
		if info.Client.UserAgent != "" {
			devices++
		}
	}
	ended, err := svc.DestroyPrincipal(ctx, "alice")
	fmt.Println(devices, ended, err)
	// Output: 2 2 <nil>
}
