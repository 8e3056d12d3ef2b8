package sessionhttp_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// address returns the address that is stored for a client.
func (f *fixture) address(r *http.Request) string {
	f.t.Helper()
	got := ""
	f.m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ok(f.t, from(r).SignIn(r.Context(), "alice", nil))
		i, err := from(r).Info(r.Context())
		ok(f.t, err)
		got = i.Client.Address.String()
	})).ServeHTTP(httptest.NewRecorder(), r)
	return got
}

func TestForwardedHeader(t *testing.T) {
	o := sessionhttp.Options{ProxyHeader: sessionhttp.ProxyForwarded, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	f := setup(t, o)
	for _, tc := range []struct {
		lines []string
		want  string
	}{
		{nil, "10.0.0.1"},
		{[]string{"for=198.51.100.1"}, "198.51.100.1"},
		{[]string{"For=198.51.100.1;proto=https;by=10.0.0.1"}, "198.51.100.1"},
		{[]string{`proto=https; for="198.51.100.1:4711" ;host="a,b;for=1.1.1.1"`}, "198.51.100.1"},
		{[]string{`for="[2001:db8::1]:4711"`}, "2001:db8::1"},
		{[]string{`for="[2001:db8::1]"`}, "2001:db8::1"},
		{[]string{`for="19\8.51.100.1"`}, "198.51.100.1"},
		{[]string{"for=1.1.1.1, for=198.51.100.1, for=10.0.0.2"}, "198.51.100.1"},
		{[]string{"for=1.1.1.1", "for=198.51.100.1,for=10.0.0.2", "for=10.0.0.3"}, "198.51.100.1"},
		{[]string{"for=198.51.100.1, for=_hidden"}, "10.0.0.1"},
		{[]string{"for=198.51.100.1, for=unknown, for=10.0.0.2"}, "10.0.0.2"},
		{[]string{"for=198.51.100.1, proto=https"}, "10.0.0.1"},
		// What a client wrote before the proxy's own must not count.
		{[]string{`for="1.1.1.1, for=198.51.100.1`}, "10.0.0.1"},
		{[]string{`x="`, "for=198.51.100.1"}, "198.51.100.1"},
		{[]string{"for=1.1.1.1;for=198.51.100.1"}, "10.0.0.1"},
		{[]string{"for=198.51.100.1;"}, "10.0.0.1"},
		{[]string{"198.51.100.1"}, "10.0.0.1"},
		{[]string{"for=\u00a0198.51.100.1"}, "10.0.0.1"},
		{[]string{"\u00a0for=198.51.100.1"}, "10.0.0.1"},
		{[]string{"for= 198.51.100.1"}, "10.0.0.1"},
		{[]string{""}, "10.0.0.1"},
		{[]string{strings.Repeat("for=10.1.1.1, ", 9999) + "for=10.0.0.2"}, "10.1.1.1"},
	} {
		r := httptest.NewRequest(http.MethodPost, page, nil)
		r.RemoteAddr = "10.0.0.1:1234"
		r.Header["Forwarded"] = tc.lines
		r.Header.Set("X-Forwarded-For", "203.0.113.66") // the header that nobody checks
		if got := f.address(r); got != tc.want {
			t.Errorf("%.60q: %s, want %s", tc.lines, got, tc.want)
		}
	}
	f = setup(t, sessionhttp.Options{TrustedProxies: o.TrustedProxies})
	r := httptest.NewRequest(http.MethodPost, page, nil)
	r.RemoteAddr = "10.0.0.1:1234"
	r.Header.Set("Forwarded", "for=203.0.113.66")
	r.Header.Set("X-Forwarded-For", "\u00a0198.51.100.1")
	if got := f.address(r); got != "10.0.0.1" {
		t.Error("U+00A0 in X-Forwarded-For:", got)
	}
	r.Header.Set("X-Forwarded-For", "203.0.113.1,\t198.51.100.1 ")
	if got := f.address(r); got != "198.51.100.1" {
		t.Error("a tab in X-Forwarded-For:", got)
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add(`for="[2001:db8::1]:4711";by=x, for=_a`)
	f.Add(`for="a\"b`)
	f.Fuzz(func(t *testing.T, client string) {
		s := setup(t, sessionhttp.Options{ProxyHeader: sessionhttp.ProxyForwarded, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		r := httptest.NewRequest(http.MethodPost, page, nil)
		r.RemoteAddr = "10.0.0.1:1234"
		r.Header["Forwarded"] = []string{client, "for=198.51.100.1"}
		if got := s.address(r); got != "198.51.100.1" {
			t.Fatalf("%q: %s", client, got)
		}
	})
}

func TestProxyOnAUnixSocket(t *testing.T) {
	for name, tc := range map[string]struct {
		opts sessionhttp.Options
		want string
	}{
		"trusted":     {sessionhttp.Options{TrustUnixPeers: true}, "198.51.100.1"},
		"not trusted": {sessionhttp.Options{}, "invalid IP"},
	} {
		f := setup(t, tc.opts)
		got := ""
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = f.address(r) }))
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		ok(t, err)
		_ = srv.Listener.Close()
		srv.Listener = l
		srv.Start()
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/", nil)
		ok(t, err)
		r.Header.Set("X-Forwarded-For", "1.1.1.1, 198.51.100.1")
		res, err := client.Do(r)
		ok(t, err)
		_ = res.Body.Close()
		client.CloseIdleConnections()
		srv.Close()
		if got != tc.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	// A peer of another network never counts as one.
	f := setup(t, sessionhttp.Options{TrustUnixPeers: true})
	for remote, want := range map[string]string{"@": "198.51.100.1", "": "198.51.100.1", "/run/proxy": "198.51.100.1", "@proxy": "198.51.100.1", "203.0.113.9:1": "203.0.113.9", "unknown": "invalid IP"} {
		r := httptest.NewRequest(http.MethodGet, page, nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		if got := f.address(r); got != want {
			t.Errorf("%q: %s", remote, got)
		}
	}
	r := httptest.NewRequest(http.MethodGet, page, nil)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{}))
	r.RemoteAddr = ""
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	if got := f.address(r); got != "invalid IP" {
		t.Error("TCP without an address:", got)
	}
}

func TestServersBehindAProxyDoNotGetTheToken(t *testing.T) {
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Bearer{}), sessionhttp.Header{Name: "X-Session"})})
	token := f.svcToken("alice")
	var seen http.Header
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		w.Header().Add("Set-Cookie", f.m.CookieName()+"=theirs; Path=/; Secure")
		w.Header().Add("Set-Cookie", " __HOST-ID =theirs")
		for _, line := range []string{"=" + f.m.CookieName() + "=theirs", " = " + f.m.CookieName() + " = theirs", f.m.CookieName(), "theme=dark", "=plain"} {
			w.Header().Add("Set-Cookie", line)
		}
		w.Header().Set("Session-Token", "theirs")
		w.Header().Set("X-Session", "")
		w.Header().Add("Clear-Site-Data", `"cache", "cookies"`)
		w.Header().Add("Clear-Site-Data", `"cookies"`)
		w.Header().Add("Clear-Site-Data", `"*"`)
	}))
	defer upstream.Close()
	at, err := url.Parse(upstream.URL)
	ok(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(at); f.m.StripCookie(p.Out) }, ModifyResponse: f.m.StripSetCookie}
	for _, wrapped := range []bool{true, false} {
		h := http.Handler(proxy)
		if wrapped {
			h = f.m.Wrap(proxy)
		}
		srv := httptest.NewServer(h)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		ok(t, err)
		r.Header["Cookie"] = []string{"a=b;" + f.pair(token) + ";\tc=\"d\"", f.pair("x")}
		r.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + jwt}
		r.Header.Set("X-Session", token)
		res, err := http.DefaultClient.Do(r)
		ok(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		srv.Close()
		if got := seen["Cookie"]; len(got) != 1 || got[0] != `a=b; c="d"` {
			t.Errorf("%q", got)
		}
		if got := seen["Authorization"]; len(got) != 1 || got[0] != "Bearer "+jwt || seen.Get("X-Session") != "" {
			t.Errorf("%q", seen)
		}
		if got := res.Header["Set-Cookie"]; len(got) != 2 || got[0] != "theme=dark" || got[1] != "=plain" {
			t.Errorf("%q", got)
		}
		if got := res.Header["Clear-Site-Data"]; len(got) != 2 || got[0] != `"cache"` || strings.Contains(got[1], "*") || !strings.Contains(got[1], `"storage"`) {
			t.Errorf("%q", got)
		}
		if len(res.Header["Session-Token"])+len(res.Header["X-Session"]) != 0 {
			t.Errorf("a token of the server passes: %q", res.Header)
		}
	}
	r := httptest.NewRequest(http.MethodGet, page, nil)
	r.Header.Set("Cookie", f.pair(token))
	r.Header.Set("Authorization", "Basic eA==")
	if f.m.StripCookie(r); len(r.Header["Cookie"]) != 0 || r.Header.Get("Authorization") != "Basic eA==" {
		t.Error(r.Header)
	}
}
