package browser

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// site is all hosts of the table. It answers "?set" with the lines of the row, and
// keeps what "?seen" has brought.
type site struct {
	mu   sync.Mutex
	line string
	seen chan string
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html")
	switch r.URL.RawQuery {
	case "set":
		s.mu.Lock()
		h["Set-Cookie"] = []string{s.line}
		s.mu.Unlock()
	case "seen":
		s.seen <- strings.Join([]string{
			"Cookie: " + r.Header.Get("Cookie"), "Sec-Fetch-Site: " + r.Header.Get("Sec-Fetch-Site"), "Sec-Fetch-Mode: " + r.Header.Get("Sec-Fetch-Mode"),
			"Sec-Fetch-Dest: " + r.Header.Get("Sec-Fetch-Dest"), "Origin: " + r.Header.Get("Origin"),
		}, "\n")
	}
	_, _ = w.Write([]byte(`<!doctype html><title>jar</title><link rel="icon" href="data:,">`))
}

// user is a browser: the real one or the simulated one.
type user interface {
	// receives gets an answer with the Set-Cookie line for a navigation.
	receives(url, line string)
	// stored describes the cookies, in order of their names and places.
	stored() []kept
	// sends makes a request from a page and returns what the site has seen.
	sends(page string, kind sessiontest.Kind, method, to string) string
}

// kept is a cookie that a browser keeps.
type kept struct {
	text    string
	expires time.Time // zero: until the browser ends
}

func sorted(list []kept) []kept {
	slices.SortFunc(list, func(a, b kept) int { return strings.Compare(a.text, b.text) })
	return list
}

// simulated is sessiontest's.
type simulated struct {
	site *site
	b    *sessiontest.Browser
}

func (u *simulated) receives(url, line string) {
	u.site.line = line
	u.b.NewTab().Open(url + "?set")
}

func (u *simulated) stored() []kept {
	var out []kept
	for _, c := range u.b.Cookies() {
		domain, same := c.Domain, c.SameSite.String()
		if !c.HostOnly {
			domain = "." + domain
		}
		if c.SameSite == sessiontest.SameSiteDefault {
			same = ""
		}
		out = append(out, kept{describe(c.Name, c.Value, domain, c.Path, c.Secure, c.HTTPOnly, same, c.Partition), c.ExpiresAt})
	}
	return sorted(out)
}

func (u *simulated) sends(page string, kind sessiontest.Kind, method, to string) string {
	tab := u.b.NewTab()
	if page != "" {
		tab.Open(page)
	}
	tab.Do(sessiontest.Outgoing{Kind: kind, Method: method, URL: to + "?seen"})
	return u.site.last()
}

// last returns what the request that was just made has brought. The simulated
// browser has made it by then.
func (s *site) last() string {
	select {
	case out := <-s.seen:
		return out
	default:
		return "nothing arrived"
	}
}

// chromium is the real one.
type chromium struct {
	site *site
	p    *person
}

func (u *chromium) receives(url, line string) {
	u.site.mu.Lock()
	u.site.line = line
	u.site.mu.Unlock()
	u.p.do(typed(url + "?set"))
}

func (u *chromium) stored() []kept {
	var out []kept
	for _, c := range u.p.cookies() {
		partition := ""
		if c.PartitionKey != nil {
			partition = c.PartitionKey.TopLevelSite
		}
		k := kept{text: describe(c.Name, c.Value, c.Domain, c.Path, c.Secure, c.HTTPOnly, string(c.SameSite), partition)}
		if !c.Session {
			whole, part := math.Modf(c.Expires)
			k.expires = time.Unix(int64(whole), int64(part*1e9))
		}
		out = append(out, k)
	}
	return sorted(out)
}

func (u *chromium) sends(page string, kind sessiontest.Kind, method, to string) string {
	if page != "" {
		u.p.do(typed(page))
	}
	to += "?seen"
	script := ""
	switch {
	case kind == sessiontest.Typed:
		u.p.do(typed(to))
	case kind == sessiontest.Fetch:
		script = `fetch(%[1]q).catch(() => {})`
	case kind == sessiontest.Beacon:
		script = `navigator.sendBeacon(%[1]q)`
	case kind == sessiontest.Image:
		script = `new Image().src = %[1]q`
	case method == http.MethodPost:
		script = `{ const f = document.createElement("form"); f.action = %q; f.method = %q; document.body.append(f); f.submit() }`
	default:
		script = `{ const a = document.createElement("a"); a.href = %[1]q; document.body.append(a); a.click() }`
	}
	run := chromedp.Evaluate[chromedp.Void](fmt.Sprintf(script, to, method) + "; undefined")
	switch kind {
	case sessiontest.Typed:
	case sessiontest.Navigate:
		if _, err := chromedp.RunResponse(u.p.ctx, run); err != nil {
			u.p.t.Fatal(err)
		}
	default:
		u.p.do(run)
	}
	select {
	case out := <-u.site.seen:
		return out
	case <-u.p.ctx.Done():
		return "nothing arrived"
	}
}

func (u *chromium) forget() {
	u.p.t.Helper()
	_, err := chromedp.CallBrowser(u.p.ctx, storage.ClearCookies, storage.ClearCookiesParams{BrowserContextID: chromedp.FromContext(u.p.ctx).BrowserContextID})
	if err != nil {
		u.p.t.Fatal(err)
	}
}

func describe(name, value, domain, path string, secure, httpOnly bool, sameSite, partition string) string {
	return fmt.Sprintf("%.40q=%.40q of %s%s, Secure %v, HttpOnly %v, SameSite %q, partition %q", name, value, domain, path, secure, httpOnly, sameSite, partition)
}

// TestTheSimulatedBrowserKeepsCookiesAsChromiumDoes runs one table in both. They
// must keep the same cookies and send the same headers. Neither blocks the cookies
// of third parties.
func TestTheSimulatedBrowserKeepsCookiesAsChromiumDoes(t *testing.T) {
	w, browser := start(t)
	s := &site{seen: make(chan string, 1)}
	w.serve(t, "*", s)
	p := tabOf(browser, t)
	p.expects("") // requests that browsers refuse are errors in the console
	for _, row := range rows {
		p.goesOn()
		theirs := &chromium{s, p}
		theirs.forget()
		ours := &simulated{s, sessiontest.NewBrowser(s, &sessiontest.BrowserOptions{
			Clock: sessiontest.NewClock(time.Now()), PublicSuffixes: []string{"co.uk"}, LaxPOST: true,
		})}
		for _, u := range []user{theirs, ours} {
			for _, line := range row.set {
				from := here
				if url, rest, ok := strings.Cut(line, " "); ok && strings.HasPrefix(url, "http") {
					from, line = url, rest
				}
				u.receives(from, line)
			}
		}
		compareKept(t, row.name, theirs.stored(), ours.stored())
		for _, r := range row.requests() {
			want := theirs.sends(r.page, r.kind, r.method, r.to)
			if got := ours.sends(r.page, r.kind, r.method, r.to); got != want {
				t.Errorf("%s: %s %s of %s from %q:\nsimulated\n%s\nChromium\n%s", row.name, r.kind, r.method, r.to, r.page, got, want)
			}
		}
		theirs.forget()
	}
}

func compareKept(t *testing.T, name string, theirs, ours []kept) {
	t.Helper()
	only := func(list, other []kept, of string) {
		for _, k := range list {
			if !slices.ContainsFunc(other, k.same) {
				t.Errorf("%s: only %s keeps %s, until %v", name, of, k.text, k.expires)
			}
		}
	}
	only(theirs, ours, "Chromium")
	only(ours, theirs, "the simulated browser")
}

// same reports whether two cookies are equal. The two browsers have received them
// at different times.
func (k kept) same(o kept) bool {
	return k.text == o.text && k.expires.IsZero() == o.expires.IsZero() && k.expires.Sub(o.expires).Abs() < patience
}
