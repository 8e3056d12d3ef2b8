package session_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
)

type tokens struct {
	Access  string
	Expires time.Time
	Refresh string
}

var OAuth = session.NewKey[tokens]("oauth")

// Many requests of one browser find the access token expired. One of them renews
// it, since the refresh token is good for one use, and the others get the result.
func ExampleKey_Refresh() {
	backend, err := memory.New(nil, "tokens", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
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
	if err := OAuth.Set(ctx, tokens{Access: "old", Refresh: "r1"}); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := s.Persist(ctx); err != nil {
		fmt.Println(err)
		return
	}

	valid := func(t tokens) bool { return time.Now().Before(t.Expires) }
	renew := func(_ context.Context, old tokens) (tokens, error) {
		fmt.Println("asking the provider with", old.Refresh)
		return tokens{Access: "new", Expires: time.Now().Add(time.Hour), Refresh: "r2"}, nil
	}
	for range 2 {
		t, err := OAuth.Refresh(ctx, 10*time.Second, valid, renew)
		fmt.Println(t.Access, err)
	}
	// Output:
	// asking the provider with r1
	// new <nil>
	// new <nil>
}

// A page of an administrator has a cursor, and ends one session by its handle.
func ExampleService_SessionsPage() {
	backend, _ := memory.New(nil, "pages", nil)
	svc, err := session.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for range 5 {
		if err := svc.Open("").SignIn(ctx, "alice", nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	after, last := "", ""
	for {
		page, err := svc.SessionsPage(ctx, "alice", after, 2)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, info := range page.Sessions {
			last = info.Handle
		}
		fmt.Println(len(page.Sessions))
		if after = page.Next; after == "" {
			break
		}
	}
	info, err := svc.Lookup(ctx, last)
	fmt.Println(info.Principal, err, svc.DestroyHandle(ctx, last))
	// Output:
	// 2
	// 2
	// 1
	// alice <nil> <nil>
}

// User is what most handlers want to know.
func ExampleUser() {
	backend, _ := memory.New(nil, "users", nil)
	svc, err := session.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	s := svc.Open("")
	ctx := session.NewContext(context.Background(), s)
	fmt.Println(session.User(ctx))
	if err := s.SignIn(ctx, "alice", nil); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(session.User(ctx))
	// Output:
	//  false <nil>
	// alice true <nil>
}

// Values that may be absent have a default.
func ExampleKey_GetOr() {
	backend, _ := memory.New(nil, "defaults", nil)
	svc, err := session.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	theme := session.NewKey[string]("theme")
	ctx := session.NewContext(context.Background(), svc.Open(""))
	fmt.Println(theme.GetOr(ctx, "light"))
	// Output: light <nil>
}
