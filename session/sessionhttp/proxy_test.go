package sessionhttp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// A proxy without Wrap cannot know which cookie a tenant has. No token passes.
func TestProxyThatDoesNotKnowTheNameOfTheCookie(t *testing.T) {
	f := setup(t, sessionhttp.Options{CookieFor: func(r *http.Request) (string, string) {
		if r.Host == "a.example" {
			return "__Host-a", ""
		}
		return "", ""
	}})
	token := f.svcToken("alice")
	r := httptest.NewRequest(http.MethodGet, "https://upstream.internal/", nil)
	r.Header.Set("Cookie", "__Host-a="+token+"; theme=dark")
	f.m.StripCookie(r)
	if got := r.Header.Get("Cookie"); got != "theme=dark" {
		t.Errorf("%q", got)
	}
	for _, of := range []*http.Request{r, nil} {
		res := &http.Response{Request: of, Header: http.Header{"Set-Cookie": {"__Host-a=theirs"}}}
		is(t, f.m.StripSetCookie(res), model.ErrInvalid)
	}
	// Inside of Wrap it knows.
	r = httptest.NewRequest(http.MethodGet, "https://a.example/", nil)
	r.Header.Set("Cookie", "__Host-a="+token+"; other="+token)
	f.m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.Host = "upstream.internal"
		f.m.StripCookie(out)
		if got := out.Header.Get("Cookie"); got != "other="+token {
			t.Errorf("%q", got)
		}
		res := &http.Response{Request: out, Header: http.Header{"Set-Cookie": {"__Host-a=theirs", "x=y"}}}
		ok(t, f.m.StripSetCookie(res))
		if got := res.Header["Set-Cookie"]; len(got) != 1 || got[0] != "x=y" {
			t.Errorf("%q", got)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}
