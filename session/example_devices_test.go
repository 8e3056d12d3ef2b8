package session_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// service returns a service in memory, whose clock moves when told.
func service(name string, opts session.Options) (*session.Service, *sessiontest.Clock) {
	clock := sessiontest.NewClock(time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC))
	opts.Clock = clock
	backend, err := memory.New(nil, name, nil)
	if err != nil {
		panic(err)
	}
	svc, err := session.New(backend, &opts)
	if err != nil {
		panic(err)
	}
	return svc, clock
}

// newToken returns the token of a new session of alice.
func newToken(svc *session.Service) (string, error) {
	ctx := context.Background()
	s := svc.Open("")
	if err := s.SignIn(ctx, "alice", nil); err != nil {
		return "", err
	}
	credential, err := s.Persist(ctx)
	return credential.Token(), err
}

// A change of the password signs out all devices.
func ExampleService_DestroyPrincipal() {
	svc, _ := service("password", session.Options{})
	laptop, _ := newToken(svc)
	phone, _ := newToken(svc)
	ended, err := svc.DestroyPrincipal(context.Background(), "alice")
	fmt.Println(ended, err)
	for _, token := range []string{laptop, phone} {
		_, err := svc.Open(token).Principal(context.Background())
		fmt.Println(err)
	}
	// Output:
	// 2 <nil>
	// session: not signed in
	// session: not signed in
}

// Three devices at most: a fourth sign-in ends the oldest.
func ExampleLimit() {
	svc, clock := service("limit", session.Options{Limit: session.Limit{Max: 3}})
	first, _ := newToken(svc)
	for range 3 {
		clock.Advance(time.Minute)
		if _, err := newToken(svc); err != nil {
			fmt.Println(err)
			return
		}
	}
	n, err := svc.CountPrincipal(context.Background(), "alice")
	_, gone := svc.Open(first).Principal(context.Background())
	fmt.Println(svc.Limit(), n, err, gone)
	// Output: at most 3 sessions, then EvictOldest 3 <nil> session: not signed in
}

// A page tells its user why they are signed out.
func ExampleSession_Why() {
	ctx := context.Background()
	svc, clock := service("why", session.Options{})
	idle, _ := newToken(svc)
	clock.Advance(31 * time.Minute)
	fmt.Println(svc.Open(idle).Why(ctx))

	ended, _ := newToken(svc)
	if _, err := svc.DestroyPrincipal(ctx, "alice"); err != nil {
		fmt.Println(err)
		return
	}
	why, err := svc.Open(ended).Why(ctx)
	fmt.Println(why == session.WhyEnded, err)
	fmt.Println(svc.Open("").Why(ctx))
	// Output:
	// idle <nil>
	// true <nil>
	// none <nil>
}

// A second factor raises the level for ten minutes.
func ExampleSession_Elevate() {
	ctx := context.Background()
	svc, clock := service("factor", session.Options{})
	s := svc.Open("")
	if err := s.SignIn(ctx, "alice", &session.SignInOptions{Level: 1}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.RequireRecent(ctx, 0, 2))
	fmt.Println(s.Elevate(ctx, 2, 10*time.Minute), s.RequireRecent(ctx, 0, 2))
	clock.Advance(10 * time.Minute)
	fmt.Println(s.RequireRecent(ctx, 0, 2))
	// Output:
	// session: a recent or stronger authentication is needed
	// <nil> <nil>
	// session: a recent or stronger authentication is needed
}

// After a change of the password this device gets a new token.
func ExampleSession_Rotate() {
	ctx := context.Background()
	svc, _ := service("rotate", session.Options{})
	old, _ := newToken(svc)
	s := svc.Open(old)
	fmt.Println(s.Rotate(ctx))
	credential, err := s.Persist(ctx)
	fmt.Println(credential.Action == session.ActionGive, err)
	for _, token := range []string{credential.Token(), old} {
		id, _, err := session.User(session.NewContext(ctx, svc.Open(token)))
		fmt.Printf("%q %v\n", id, err)
	}
	// Output:
	// <nil>
	// true <nil>
	// "alice" <nil>
	// "" <nil>
}

// Two requests at the same time add to one basket, and none loses its change.
func ExampleKey_Update() {
	svc, _ := service("update", session.Options{})
	token, _ := newToken(svc)
	one, two := svc.Open(token), svc.Open(token)
	for s, item := range map[*session.Session]string{one: "tea", two: "milk"} {
		err := Basket.Update(session.NewContext(context.Background(), s), func(b *basket) error {
			b.Items = append(b.Items, item)
			return nil
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	for _, s := range []*session.Session{one, two} {
		if _, err := s.Persist(context.Background()); err != nil {
			fmt.Println(err)
		}
	}
	b, _, err := Basket.Get(session.NewContext(context.Background(), svc.Open(token)))
	fmt.Println(b.Items, err)
	// Output: [tea milk] <nil>
}

// A message that is shown once.
func ExampleKey_Take() {
	svc, _ := service("flash", session.Options{})
	flash := session.NewKey[string]("flash")
	ctx := session.NewContext(context.Background(), svc.Open(""))
	if err := flash.Set(ctx, "Saved."); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(flash.Take(ctx))
	fmt.Println(flash.Take(ctx))
	// Output:
	// Saved. true <nil>
	//  false <nil>
}

// A stream outlives its request. It ends with the session.
func ExampleDetach() {
	svc, _ := service("stream", session.Options{})
	defer func() { _ = svc.Close() }()
	token, _ := newToken(svc)
	ctx := session.NewContext(context.Background(), svc.Open(token))
	view, err := session.Detach(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer view.Close()
	err = view.Do(ctx, func(ctx context.Context) error { return Basket.Set(ctx, basket{Items: []string{"tea"}}) })
	fmt.Println(err, view.Err())
	if _, err := svc.DestroyPrincipal(ctx, "alice"); err != nil {
		fmt.Println(err)
	}
	<-view.Done()
	fmt.Println(errors.Is(view.Err(), session.ErrGone))
	// Output:
	// <nil> <nil>
	// true
}
