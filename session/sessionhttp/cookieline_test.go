package sessionhttp

import (
	"net/http"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session"
)

// TestTheCookiesLineIsThatOfNetHTTP compares the line that was made in parts with
// that of the standard library, for the scopes and the lifetimes of a cookie.
func TestTheCookiesLineIsThatOfNetHTTP(t *testing.T) {
	for _, o := range []Options{
		{}, {Insecure: true}, {Domain: "example.com"}, {Path: "/a b"}, {Partitioned: true}, {BrowserSession: true}, {CookieName: "sid"},
		{SameSite: http.SameSiteNoneMode, Partitioned: true, Path: "/x"}, {SameSite: http.SameSiteStrictMode, Domain: "example.com", Insecure: true},
	} {
		c, err := o.cookie()
		if err != nil {
			t.Fatal(err)
		}
		made, plain := newCookieForm(c, o.BrowserSession), cookieForm{Cookie: c, browserSession: o.BrowserSession}
		if made.after == "" {
			t.Errorf("%+v has no line that is made once", o)
		}
		for _, persistence := range []session.Persistence{session.PersistenceDefault, session.PersistenceBrowser, session.PersistencePersistent} {
			for _, life := range []time.Duration{time.Second, 400 * 24 * time.Hour} {
				given := session.Credential{Action: session.ActionGive, Persistence: persistence, MaxAge: life}
				if got, want := made.line(given), plain.line(given); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		}
	}
}
