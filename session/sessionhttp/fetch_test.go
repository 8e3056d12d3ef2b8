package sessionhttp_test

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// A request of another site comes without the cookie. What it creates would
// replace the session of somebody who is signed in.
func TestRequestsOfOtherSitesWithoutACookieCreateNothing(t *testing.T) {
	lax, strict := sessionhttp.Options{AnyOrigin: true}, sessionhttp.Options{AnyOrigin: true, SameSite: http.SameSiteStrictMode}
	none := sessionhttp.Options{AnyOrigin: true, SameSite: http.SameSiteNoneMode}
	domain := sessionhttp.Options{AnyOrigin: true, Domain: "example.com"}
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	frame := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}
	fetch := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}
	for name, tc := range map[string]struct {
		opts    sessionhttp.Options
		method  string
		header  []string
		refused bool
	}{
		"a form":                              {lax, http.MethodPost, link, true},
		"an image":                            {lax, http.MethodGet, fetch, true},
		"a frame":                             {lax, http.MethodGet, frame, true},
		"a link, which Lax lets through":      {lax, http.MethodGet, link, false},
		"a link, Strict":                      {strict, http.MethodGet, link, true},
		"a form, SameSite=None":               {none, http.MethodPost, link, false},
		"a form, for programs":                {sessionhttp.Options{AnyOrigin: true, Transport: sessionhttp.Bearer{}}, http.MethodPost, link, false},
		"a form of this site":                 {lax, http.MethodPost, []string{"Sec-Fetch-Site", "same-origin"}, false},
		"a form of a neighbour":               {lax, http.MethodPost, []string{"Sec-Fetch-Site", "same-site", "Origin", "https://a.example.com"}, false},
		"typed by the user":                   {strict, http.MethodGet, []string{"Sec-Fetch-Site", "none"}, false},
		"a program":                           {lax, http.MethodPost, nil, false},
		"an old browser, another site":        {lax, http.MethodPost, []string{"Origin", "https://bank.test"}, true},
		"an old browser, a sandbox":           {lax, http.MethodPost, []string{"Origin", "null"}, true},
		"an old browser, this host":           {lax, http.MethodPost, []string{"Origin", "https://example.com"}, false},
		"an old browser, another port":        {lax, http.MethodPost, []string{"Origin", "https://EXAMPLE.com:8443"}, false},
		"an old browser, a subdomain":         {lax, http.MethodPost, []string{"Origin", "https://a.example.com"}, false},
		"an old browser, a name that ends so": {lax, http.MethodPost, []string{"Origin", "https://notexample.com"}, true},
		"an old browser, within the Domain":   {domain, http.MethodPost, []string{"Origin", "https://b.a.example.com"}, false},
		"an old browser, not within a Domain": {domain, http.MethodPost, []string{"Origin", "https://example.com.test"}, true},
		"metadata count more than the origin": {lax, http.MethodPost, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://example.com"}, true},
		"two kinds of site":                   {lax, http.MethodPost, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, true},
		"two modes of a link":                 {lax, http.MethodGet, append(slices.Clone(fetch[:2]), "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Mode", "no-cors"), true},
		"two targets of a link":               {lax, http.MethodGet, append(slices.Clone(link), "Sec-Fetch-Dest", "iframe"), true},
		"an old browser, two origins":         {lax, http.MethodPost, []string{"Origin", "https://example.com", "Origin", "https://bank.test"}, true},
		"what is not in the language":         {lax, http.MethodPost, []string{"Sec-Fetch-Site", "\u00a0cross-site"}, false},
	} {
		f := setup(t, tc.opts)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = note.Set(r.Context(), "seen") // a careless handler
			_, _ = io.WriteString(w, "done")
		})
		w := f.ask(h, tc.method, page, tc.header...)
		rows, err := f.svc.Count(t.Context())
		ok(t, err)
		if refused := w.Code == http.StatusForbidden; refused != tc.refused || (rows == 0) != refused || refused && w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d, %d rows, %v", name, w.Code, rows, w.Header())
		}
		if tc.refused && strings.Contains(w.Body.String(), "done") {
			t.Errorf("%s: the value was lost in silence", name)
		}
		// A sign-in does so too, and a page that only reads is served.
		f.ask(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if sessionhttp.RefusesNew(r) != tc.refused {
				t.Errorf("%s: RefusesNew returned %v", name, !tc.refused)
			}
			if err := from(r).SignIn(r.Context(), "alice", nil); tc.refused {
				is(t, err, session.ErrCrossSite)
			} else {
				ok(t, err)
			}
		}), tc.method, page, tc.header...)
		if w := f.ask(get(t), tc.method, page, tc.header...); w.Code != http.StatusOK {
			t.Errorf("%s: a reader: %d", name, w.Code)
		}
		// A request with the cookie is known.
		token := f.svcToken("bob")
		if w := f.ask(set(t, "v"), tc.method, page, append(tc.header, "Cookie", f.pair(token))...); w.Code != http.StatusOK {
			t.Errorf("%s: with a cookie: %d", name, w.Code)
		}
	}
}

var (
	inputs = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	nonces = regexp.MustCompile(`<script nonce="([A-Z2-7]{26})">`)
)

// resent returns the form that a browser sends from a page of Repost.
func resent(page string) string {
	var pairs []string
	for _, m := range inputs.FindAllStringSubmatch(page, -1) {
		value := strings.ReplaceAll(strings.ReplaceAll(html.UnescapeString(m[2]), "\r\n", "\n"), "\n", "\r\n")
		pairs = append(pairs, url.QueryEscape(html.UnescapeString(m[1]))+"="+url.QueryEscape(value))
	}
	return strings.Join(pairs, "&")
}

// reply is the head of an answer.
type reply struct {
	Code   int
	Header http.Header
}

func TestRepostBringsTheFormAndTheCookieTogether(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	mine := f.signIn("alice")
	var form url.Values
	app := f.m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ok(t, r.ParseForm())
		form = r.PostForm
		ok(t, note.Set(r.Context(), "paid"))
		who(w, r)
	}))
	srv := httptest.NewServer(f.m.Repost(nil, app))
	defer srv.Close()
	post := func(body string, header ...string) (reply, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"//evil.test/callback?x=1", strings.NewReader(body))
		ok(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		res, err := http.DefaultClient.Do(r)
		ok(t, err)
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		ok(t, err)
		return reply{res.StatusCode, res.Header}, string(text)
	}
	sent := url.Values{
		"code": {`"><script>alert(1)</script>`, "second"}, "submit": {"x"}, `n"a'm<e>&`: {"é 世界 \t+%00&amp;{{.}}"}, "empty": {""}, "lines": {"a\r\nb"},
	}
	cross := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Origin", "https://idp.test"}
	old := []string{"Origin", "https://idp.test"}
	for _, header := range [][]string{cross, old} {
		form = nil
		res, text := post(sent.Encode(), header...)
		if res.Code != http.StatusOK || form != nil || len(res.Header["Set-Cookie"]) != 0 {
			t.Fatal(res.Code, form, res.Header)
		}
		nonce := nonces.FindStringSubmatch(text)
		policy := res.Header.Get("Content-Security-Policy")
		if len(nonce) != 2 || !strings.Contains(policy, "script-src 'nonce-"+nonce[1]+"';") || !strings.Contains(policy, "default-src 'none'") {
			t.Fatal(policy, text)
		}
		if res.Header.Get("Cache-Control") != "private, no-store" || res.Header.Get("Referrer-Policy") != "same-origin" {
			t.Fatal(res.Header)
		}
		if strings.Contains(text, "evil.test") || strings.Contains(text, "action") || strings.Count(text, "<script") != 1 {
			t.Fatal("a page that says where the form goes:", text)
		}
		res, text = post(resent(text), "Sec-Fetch-Site", "same-origin", "Origin", srv.URL, "Cookie", f.pair(mine))
		if res.Code != http.StatusOK || text != "alice<nil>" || form.Encode() != sent.Encode() {
			t.Fatalf("%d %s\n%q\n%q", res.Code, text, form, sent)
		}
		// An old browser does not go round in circles.
		if _, text = post(resent(text), "Origin", srv.URL, "Cookie", f.pair(mine)); text != "alice<nil>" {
			t.Fatal(text)
		}
	}
	for what, tc := range map[string]struct {
		body, kind string
		code       int
	}{
		"too long":     {"a=" + strings.Repeat("b", 256<<10), "application/x-www-form-urlencoded", http.StatusRequestEntityTooLarge},
		"multipart":    {"--x--", "multipart/form-data; boundary=x", http.StatusUnsupportedMediaType},
		"JSON":         {"{}", "application/json", http.StatusUnsupportedMediaType},
		"no type":      {"a=b", "", http.StatusUnsupportedMediaType},
		"Latin-1":      {"a=b", "application/x-www-form-urlencoded; charset=iso-8859-1", http.StatusUnsupportedMediaType},
		"not UTF-8":    {"a=%ff", "application/x-www-form-urlencoded", http.StatusBadRequest},
		"NUL":          {"a=%00", "application/x-www-form-urlencoded", http.StatusBadRequest},
		"bad escape":   {"a=%zz", "application/x-www-form-urlencoded", http.StatusBadRequest},
		"no name":      {"=b", "application/x-www-form-urlencoded", http.StatusBadRequest},
		"magic name":   {"_charset_=x", "application/x-www-form-urlencoded", http.StatusBadRequest},
		"with charset": {"a=b", "application/x-www-form-urlencoded; charset=UTF-8", http.StatusOK},
		"nothing":      {"", "application/x-www-form-urlencoded", http.StatusOK},
	} {
		if res, text := post(tc.body, append(cross, "Content-Type", tc.kind)...); res.Code != tc.code {
			t.Errorf("%s: %d %s", what, res.Code, text)
		}
	}
}

func TestRepostLoadsALinkAgainForStrictCookies(t *testing.T) {
	f := setup(t, sessionhttp.Options{SameSite: http.SameSiteStrictMode})
	h := f.m.Repost(&sessionhttp.RepostOptions{Text: "Weiter <hier>", Button: "Weiter", Lang: "de"}, f.m.Wrap(http.HandlerFunc(who)))
	ask := func(method string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "https://example.com//evil.test/cb?code=1", nil)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	w := ask(http.MethodGet, link...)
	text := w.Body.String()
	if !strings.Contains(text, `<meta http-equiv="refresh" content="0">`) || strings.Contains(text, "evil") || !strings.Contains(text, "Weiter &lt;hier&gt;") || !strings.Contains(text, `lang="de"`) {
		t.Fatal(text)
	}
	mine := f.signIn("alice")
	if w := ask(http.MethodGet, "Sec-Fetch-Site", "same-origin", "Cookie", f.pair(mine)); w.Body.String() != "alice<nil>" {
		t.Fatal(w.Body)
	}
	if w := ask(http.MethodPut, link...); w.Code != http.StatusForbidden {
		t.Fatal("a method that no form has:", w.Code)
	}
	lax := setup(t, sessionhttp.Options{})
	h = lax.m.Repost(nil, lax.m.Wrap(http.HandlerFunc(who)))
	if w := ask(http.MethodGet, link...); w.Body.String() != "<nil>" {
		t.Fatal("Lax:", w.Body)
	}
}

// svcToken returns a token that did not come by an answer.
func (f *fixture) svcToken(principal string) string {
	f.t.Helper()
	s := f.svc.Open("")
	ok(f.t, s.SignIn(f.t.Context(), principal, nil))
	c, err := s.Commit(f.t.Context())
	ok(f.t, err)
	return c.Token()
}
