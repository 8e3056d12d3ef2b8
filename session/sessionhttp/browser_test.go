package sessionhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// person is a browser with the cookies of one host, on a real server. Answers
// arrive when the test delivers them.
type person struct {
	f       *fixture
	srv     *httptest.Server
	cookies map[string]*http.Cookie
	expires map[string]time.Time
}

func (f *fixture) person(h http.Handler) *person {
	srv := httptest.NewTLSServer(f.m.Wrap(h))
	f.t.Cleanup(srv.Close)
	return &person{f: f, srv: srv, cookies: map[string]*http.Cookie{}, expires: map[string]time.Time{}}
}

// answer is an answer that has not arrived yet.
type answer struct {
	p    *person
	res  *http.Response
	body string
}

// send makes a request with the cookies of this moment.
func (p *person) send(method, path string, header ...string) answer {
	p.f.t.Helper()
	r, err := http.NewRequestWithContext(p.f.t.Context(), method, p.srv.URL+path, nil)
	ok(p.f.t, err)
	if len(header) == 0 {
		header = []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if r.Header.Get("Sec-Fetch-Site") != "cross-site" || method == http.MethodGet {
		for key, c := range p.cookies { // SameSite=Lax
			if p.f.clock.Now().Before(p.expires[key]) {
				r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
			}
		}
	}
	res, err := p.srv.Client().Do(r)
	ok(p.f.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	ok(p.f.t, err)
	return answer{p, res, string(body)}
}

// arrives stores the cookies of the answer.
func (a answer) arrives() answer {
	for _, c := range a.res.Cookies() {
		bad := !c.Secure || c.Domain != "" || c.Path != "/"
		if strings.HasPrefix(strings.ToLower(c.Name), "__host-") && bad {
			continue
		}
		key := fmt.Sprint(c.Name, c.Partitioned)
		if c.MaxAge < 0 {
			delete(a.p.cookies, key)
			continue
		}
		a.p.cookies[key] = c
		a.p.expires[key] = a.p.f.clock.Now().Add(min(time.Duration(c.MaxAge)*time.Second, 400*24*time.Hour))
	}
	return a
}

func (p *person) visit(method, path string, header ...string) answer {
	p.f.t.Helper()
	return p.send(method, path, header...).arrives()
}

func (p *person) is(want string) {
	p.f.t.Helper()
	if got := p.visit(http.MethodGet, "/who").body; got != want {
		p.f.t.Fatalf("%q, want %q", got, want)
	}
}

var beacon = []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "empty"}

// site is a program with all verbs.
func site() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		p, err := from(r).Principal(r.Context())
		why, _ := from(r).Why(r.Context())
		if err != nil && why != session.WhyNone {
			_, _ = fmt.Fprint(w, why)
			return
		}
		_, _ = io.WriteString(w, p.ID)
	})
	for path, do := range map[string]func(ctx context.Context, s *session.Session) error{
		"/in":     func(ctx context.Context, s *session.Session) error { return s.SignIn(ctx, "alice", nil) },
		"/out":    func(ctx context.Context, s *session.Session) error { return s.SignOut(ctx) },
		"/rotate": func(ctx context.Context, s *session.Session) error { return s.Rotate(ctx) },
		"/again":  func(ctx context.Context, s *session.Session) error { return s.Reauthenticate(ctx) },
		"/raise":  func(ctx context.Context, s *session.Session) error { return s.Elevate(ctx, 2, time.Minute) },
		"/act":    func(ctx context.Context, s *session.Session) error { return s.Impersonate(ctx, "bob", "x") },
		"/note":   func(ctx context.Context, _ *session.Session) error { return note.Set(ctx, "n") },
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if err := do(r.Context(), from(r)); err != nil {
				http.Error(w, err.Error(), sessionhttp.Status(err))
			}
		})
	}
	return mux
}

// The answer with the new secret is lost, and so are those after it.
func TestLostAnswersOfARotationSignNobodyOut(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	p := f.person(site())
	p.visit(http.MethodPost, "/in")
	for minute := range 180 {
		f.clock.Advance(time.Minute)
		a := p.send(http.MethodGet, "/who")
		if a.body != "alice" {
			t.Fatalf("minute %d: %q", minute, a.body)
		}
		if minute > 120 {
			a.arrives()
		}
	}
	p.is("alice")
}

// Norm: NIST 5.1.1
// Asks: cookies expire at or soon after the validity of the session, and are not what enforces it.
// Library: a cookie lives to the absolute deadline, 400 days at most, and the store alone decides when a session is idle. We read the session's validity as that deadline: a cookie that ended with the idle deadline would sign people out whose answer was lost, or who use a WebSocket. BrowserSession leaves the time out.
// Application: nothing, or SignInOptions.Persistence for each sign-in.
func TestNIST_5_1_1_CookieStaysWhileAWebSocketKeepsTheSession(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	mux := site()
	p := f.person(mux)
	views := make(chan *session.Detached, 1)
	mux.HandleFunc("/ws", func(_ http.ResponseWriter, r *http.Request) {
		live, err := session.Detach(context.WithoutCancel(r.Context()))
		if err != nil {
			t.Error(err)
		}
		views <- live
	})
	p.visit(http.MethodPost, "/in")
	p.visit(http.MethodGet, "/ws")
	live := <-views
	defer live.Close()
	for range 50 {
		f.clock.Advance(4 * time.Minute)
		ok(t, live.Touch(t.Context()))
	}
	p.is("alice")
	f.clock.Advance(31 * time.Minute)
	p.is("idle")
}

// A beacon and a verb leave with one cookie. The beacon is served last, and its
// answer arrives last.
func TestBeaconThatOvertakesAVerbSignsNobodyOut(t *testing.T) {
	for verb, who := range map[string]string{"/in": "alice", "/rotate": "alice", "/again": "alice", "/raise": "alice", "/act": "bob"} {
		f := setup(t, sessionhttp.Options{})
		mux := site()
		p := f.person(mux)
		var before answer
		mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
			before = p.send(http.MethodPost, verb)
			if err := note.Set(r.Context(), "late"); err != nil {
				http.Error(w, err.Error(), sessionhttp.Status(err))
			}
		})
		if verb == "/in" {
			p.visit(http.MethodPost, "/note")
		} else {
			p.visit(http.MethodPost, "/in")
		}
		late := p.send(http.MethodPost, "/slow", beacon...)
		if late.res.StatusCode != http.StatusConflict || len(late.res.Cookies()) != 0 {
			t.Errorf("%s: the beacon: %d %v", verb, late.res.StatusCode, late.res.Header)
		}
		if before.res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", verb, before.res.StatusCode)
		}
		before.arrives()
		late.arrives()
		p.is(who)
	}
}

func TestBeaconAfterASignOutElsewhereHidesNothing(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	p := f.person(site())
	p.visit(http.MethodPost, "/in")
	_, err := f.svc.DestroyPrincipal(t.Context(), "alice")
	ok(t, err)
	if a := p.visit(http.MethodPost, "/note", beacon...); a.res.StatusCode != http.StatusConflict || len(a.res.Cookies()) != 0 {
		t.Fatal(a.res.StatusCode, a.res.Header)
	}
	if n, err := f.svc.Count(t.Context()); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	p.is("ended") // and the cookie is cleared
	p.is("")
}

// A page that writes must not be refused for as long as the cookie lives.
func TestEndedSessionIsRefusedOnce(t *testing.T) {
	for path, first := range map[string]int{"/note": http.StatusConflict, "/careless": http.StatusConflict, "/retry": http.StatusOK} {
		f := setup(t, sessionhttp.Options{})
		mux := site()
		mux.HandleFunc("/careless", func(_ http.ResponseWriter, r *http.Request) { _ = note.Set(r.Context(), "n") })
		mux.HandleFunc("/retry", func(w http.ResponseWriter, r *http.Request) {
			if note.Set(r.Context(), "n") != nil {
				http.Redirect(w, r, "/who", http.StatusSeeOther)
			}
		})
		p := f.person(mux)
		p.visit(http.MethodPost, "/in")
		_, err := f.svc.DestroyPrincipal(t.Context(), "alice")
		ok(t, err)
		if a := p.visit(http.MethodGet, path); a.res.StatusCode != first || first == http.StatusOK && a.body != "ended" {
			t.Errorf("%s: %d %s", path, a.res.StatusCode, a.body)
		}
		if a := p.visit(http.MethodGet, path); a.res.StatusCode != http.StatusOK || len(p.cookies) != 1 {
			t.Errorf("%s, again: %d %v", path, a.res.StatusCode, p.cookies)
		}
	}
}

func TestFormOfAnotherSiteSignsNobodyOut(t *testing.T) {
	f := setup(t, sessionhttp.Options{AnyOrigin: true})
	p := f.person(site())
	p.visit(http.MethodPost, "/in")
	a := p.visit(http.MethodPost, "/note", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Origin", "https://idp.test")
	if a.res.StatusCode != http.StatusForbidden || len(a.res.Cookies()) != 0 {
		t.Fatal(a.res.StatusCode, a.res.Header)
	}
	p.is("alice")
	p.visit(http.MethodPost, "/out")
	p.is("")
	if len(p.cookies) != 0 {
		t.Fatal(p.cookies)
	}
}

// After Partitioned or Domain is switched on, a browser has the cookie before
// the rotation beside the one after it.
func TestTwoSecretsOfOneSessionAreOne(t *testing.T) {
	f := setup(t, sessionhttp.Options{})
	old := f.svcToken("alice")
	for range 3 {
		f.clock.Advance(25 * time.Minute)
		f.do(who, old)
	}
	c := f.cookie(f.do(who, old))
	if c == nil || c.Value == old {
		t.Fatal("not rotated")
	}
	for _, pair := range [][2]string{{old, c.Value}, {c.Value, old}} {
		for range 3 {
			if w := f.brings(who, f.pair(pair[0])+"; "+f.pair(pair[1])); w.Body.String() != "alice<nil>" {
				t.Fatal(w.Body, w.Header())
			}
		}
	}
	f.clock.Advance(time.Minute) // the overlap is over
	if w := f.brings(who, f.pair(old)+"; "+f.pair(c.Value)); w.Body.String() != "alice<nil>" {
		t.Fatal(w.Body)
	}
	f.isNobody(old)
}
