package session_test

import (
	"fmt"
	"testing"

	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// Bug: alexedwards/scs#198, pow-auth/pow#561, tuwukee/jwt_sessions#146
func TestListingAmongAHundredThousandStrangers(t *testing.T) {
	k := sessiontest.New(t, nil)
	const strangers = 100_000
	for i := range strangers {
		if err := k.Service.Open("").SignIn(t.Context(), fmt.Sprint("u", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	mine := []string{signIn(t, k, "", "alice", nil), signIn(t, k, "", "alice", nil)}
	k.Backend.Calls()
	n := 0
	for _, err := range k.Service.Sessions(t.Context(), "alice") {
		ok(t, err)
		n++
	}
	k.Backend.Assert(t, "Page 1", "a listing")
	if _, err := k.Service.DestroyOthers(t.Context(), "alice", alive(t, k, mine[0]).Handle); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	k.Backend.Assert(t, "Get 1, Write 1, Page 2", "a read, and ending the others")
}
