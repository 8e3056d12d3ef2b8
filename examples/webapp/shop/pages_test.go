package shop

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func (a answer) shows(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.text, text) {
			t.Errorf("%s %s does not show %q", a.Request.Method, a.Request.URL.Path, text)
		}
	}
}

func (a answer) hides(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.text, text) {
			t.Errorf("%s %s shows %q", a.Request.Method, a.Request.URL.Path, text)
		}
	}
}

func TestTheWayBackToThePageAskedFor(t *testing.T) {
	s := inMemory(t)
	for next, want := range map[string]string{
		"/devices": "/devices", "/admin?after=x": "/admin?after=x", "": "/", "devices": "/", "//evil.test/": "/", "https://evil.test/": "/",
		`/\evil.test/`: "/", `\\evil.test/`: "/", "javascript:alert(1)": "/", "/\tevil": "/", "/%2F/evil.test": "/%2F/evil.test",
	} {
		b := s.browser()
		page := b.get("/login?" + url.Values{"next": {next}}.Encode())
		page.is(t, http.StatusOK, "")
		page.hides(t, `"//evil`, `"https://evil`)
		b.post("/login", "user", "demo", "password", "demo", "next", next).is(t, http.StatusSeeOther, want)
	}
}

func TestRememberMe(t *testing.T) {
	s := inMemory(t)
	b := s.browser()
	a := b.post("/login", "user", "demo", "password", "demo")
	if c := a.Cookies(); len(c) != 1 || c[0].MaxAge != 0 || !c[0].Expires.IsZero() {
		t.Error("the cookie outlives the browser", c)
	}
	a = b.post("/login", "user", "demo", "password", "demo", "remember", "on")
	if c := a.Cookies(); len(c) != 1 || time.Duration(c[0].MaxAge)*time.Second != rememberAtMost {
		t.Error("the browser is not remembered", c)
	}
	b.get("/").shows(t, "in 14 days", "in 30 days")
}

func TestCartAndMessages(t *testing.T) {
	b := inMemory(t).browser()
	for range 2 {
		b.post("/cart", "item", "Enamel mug")
	}
	b.get("/").shows(t, "Enamel mug is in your cart.", "× 2")
	b.get("/").hides(t, "is in your cart.")
	b.post("/cart/remove", "item", "Enamel mug").is(t, http.StatusSeeOther, "/")
	b.get("/").shows(t, "One Enamel mug less", "× 1")
	b.post("/cart/remove", "item", "Enamel mug")
	b.post("/cart/remove", "item", "never there").is(t, http.StatusSeeOther, "/")
	b.get("/").shows(t, "Nothing in it yet")
}

func TestTheReasonOfASignOutIsShownOnce(t *testing.T) {
	s := inMemory(t)
	phone, laptop := s.browser(), s.browser()
	phone.signIn("demo")
	laptop.signIn("demo")
	laptop.post("/devices/delete-others")
	phone.get("/devices").is(t, http.StatusSeeOther, "/login?next=%2Fdevices")
	phone.get("/login?next=/devices").shows(t, "signed out on another device", "Then you go on")
	phone.get("/login").hides(t, "signed out on another device")
	phone.signIn("demo")
	laptop.post("/devices/delete-others")
	phone.get("/").shows(t, "signed out on another device", "Travel light.")
	phone.get("/").hides(t, "signed out on another device")
	phone.signIn("demo")
	laptop.post("/devices/delete-others")
	phone.post("/cart", "item", "Trail map").is(t, http.StatusConflict, "")
	phone.post("/cart", "item", "Trail map").is(t, http.StatusSeeOther, "/")
}

func TestTheAccountAsksForThePassword(t *testing.T) {
	s := inMemory(t)
	b := s.browser()
	b.get("/account").is(t, http.StatusSeeOther, "/login?next=%2Faccount")
	b.signIn("demo")
	b.get("/account").is(t, http.StatusSeeOther, "/confirm?next=%2Faccount")
	b.post("/account/erase").is(t, http.StatusSeeOther, "/confirm?next=%2F")
	b.get("/confirm?next=/account").shows(t, "Password of demo", `value="/account"`)
	b.post("/confirm", "password", "admin").is(t, http.StatusUnauthorized, "")
	b.get("/account").is(t, http.StatusSeeOther, "/confirm?next=%2Faccount")
	b.post("/confirm", "password", "demo", "next", "/account").is(t, http.StatusSeeOther, "/account")
	b.get("/account").shows(t, "This page closes", "in 5 minutes")
	other := s.browser()
	other.signIn("demo")
	b.post("/account/erase").is(t, http.StatusSeeOther, "/")
	b.get("/").shows(t, "2 sessions erased")
	other.api(`{"authenticated":false,"principal":"","visits":0,"cart":[]}`)
}

func TestAdmin(t *testing.T) {
	s := inMemory(t)
	demo, admin, anyone := s.browser(), s.browser(), s.browser()
	anyone.get("/")
	anyone.get("/admin").is(t, http.StatusSeeOther, "/login?next=%2Fadmin")
	demo.signIn("demo")
	demo.get("/admin").is(t, http.StatusForbidden, "")
	for _, path := range []string{"/admin/users/admin/delete", "/admin/users/admin/impersonate", "/admin/sessions/x/delete"} {
		demo.post(path, "reason", "x").is(t, http.StatusForbidden, "")
	}
	admin.signIn("admin")
	page := admin.get("/admin")
	page.is(t, http.StatusOK, "")
	page.shows(t, "3 live sessions", "Not signed in", "Act as demo", "Sign out elsewhere", "in 30 minutes")
	admin.post("/admin/sessions/nonsense/delete").is(t, http.StatusNotFound, "")
	admin.post("/admin/users/demo/delete").is(t, http.StatusSeeOther, "/admin")
	admin.get("/admin").shows(t, "1 session of demo ended.")
	demo.api(`{"authenticated":false,"principal":"","visits":0,"cart":[]}`)
	admin.post("/admin/users/admin/delete").is(t, http.StatusSeeOther, "/admin")
	admin.api(`{"authenticated":true,"principal":"admin","visits":0,"cart":[]}`)
}

func TestAdminListsByPages(t *testing.T) {
	s := inMemory(t)
	for range perPage {
		s.browser().get("/")
	}
	admin := s.browser()
	admin.signIn("admin")
	seen, next := 0, "/admin"
	for next != "" {
		page := admin.get(next)
		seen += strings.Count(page.text, "ends <time")
		_, rest, more := strings.Cut(page.text, `href="/admin?after=`)
		next = ""
		if more {
			after, _, _ := strings.Cut(rest, `"`)
			next = "/admin?after=" + after
		}
	}
	if seen != perPage+1 {
		t.Errorf("%d sessions are listed, want %d", seen, perPage+1)
	}
}

func TestImpersonation(t *testing.T) {
	s := inMemory(t)
	admin, demo := s.browser(), s.browser()
	demo.signIn("demo")
	admin.signIn("admin")
	for _, user := range []string{"nobody", "admin"} {
		admin.post("/admin/users/"+user+"/impersonate", "reason", "x").is(t, http.StatusBadRequest, "")
	}
	admin.post("/admin/users/demo/impersonate").is(t, http.StatusBadRequest, "")
	admin.post("/admin/users/demo/impersonate", "reason", "ticket 7").is(t, http.StatusSeeOther, "/")
	admin.get("/").shows(t, "acts as", "Stop acting", "Good to see you, demo.")
	admin.get("/admin").is(t, http.StatusForbidden, "")
	admin.get("/account").is(t, http.StatusForbidden, "")
	admin.post("/login", "user", "demo", "password", "demo").is(t, http.StatusForbidden, "")
	demo.get("/devices").shows(t, "used by admin")
	admin.post("/impersonation/end").is(t, http.StatusSeeOther, "/admin")
	admin.get("/admin").shows(t, "You are yourself again.")
	admin.get("/").hides(t, "Stop acting")
}

func TestDevicesHaveNames(t *testing.T) {
	s := inMemory(t)
	b := s.browser()
	b.signIn("demo")
	handle := handlesIn(b.get("/devices").text)[0]
	b.post("/devices/"+handle+"/name", "name", " Kitchen <tablet> ").is(t, http.StatusSeeOther, "/devices")
	b.get("/devices").shows(t, "Kitchen &lt;tablet&gt;", "The name was saved.")
	b.post("/devices/"+handle+"/name", "name", strings.Repeat("x", 65)).is(t, http.StatusBadRequest, "")
	stranger := s.browser()
	stranger.signIn("admin")
	stranger.post("/devices/"+handle+"/name", "name", "mine").is(t, http.StatusNotFound, "")
}

// TestTheFooterCountsRoundTrips compares the page's own count with that of the
// store.
func TestTheFooterCountsRoundTrips(t *testing.T) {
	s := inMemory(t)
	b := s.browser()
	for _, step := range []struct{ path, want string }{
		{"/login", "no round trip to the store: memory"},
		{"/goodbye", "no round trip to the store: memory"},
		{"/", "1 round trip to the store: memory"},
		{"/", "2 round trips to the store: memory"},
		{"/login", "1 round trip to the store: memory"},
	} {
		_ = s.b.Calls()
		b.get(step.path).shows(t, step.want)
		calls := 0
		for part := range strings.SplitSeq(s.b.Calls(), ", ") {
			var op string
			var n int
			if _, err := fmt.Sscan(part, &op, &n); err == nil {
				calls += n
			}
		}
		if want := strings.Trim(step.want[:2], " "); want != "no" && want != fmt.Sprint(calls) {
			t.Errorf("%s: the store saw %d calls, the page says %s", step.path, calls, step.want)
		}
	}
}

// events reads the named events of a live panel.
type events struct {
	t *testing.T
	r *bufio.Scanner
}

func (e events) next() (name, data string) {
	e.t.Helper()
	for e.r.Scan() {
		switch key, value, _ := strings.Cut(e.r.Text(), ": "); key {
		case "event":
			name = value
		case "data":
			return name, value
		}
	}
	e.t.Fatal("the panel was closed:", e.r.Err())
	return "", ""
}

func (b *browser) live() events {
	b.s.t.Helper()
	req, err := http.NewRequestWithContext(b.s.t.Context(), http.MethodGet, b.s.srv.URL+"/live", http.NoBody)
	ok(b.s.t, err)
	res, err := b.c.Do(req)
	ok(b.s.t, err)
	b.s.t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		b.s.t.Fatal(res.Status, res.Header)
	}
	return events{b.s.t, bufio.NewScanner(res.Body)}
}

func TestTheLivePanelEndsWithItsSession(t *testing.T) {
	s := inMemory(t)
	phone, laptop := s.browser(), s.browser()
	phone.do(http.MethodGet, "/live", nil, "Sec-Fetch-Mode", "cors").is(t, http.StatusUnauthorized, "")
	phone.signIn("demo")
	panel := phone.live()
	if name, _ := panel.next(); name != "open" {
		t.Fatal(name)
	}
	laptop.signIn("demo")
	if name, text := panel.next(); name != "news" || text != "A new sign-in." {
		t.Fatal(name, text)
	}
	s.browser().signIn("admin") // is another person's
	laptop.post("/devices/delete-others")
	if name, text := panel.next(); name != "ended" || text != "This device was signed out." {
		t.Fatal(name, text)
	}
}

// TestPagesAreSmall: a page with its style, script and icon.
func TestPagesAreSmall(t *testing.T) {
	const limit = 30_000
	s := inMemory(t)
	b := s.browser()
	for range perPage {
		o := s.browser()
		o.do(http.MethodPost, "/login", url.Values{"user": {"demo"}, "password": {"demo"}}, "User-Agent", "Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0")
	}
	rest := 0
	for _, file := range []string{"style.css", "live.js", "icon.svg"} {
		rest += len(b.get("/static/" + file).text)
	}
	b.signIn("admin")
	b.post("/cart", "item", "Trail map")
	for _, path := range []string{"/", "/login", "/devices", "/confirm", "/admin", "/nowhere", "/goodbye"} {
		if n := rest + len(b.get(path).text); n > limit {
			t.Errorf("%s has %d bytes with its style, %d at most", path, n, limit)
		}
	}
}
