package sessionhttp_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
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

// The interim responses of a server behind a proxy pass no ModifyResponse.
func TestInterimResponsesOfAProxiedServerHaveNoToken(t *testing.T) {
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Header{Name: "X-Token"})})
	name := f.m.CookieName()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Add("Set-Cookie", name+"=theirs; Path=/; Secure")
		h.Add("Set-Cookie", "="+name+"=theirs")
		h.Add("Set-Cookie", "x=y")
		h.Set("X-Token", "theirs")
		h.Set("Clear-Site-Data", `"cookies", "cache"`)
		h.Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer upstream.Close()
	at, err := url.Parse(upstream.URL)
	ok(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(at) }, ModifyResponse: f.m.StripSetCookie}
	var before http.Header
	site := httptest.NewServer(f.m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", name+"=a handler's own")
		w.WriteHeader(http.StatusEarlyHints)
		before = w.Header().Clone()
		w.Header().Del("Set-Cookie")
		proxy.ServeHTTP(w, r)
	})))
	defer site.Close()
	var interim []textproto.MIMEHeader
	trace := &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { interim = append(interim, h); return nil }}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, site.URL, nil)
	ok(t, err)
	res, err := http.DefaultClient.Do(r)
	ok(t, err)
	ok(t, res.Body.Close())
	if len(interim) != 2 || interim[0].Get("Set-Cookie") != "" {
		t.Fatalf("interim responses: %v", interim)
	}
	if len(before["Set-Cookie"]) != 1 {
		t.Errorf("the final answer has lost %v", before)
	}
	for what, h := range map[string]http.Header{"interim": http.Header(interim[1]), "final": res.Header} {
		if got := h["Set-Cookie"]; len(got) != 1 || got[0] != "x=y" {
			t.Errorf("%s: %q", what, got)
		}
		if h.Get("X-Token") != "" || h.Get("Clear-Site-Data") != `"cache"` || h.Get("Link") == "" {
			t.Errorf("%s: %v", what, h)
		}
	}
}
