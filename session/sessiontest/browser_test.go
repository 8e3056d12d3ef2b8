package sessiontest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// headers answers with the request's own headers.
func headers(w http.ResponseWriter, r *http.Request) {
	for _, name := range []string{"Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User", "Sec-Purpose", "Origin", "Referer"} {
		if v, ok := r.Header[name]; ok {
			_, _ = fmt.Fprintf(w, "%s=%s ", strings.TrimPrefix(name, "Sec-Fetch-"), strings.Join(v, ","))
		}
	}
}

func TestRequestHeaders(t *testing.T) {
	for _, c := range []struct {
		name, page, to string
		kind           sessiontest.Kind
		method         string
		creds          sessiontest.Credentials
		want           string
	}{
		{"typed", "", here, sessiontest.Typed, "", 0, "Site=none Mode=navigate Dest=document User=?1 "},
		{"link", here, here, 0, "", 0, "Site=same-origin Mode=navigate Dest=document User=?1 Referer=" + here + " "},
		{"link of a sibling", sibling, here, 0, "", 0, "Site=same-site Mode=navigate Dest=document User=?1 Referer=https://other.example.com/ "},
		{"form", here, here, 0, http.MethodPost, 0, "Site=same-origin Mode=navigate Dest=document User=?1 Origin=https://app.example.com Referer=" + here + " "},
		{"form of another site", foreign, here, 0, http.MethodPost, 0, "Site=cross-site Mode=navigate Dest=document User=?1 Origin=https://evil.test Referer=https://evil.test/ "},
		{"another port is the same site", "https://app.example.com:8443/", here, 0, "", 0, "Site=same-site Mode=navigate Dest=document User=?1 Referer=https://app.example.com:8443/ "},
		{"http is another site", "http://app.example.com/", here, 0, "", 0, "Site=cross-site Mode=navigate Dest=document User=?1 Referer=http://app.example.com/ "},
		{"from https to http", here, "http://app.example.com/", 0, http.MethodPost, 0, "Origin=null "},
		{"fetch", here, here, sessiontest.Fetch, "", 0, "Site=same-origin Mode=cors Dest=empty Referer=" + here + " "},
		{"fetch by POST", here, here, sessiontest.Fetch, http.MethodPost, 0, "Site=same-origin Mode=cors Dest=empty Origin=https://app.example.com Referer=" + here + " "},
		{"fetch of another site", foreign, here, sessiontest.Fetch, "", sessiontest.Include, "Site=cross-site Mode=cors Dest=empty Origin=https://evil.test Referer=https://evil.test/ "},
		{"beacon", here, here, sessiontest.Beacon, "", 0, "Site=same-origin Mode=no-cors Dest=empty Origin=https://app.example.com Referer=" + here + " "},
		{"picture of another site", foreign, here, sessiontest.Image, "", 0, "Site=cross-site Mode=no-cors Dest=image Referer=https://evil.test/ "},
		{"prefetch", here, here, sessiontest.Prefetch, "", 0, "Site=same-origin Mode=navigate Dest=document Purpose=prefetch Referer=" + here + " "},
		{"localhost", "http://localhost/", "http://localhost/", 0, "", 0, "Site=same-origin Mode=navigate Dest=document User=?1 Referer=http://localhost/ "},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := sessiontest.NewBrowser(http.HandlerFunc(headers), nil).NewTab()
			if c.page != "" {
				tab.Open(c.page)
			}
			a := tab.Do(sessiontest.Outgoing{
				Kind: c.kind, Method: c.method, URL: c.to, Credentials: c.creds,
				Header: http.Header{"Origin": {"forged"}, "sec-fetch-site": {"forged"}},
			})
			if got := strings.ReplaceAll(a.Body, "Sec-Purpose", "Purpose"); a.Err != nil || got != c.want {
				t.Errorf("%q (%v), want %q", got, a.Err, c.want)
			}
		})
	}
}

func TestFrames(t *testing.T) {
	b := sessiontest.NewBrowser(http.HandlerFunc(headers), nil)
	tab := b.NewTab()
	tab.Open(foreign)
	frame, a := tab.Frame(here)
	if want := "Site=cross-site Mode=navigate Dest=iframe Referer=https://evil.test/ "; a.Body != want {
		t.Errorf("%q, want %q", a.Body, want)
	}
	b.SetCookie(here, "strict=1; SameSite=Strict; Path=/")
	b.SetCookie(here, "wide=1; SameSite=None; Secure; Path=/")
	// The frame's own requests are of another site than the tab.
	if got := frame.Send(sessiontest.Outgoing{Kind: sessiontest.Fetch, URL: here}).Cookies(); got != "wide=1" {
		t.Errorf("a fetch in a frame of another site's page sent %q", got)
	}
	if _, a := b.NewTab().Frame(here); a.Err == nil {
		t.Error("an empty tab has a frame")
	}
}

func TestRedirects(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST app.example.com/post", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		http.SetCookie(w, &http.Cookie{Name: "hop", Value: string(body), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, "/seen", http.StatusSeeOther)
	})
	mux.HandleFunc("GET app.example.com/seen", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Cookie"))
	})
	mux.HandleFunc("app.example.com/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://evil.test/back", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("evil.test/back", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://app.example.com/headers", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("app.example.com/headers", headers)
	mux.HandleFunc("app.example.com/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	b := sessiontest.NewBrowser(mux, nil)
	tab := b.NewTab()
	tab.Open(here)
	a := tab.Submit("/post", url.Values{"k": {"v"}})
	if a.Err != nil || a.Body != "hop=k=v" || a.URL != "https://app.example.com/seen" || tab.Page() != a {
		t.Errorf("%+v", a)
	}
	a = tab.Do(sessiontest.Outgoing{Method: http.MethodPost, URL: "/away", Body: []byte("x")})
	if want := "Site=cross-site Mode=navigate Dest=document User=?1 Origin=null Referer=https://app.example.com/seen "; a.Body != want {
		t.Errorf("%q, want %q", a.Body, want)
	}
	if a := tab.Click("/loop"); a.Err == nil || !strings.Contains(a.Err.Error(), "too many") {
		t.Errorf("%+v", a)
	}
}

func TestOrderOfAnswers(t *testing.T) {
	n := 0
	b := sessiontest.NewBrowser(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("Set-Cookie", fmt.Sprintf("n=%d", n))
		_, _ = fmt.Fprint(w, n)
	}), nil)
	tab := b.NewTab()
	tab.Open(here)
	first, second := tab.Send(sessiontest.Outgoing{URL: here}), tab.Send(sessiontest.Outgoing{URL: here})
	lost := tab.Send(sessiontest.Outgoing{Kind: sessiontest.Beacon, URL: here})
	if first.Cookies() != "n=1" || second.Cookies() != "n=1" {
		t.Errorf("left with %q and %q", first.Cookies(), second.Cookies())
	}
	first.Serve()
	lost.Lose()
	second.Deliver()
	if a := first.Deliver(); a.Body != "2" || tab.Page().Body != "4" {
		t.Errorf("delivered %q, the page is %q: a navigation that was overtaken shows no page", a.Body, tab.Page().Body)
	}
	if v, _ := b.Cookie("n", here); v != "2" {
		t.Errorf("the cookie is %q, want that of the last answer to arrive", v)
	}
	if a := lost.Deliver(); !errors.Is(a.Err, sessiontest.ErrLost) {
		t.Errorf("%+v", a)
	}
	if a := first.Deliver(); !errors.Is(a.Err, sessiontest.ErrLost) || n != 4 {
		t.Errorf("%+v after %d requests", a, n)
	}
}

func TestBackButton(t *testing.T) {
	n := 0
	b := sessiontest.NewBrowser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		switch r.URL.Path {
		case "/secret":
			w.Header().Set("Cache-Control", "private, no-store")
		case "/clear":
			w.Header().Set("Clear-Site-Data", `"cache", "cookies"`)
		case "/api":
			return
		}
		_, _ = fmt.Fprintf(w, "%s %d %s", r.URL.Path, n, r.Header.Get("Sec-Fetch-Site"))
	}), nil)
	b.SetCookie(here, "a=1; Path=/")
	b.SetCookie(sibling, "a=1; Domain=example.com; Path=/")
	b.SetCookie(foreign, "a=1")
	tab := b.NewTab()
	tab.Open("https://app.example.com/plain")
	tab.Click("/secret")
	tab.Fetch("/api")
	tab.Click("/plain2")
	if a := tab.Back(); a.FromCache || a.Body != "/secret 5 same-origin" {
		t.Errorf("a page with no-store: %+v", a)
	}
	if a := tab.Back(); !a.FromCache || a.Body != "/plain 1 none" {
		t.Errorf("a page without: %+v", a)
	}
	if a := tab.Reload(); a.Body != "/plain 6 none" {
		t.Errorf("reload: %+v", a)
	}
	if a := tab.Back(); a.Err == nil {
		t.Errorf("back from the first page: %+v", a)
	}
	tab.Click("/clear")
	if a := tab.Back(); a.FromCache {
		t.Error("Clear-Site-Data left the page")
	}
	if left := b.Cookies(); len(left) != 1 || left[0].Domain != "evil.test" {
		t.Errorf("Clear-Site-Data left %v", left)
	}
	tab.Submit("/plain", nil)
	tab.Click("/plain")
	if a := tab.Back(); a.Err == nil {
		t.Errorf("back to the answer of a form: %+v", a)
	}
}

func TestHandlersThatPanic(t *testing.T) {
	b := sessiontest.NewBrowser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "a=1; Path=/")
		if r.URL.Path == "/flush" {
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}), nil)
	for path, want := range map[string]int{"/": 0, "/flush": 1} {
		if a := b.NewTab().Open("https://app.example.com" + path); a.Err == nil || len(b.Cookies()) != want && path == "/flush" {
			t.Errorf("%s: %+v, cookies %v", path, a, b.Cookies())
		}
	}
}

func TestRestart(t *testing.T) {
	b := sessiontest.NewBrowser(http.NotFoundHandler(), nil)
	b.SetCookie(here, "ends=1")
	b.SetCookie(here, "stays=1; Max-Age=60")
	tab := b.NewTab()
	x := tab.Send(sessiontest.Outgoing{Kind: sessiontest.Typed, URL: here})
	b.Restart()
	x.Deliver()
	if left := b.Cookies(); len(left) != 1 || left[0].Name != "stays" || tab.Page() != nil {
		t.Errorf("%v, page %v", left, tab.Page())
	}
}

func TestMalformedRequests(t *testing.T) {
	tab := sessiontest.NewBrowser(http.NotFoundHandler(), nil).NewTab()
	for _, o := range []sessiontest.Outgoing{
		{URL: "/"}, {Kind: sessiontest.Beacon, URL: here}, {Kind: sessiontest.Typed, URL: "/"}, {Kind: sessiontest.Typed, URL: "ftp://x/"},
		{Kind: sessiontest.Typed, URL: "https://x/%zz"}, {Kind: sessiontest.Typed, URL: here, Method: "A B"}, {Kind: 107, URL: here},
	} {
		if a := tab.Do(o); a.Err == nil {
			t.Errorf("%+v has no error", o)
		}
	}
	if tab.Reload().Err == nil || tab.Back().Err == nil {
		t.Error("an empty tab reloads")
	}
}

var visits = session.NewKey[int]("visits")

func ExampleBrowser() {
	t := &testing.T{} // a test has its own
	kit := sessiontest.New(t, nil)
	b := sessiontest.NewBrowser(sessionhttp.Handler(kit.Service, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = visits.Update(r.Context(), func(n *int) error { *n++; return nil })
	})), &sessiontest.BrowserOptions{Clock: kit.Clock})
	tab := b.NewTab()
	tab.Open("https://shop.example/")

	// Two requests leave with one cookie, and the answers arrive in the other
	// order.
	beacon := tab.Send(sessiontest.Outgoing{Kind: sessiontest.Beacon, URL: "/log"})
	fetch := tab.Send(sessiontest.Outgoing{Kind: sessiontest.Fetch, URL: "/api"})
	fetch.Deliver()
	beacon.Deliver()

	kit.Clock.Advance(25 * time.Hour)
	fmt.Println("cookies after a day:", len(b.Cookies()))
	// Output: cookies after a day: 0
}
