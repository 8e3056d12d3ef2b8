package sessionhttp_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// brings makes a request with these lines of Cookie.
func (f *fixture) brings(h http.HandlerFunc, lines ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(http.MethodGet, page, nil)
	r.Header["Cookie"] = lines
	w := httptest.NewRecorder()
	f.m.Wrap(h).ServeHTTP(w, r)
	return w
}

// Norm: RFC6265bis 5.6
// Asks: only spaces and tabs are removed around the name and the value of a cookie.
// Library: cookies and other headers are read like that. So a name with U+00A0 before it, which a subdomain can set for its parent, is another name.
// Application: nothing.
func TestRFC6265bis_5_6_NamesAreReadAsBrowsersWriteThem(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token, name := f.token(), f.m.CookieName()
	extra := []string{"\u00a0", "\u0085", "\u2003", "\u3000", "\ufeff", "\u2028"}
	for b := range 256 {
		extra = append(extra, string([]byte{byte(b)}))
	}
	for _, x := range extra {
		white := x == " " || x == "\t"
		for where, tc := range map[string]struct {
			line string
			read bool
		}{
			"before the name":  {x + name + "=" + token, white || x == ";"},
			"after the name":   {name + x + "=" + token, white},
			"before the value": {name + "=" + x + token, white},
			"after the value":  {name + "=" + token + x, white || x == ";"},
		} {
			if got := f.brings(get(t), tc.line).Body.String() == `"v" true`; got != tc.read {
				t.Errorf("%q %s: read %v", x, where, got)
			}
		}
	}
	mine := f.signIn("victim")
	evil := f.signIn("attacker")
	for _, line := range []string{"\u00a0" + name + "=" + evil + "; " + name + "=" + mine, name + "=" + mine + "; \u00a0" + name + "=" + evil} {
		if got := f.brings(who, line).Body.String(); got != "victim<nil>" {
			t.Errorf("%q: %s", line[:8], got)
		}
	}
	if got := f.brings(who, "\u00a0"+name+"="+evil).Body.String(); got != "<nil>" {
		t.Error(got)
	}
}

func TestCookiesThatDoNotCount(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token, name := f.token(), f.m.CookieName()
	own := name + "=" + token
	for what, tc := range map[string]struct {
		lines []string
		read  bool
	}{
		"equal, in one line":    {[]string{own + "; " + own}, true},
		"equal, in two lines":   {[]string{own, own}, true},
		"a second, malformed":   {[]string{own, name + "=x"}, true},
		"a second, empty value": {[]string{own + "; " + name + "="}, true},
		"a second without =":    {[]string{own + "; " + name}, true},
		"a first, malformed":    {[]string{name + "=x;" + own}, true},
		"a first, over-long":    {[]string{own + strings.Repeat("x", 5000) + "; " + own}, true},
		"among others":          {[]string{"a=b;  " + own + " ;c=d"}, true},
		"among a hundred":       {[]string{strings.Repeat("a=b; ", 100) + own + strings.Repeat("; a=b", 100)}, true},
		"among 64 KB":           {[]string{strings.Repeat("a="+strings.Repeat("b", 1000)+"; ", 64) + own}, true},
		"a hundred malformed":   {[]string{strings.Repeat(name+"=x; ", 100) + own}, true},
		"over-long":             {[]string{own + strings.Repeat("x", 5000)}, false},
		"malformed":             {[]string{name + "=" + strings.Repeat("/", len(token))}, false},
		"quoted":                {[]string{name + `="` + token[2:] + `"`}, false},
		"quoted, whole":         {[]string{name + `="` + token + `"`}, false},
		"escaped":               {[]string{name + "=" + strings.Replace(token, ".", "%2E", 1)}, false},
		"another name":          {[]string{"id=" + token}, false},
		"another case":          {[]string{strings.ToLower(name) + "=" + token}, false},
		"in the query alone":    {nil, false},
		"an empty cookie":       {[]string{name + "="}, false},
		"a name without value":  {[]string{name}, false},
		"a nameless cookie":     {[]string{"=" + own}, false},
		"the value as a name":   {[]string{token + "=" + name}, false},
	} {
		f.b.Calls()
		r := httptest.NewRequest(http.MethodGet, page+"?id="+token+"&"+url.QueryEscape(name)+"="+token, nil)
		r.Header["Cookie"] = tc.lines
		w := httptest.NewRecorder()
		f.m.Wrap(get(t)).ServeHTTP(w, r)
		if got := w.Body.String() == `"v" true`; w.Code != http.StatusOK || got != tc.read {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
		if calls := f.b.Calls(); calls != map[bool]string{true: "Get 1", false: "none"}[tc.read] {
			t.Errorf("%s: %s", what, calls)
		}
	}
}

func TestForgedAndTruncatedTokensOpenNothing(t *testing.T) {
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Header{Name: "X-Session"})})
	token := f.signIn("alice")
	texts := make([]string, 0, 600)
	for n := range len(token) {
		texts = append(texts, token[:n], token[n+1:], token[:n]+token[n+1:], token[:n]+"A"+token[n:], token+token[:n])
		if flipped := token[:n] + "~" + token[n+1:]; true {
			texts = append(texts, flipped, token[:n]+strings.Repeat("A", len(token)-n))
		}
	}
	for _, text := range texts {
		if text == token {
			continue
		}
		for name, value := range map[string]string{"Cookie": f.pair(text), "X-Session": text} {
			if w := f.ask(http.HandlerFunc(who), http.MethodGet, page, name, value); w.Code != http.StatusOK || w.Body.String() != "<nil>" {
				t.Fatalf("%s with %d bytes: %d %s", name, len(text), w.Code, w.Body)
			}
		}
	}
}

// raw sends bytes to a server and returns the body of its answer.
func raw(t testing.TB, srv *httptest.Server, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	ok(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, request)
	ok(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	ok(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	ok(t, err)
	return string(body)
}

func TestServerReadsHeadersAsTheyWereSent(t *testing.T) {
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Bearer{})})
	token := f.signIn("alice")
	srv := f.server(t, who)
	for header, want := range map[string]string{
		"Cookie: " + f.pair(token):                                         "alice<nil>",
		"Cookie:\t" + f.pair(token) + "\t":                                 "alice<nil>",
		"Cookie: \u00a0" + f.pair(token):                                   "<nil>",
		"Cookie: a=\"\u00a0;" + f.pair(token) + "\"":                       "<nil>",
		"Authorization: Bearer " + token:                                   "alice<nil>",
		"Authorization: bearer   " + token:                                 "alice<nil>",
		"Authorization: Bearer \u00a0" + token:                             "<nil>",
		"Authorization: \u00a0Bearer " + token:                             "<nil>",
		"Authorization: Bearer" + token:                                    "<nil>",
		"Authorization: Bearer " + token + "\r\nAuthorization: Basic eA==": "alice<nil>",
		"Authorization: Bearer " + jwt + "\r\nCookie: " + f.pair(token):    "alice<nil>",
	} {
		if body := raw(t, srv, "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n"+header+"\r\n\r\n"); body != want {
			t.Errorf("%q: %q", header[:20], body)
		}
	}
}

func TestSignOutClearsAllVariantsOfTheCookie(t *testing.T) {
	for _, tc := range []struct {
		opts sessionhttp.Options
		want []string // Path, Domain, Partitioned
	}{
		{sessionhttp.Options{}, []string{"/  false", "/  true"}},
		{sessionhttp.Options{Partitioned: true, SameSite: http.SameSiteNoneMode}, []string{"/  true", "/  false"}},
		{sessionhttp.Options{Insecure: true}, []string{"/  false"}},
		{sessionhttp.Options{Domain: "example.com"}, []string{"/ example.com false", "/ example.com true", "/  false", "/  true"}},
		{sessionhttp.Options{Domain: "example.com", Path: "/app", Insecure: true}, []string{"/app example.com false", "/ example.com false", "/app  false", "/  false"}},
	} {
		f := setup(t, tc.opts)
		token := f.signIn("alice")
		w := f.ask(sessionhttp.SignOut(nil), http.MethodPost, page, "Cookie", f.pair(token))
		var got []string
		for _, c := range w.Result().Cookies() {
			if c.Name != f.m.CookieName() || c.Value != "" || c.MaxAge != -1 {
				t.Error(c)
			}
			got = append(got, fmt.Sprint(c.Path, " ", c.Domain, " ", c.Partitioned))
		}
		if strings.Join(got, ",") != strings.Join(tc.want, ",") {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

func TestNewCookieEndsTheOthersOfItsName(t *testing.T) {
	f := setup(t, sessionhttp.Options{Domain: "example.com"})
	token := f.signIn("alice")
	again := func(_ http.ResponseWriter, r *http.Request) { ok(t, from(r).Rotate(r.Context())) }
	if lines := f.brings(again, f.pair(token)).Header()["Set-Cookie"]; len(lines) != 1 {
		t.Fatal("one cookie:", lines)
	}
	token = f.signIn("alice")
	cookies := f.brings(again, f.pair(token)+"; "+f.pair("x")).Result().Cookies()
	if len(cookies) != 4 {
		t.Fatal(cookies)
	}
	for i, c := range cookies {
		if gives := c.Value != ""; gives != (i == 3) || gives != (c.Domain == "example.com" && !c.Partitioned) {
			t.Error(i, c)
		}
	}
}

func TestCookieForTenants(t *testing.T) {
	f := setup(t, sessionhttp.Options{CookieFor: func(r *http.Request) (string, string) {
		switch r.Host {
		case "a.example.com":
			return "__Host-a", ""
		case "b.example.com":
			return "", "b.example.com"
		case "bad.example.com":
			return "__Host-x", "example.com"
		}
		return "", ""
	}})
	for host, want := range map[string]string{
		"a.example.com": "__Host-a=T; Path=/; ", "b.example.com": "__Secure-id=T; Path=/; Domain=b.example.com; ", "c.example.com": "__Host-id=T; Path=/; ",
	} {
		w := f.ask(enter(t), http.MethodPost, "https://"+host+"/")
		line := w.Header().Get("Set-Cookie")
		token := w.Result().Cookies()[0].Value
		if got := strings.Replace(line, token, "T", 1); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", host, got)
		}
		pair, _, _ := strings.Cut(line, ";")
		if w := f.ask(http.HandlerFunc(who), http.MethodGet, "https://"+host+"/", "Cookie", pair); w.Body.String() != "alice<nil>" {
			t.Error(host, w.Body)
		}
		if w := f.ask(http.HandlerFunc(who), http.MethodGet, "https://d.example.com/", "Cookie", pair); (w.Body.String() == "<nil>") != (host != "c.example.com") {
			t.Error(host, w.Body)
		}
	}
	ran := false
	w := f.ask(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }), http.MethodGet, "https://bad.example.com/")
	if w.Code != http.StatusInternalServerError || ran || !strings.Contains(f.log.String(), "CookieFor") {
		t.Error(w.Code, ran, f.log)
	}
}

func TestTokenInTheBodyForPrograms(t *testing.T) {
	json := func(r *http.Request) sessionhttp.Transport {
		if r.Header.Get("Accept") == "application/json" {
			return sessionhttp.Bearer{}
		}
		return nil
	}
	f := setup(t, sessionhttp.Options{Transport: sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Bearer{}), AnswerBy: json})
	handed := ""
	login := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ok(t, from(r).SignIn(r.Context(), "alice", nil))
		token, there, err := sessionhttp.Token(r)
		ok(t, err)
		if handed = token; there != (token != "") {
			t.Error(there)
		}
	})
	w := f.ask(login, http.MethodPost, page, "Accept", "application/json")
	token := w.Header().Get("Session-Token")
	if len(token) != session.TokenLen || handed != token || w.Header().Get("Set-Cookie") != "" {
		t.Fatal(w.Header())
	}
	if w := f.ask(login, http.MethodPost, page); f.cookie(w) == nil || w.Header().Get("Session-Token") != "" || handed != "" {
		t.Fatal(w.Header())
	}
	_, _, err := sessionhttp.Token(httptest.NewRequest(http.MethodGet, page, nil))
	is(t, err, session.ErrNoSession)
	if w := f.ask(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, there, err := sessionhttp.Token(r); there || err != nil {
			t.Error(there, err)
		}
	}), http.MethodGet, page, "Authorization", "Bearer "+token); w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	// A page that has a cookie gets no header that its scripts could read.
	mine := f.signIn("alice")
	for _, header := range [][]string{{"Cookie", f.pair(mine)}, {"Cookie", f.pair("x")}, {"Cookie", f.pair(mine), "Authorization", "Bearer " + mine[:23] + strings.Repeat("A", 43)}} {
		w := f.ask(login, http.MethodPost, page, append(header, "Accept", "application/json")...)
		if w.Header().Get("Session-Token") != "" || handed != "" {
			t.Fatal(header[0], w.Header())
		}
	}
	other := setup(t, sessionhttp.Options{Transport: sessionhttp.Cookie{}, AnswerBy: func(*http.Request) sessionhttp.Transport { return sessionhttp.Bearer{} }})
	if w := other.ask(login, http.MethodPost, page); other.cookie(w) == nil || !strings.Contains(other.log.String(), "AnswerBy") {
		t.Fatal(w.Header(), other.log)
	}
}
