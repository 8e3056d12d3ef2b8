package sessionhttp_test

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// counted counts the bytes that are read from a body.
type countedBody struct {
	io.Reader
	n int
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}
func (*countedBody) Close() error { return nil }

// csrf returns the token of the session's pages.
func (f *fixture) csrf(token string) string {
	f.t.Helper()
	return f.do(func(w http.ResponseWriter, r *http.Request) {
		code, err := from(r).CSRFToken(r.Context())
		ok(f.t, err)
		_, _ = io.WriteString(w, code)
	}, token).Body.String()
}

const urlencoded = "application/x-www-form-urlencoded"

func TestRequireCSRFReadsNoMoreThanItNeeds(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.svcToken("alice")
	code := f.csrf(token)
	large := strings.Repeat("a=b&", 50<<20/4)
	field := sessionhttp.CSRFField + "=" + code
	for name, tc := range map[string]struct {
		cookie, header, kind, body string
		code, read                 int // read: at most
	}{
		"no session":                 {"", "", urlencoded, large, 403, 0},
		"a dead session":             {"x", "", urlencoded, large, 403, 0},
		"a good header":              {token, code, urlencoded, large, 200, 0},
		"a bad header":               {token, "x", urlencoded, large, 403, 0},
		"a bad header, a good field": {token, "x", urlencoded, field, 403, 0},
		"a good field":               {token, "", urlencoded, field + "&a=b", 200, 1 << 10},
		"with a charset":             {token, "", urlencoded + "; charset=utf-8", field, 200, 1 << 10},
		"no field":                   {token, "", urlencoded, "a=b", 403, 1 << 10},
		"a field behind too much":    {token, "", urlencoded, large + field, 413, 2 << 20},
		"a broken pair beside it":    {token, "", urlencoded, field + "&%zz", 200, 1 << 10},
		"multipart":                  {token, "", "multipart/form-data; boundary=x", large, 403, 0},
		"multipart with a header":    {token, code, "multipart/form-data; boundary=x", large, 200, 0},
		"JSON":                       {token, "", "application/json", large, 403, 0},
		"no type":                    {token, "", "", field, 403, 0},
	} {
		f.b.Calls()
		body := &countedBody{Reader: strings.NewReader(tc.body)}
		r := httptest.NewRequest(http.MethodPost, page+"?a;b&"+field, body)
		r.Header.Set("Content-Type", tc.kind)
		if tc.header != "" {
			r.Header.Set(sessionhttp.CSRFHeader, tc.header)
		}
		if tc.cookie != "" {
			r.Header.Set("Cookie", f.pair(tc.cookie))
		}
		ran := false
		w := httptest.NewRecorder()
		f.m.Wrap(f.m.RequireCSRF(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ran = true
			if tc.kind == urlencoded && tc.header == "" && r.PostFormValue(sessionhttp.CSRFField) != code {
				t.Errorf("%s: the form is gone", name)
			}
		}))).ServeHTTP(w, r)
		if w.Code != tc.code || ran != (tc.code == 200) || body.n > tc.read {
			t.Errorf("%s: %d, ran %v, %d bytes read", name, w.Code, ran, body.n)
		}
	}
}

func TestMultipartReaderWorksBehindRequireCSRF(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	token := f.svcToken("alice")
	code := f.csrf(token)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	ok(t, form.WriteField("a", "b"))
	ok(t, form.Close())
	r := httptest.NewRequest(http.MethodPost, page, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Cookie", f.pair(token))
	r.Header.Set(sessionhttp.CSRFHeader, code)
	w := httptest.NewRecorder()
	f.m.Wrap(f.m.RequireCSRF(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts, err := r.MultipartReader()
		ok(t, err)
		part, err := parts.NextPart()
		ok(t, err)
		_, _ = io.WriteString(w, part.FormName())
	}))).ServeHTTP(w, r)
	if w.Body.String() != "a" {
		t.Fatal(w.Code, w.Body)
	}
}

func TestCSRFBoundAndStrictMode(t *testing.T) {
	small := setup(t, sessionhttp.Options{CSRFMaxBytes: 200})
	token := small.svcToken("alice")
	field := sessionhttp.CSRFField + "=" + small.csrf(token)
	for pad, want := range map[int]int{0: 200, 200: 413} {
		r := httptest.NewRequest(http.MethodPost, page, strings.NewReader(field+"&a="+strings.Repeat("b", pad)))
		r.Header.Set("Content-Type", urlencoded)
		r.Header.Set("Cookie", small.pair(token))
		w := httptest.NewRecorder()
		small.m.Wrap(small.m.RequireCSRF(http.HandlerFunc(who))).ServeHTTP(w, r)
		if w.Code != want {
			t.Error(pad, w.Code)
		}
	}
	// The page of one user does not act as the next one of the same browser.
	for strict, want := range map[bool]int{false: http.StatusOK, true: http.StatusForbidden} {
		f := setup(t, sessionhttp.Options{StrictCSRF: strict})
		h := f.m.RequireCSRF(http.HandlerFunc(who))
		first, second := f.svcToken("alice"), f.svcToken("bob")
		post := func(token, code string) int {
			return f.ask(h, http.MethodPost, page, "Cookie", f.pair(token), "Sec-Fetch-Site", "same-origin", sessionhttp.CSRFHeader, code).Code
		}
		if got := post(second, f.csrf(first)); got != want {
			t.Errorf("strict %v, a stale page: %d", strict, got)
		}
		if got := post(second, f.csrf(second)); got != http.StatusOK {
			t.Errorf("strict %v: %d", strict, got)
		}
		twice := f.ask(h, http.MethodPost, page, "Cookie", f.pair(first), "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site").Code
		if twice != http.StatusForbidden {
			t.Errorf("strict %v, two kinds of site: %d", strict, twice)
		}
		if got := f.ask(h, http.MethodGet, page, "Cookie", f.pair(first)).Code; got != http.StatusOK {
			t.Errorf("strict %v, a page: %d", strict, got)
		}
	}
}

// The token of a page whose answer brings the next secret.
func TestCSRFTokenSurvivesTheRotationOfItsOwnAnswer(t *testing.T) {
	f := setup(t, sessionhttp.Options{StrictCSRF: true})
	token := f.svcToken("alice")
	for range 3 {
		f.clock.Advance(25 * time.Minute)
		f.do(who, token)
	}
	code := ""
	w := f.do(func(_ http.ResponseWriter, r *http.Request) {
		var err error
		code, err = from(r).CSRFToken(r.Context())
		ok(t, err)
	}, token)
	next := f.cookie(w)
	if next == nil || next.Value == token {
		t.Fatal("not rotated")
	}
	f.do(who, next.Value)
	f.clock.Advance(20 * time.Minute)
	w = f.ask(f.m.RequireCSRF(http.HandlerFunc(who)), http.MethodPost, page, "Cookie", f.pair(next.Value), sessionhttp.CSRFHeader, code)
	if w.Code != http.StatusOK {
		t.Fatal(w.Code, w.Body)
	}
	next = f.cookie(f.do(reauthenticate(t), next.Value))
	w = f.ask(f.m.RequireCSRF(http.HandlerFunc(who)), http.MethodPost, page, "Cookie", f.pair(next.Value), sessionhttp.CSRFHeader, code)
	if w.Code != http.StatusForbidden || !strings.Contains(f.log.String(), "CSRF") {
		t.Fatal("after a reauthentication:", w.Code)
	}
}

// No other site can send a token that is not a cookie. So a request without one
// needs a token of its session, and not one against forgery.
func TestRequireCSRFAsksForATokenIfNoneIsACookie(t *testing.T) {
	for name, tc := range map[string]struct {
		transport sessionhttp.Transport
		want      int
		challenge string
	}{
		"bearer":            {sessionhttp.Bearer{}, http.StatusUnauthorized, "Bearer"},
		"a header":          {sessionhttp.Header{Name: "X-Session"}, http.StatusUnauthorized, ""},
		"cookie or bearer":  {sessionhttp.Both(sessionhttp.Cookie{}, sessionhttp.Bearer{}), http.StatusForbidden, ""},
		"a cookie":          {sessionhttp.Cookie{}, http.StatusForbidden, ""},
		"bearer, or header": {sessionhttp.Both(sessionhttp.Bearer{}, sessionhttp.Header{Name: "X-Session"}), http.StatusUnauthorized, "Bearer"},
	} {
		f := setup(t, sessionhttp.Options{Transport: tc.transport})
		for what, header := range map[string][]string{"without a token": nil, "with one against forgery": {sessionhttp.CSRFHeader, "x"}} {
			w := f.ask(f.m.RequireCSRF(http.HandlerFunc(who)), http.MethodPost, page, header...)
			if got := w.Header().Get("WWW-Authenticate"); w.Code != tc.want || got != tc.challenge {
				t.Errorf("%s, %s: %d and the challenge %q, want %d and %q", name, what, w.Code, got, tc.want, tc.challenge)
			}
		}
		if _, bearer := tc.transport.(sessionhttp.Bearer); bearer {
			w := f.ask(f.m.RequireCSRF(http.HandlerFunc(who)), http.MethodPost, page, "Authorization", "Bearer "+f.svcToken("alice"))
			if w.Code != http.StatusOK {
				t.Errorf("%s, with a token: %d", name, w.Code)
			}
		}
	}
}

func TestRefusalsOfTheGuardsGoToOnErrorAndTheLog(t *testing.T) {
	var seen error
	f := setup(t, sessionhttp.Options{OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
		seen = err
		w.WriteHeader(sessionhttp.Status(err))
	}})
	token := f.svcToken("alice")
	for name, tc := range map[string]struct {
		h      http.Handler
		header []string
		want   error
	}{
		"another site":  {http.HandlerFunc(who), []string{"Sec-Fetch-Site", "cross-site"}, sessionhttp.ErrCrossOrigin},
		"an old form":   {f.m.RequireCSRF(http.HandlerFunc(who)), nil, sessionhttp.ErrCSRF},
		"a proxy":       {http.HandlerFunc(who), []string{"Origin", "https://internal.example"}, sessionhttp.ErrCrossOrigin},
		"a store, down": {sessionhttp.RequireSignIn(nil)(http.HandlerFunc(who)), nil, nil},
	} {
		seen = nil
		before := len(f.log.String())
		if tc.want == nil {
			f.b.SetHook(sessiontest.Down)
		}
		w := f.ask(tc.h, http.MethodPost, page, append(tc.header, "Cookie", f.pair(token))...)
		f.b.SetHook(nil)
		logged := f.log.String()[before:]
		if tc.want == nil {
			if load := (*sessionhttp.LoadError)(nil); w.Code != http.StatusServiceUnavailable || !errors.As(seen, &load) {
				t.Error(name, w.Code, seen)
			}
			continue
		}
		is(t, seen, tc.want)
		if w.Code != http.StatusForbidden || !strings.Contains(logged, "refused") || strings.Contains(logged, token[23:]) {
			t.Errorf("%s: %d %q", name, w.Code, logged)
		}
	}
	plain := setup(t, sessionhttp.Options{})
	if w := plain.ask(http.HandlerFunc(who), http.MethodPost, page, "Origin", "https://evil.example"); w.Code != http.StatusForbidden || !strings.Contains(plain.log.String(), "refused") {
		t.Error(w.Code, plain.log)
	}
	// A handler of CrossOrigin's own answers if there is no OnError.
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	own := setup(t, sessionhttp.Options{CrossOrigin: guard})
	if w := own.ask(http.HandlerFunc(who), http.MethodPost, page, "Origin", "https://evil.example"); w.Code != http.StatusTeapot {
		t.Error(w.Code)
	}
}
