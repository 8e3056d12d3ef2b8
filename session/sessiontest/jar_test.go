package sessiontest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// jarCase is a list of Set-Cookie lines, and what a later request sends. Rule is
// the section of draft-ietf-httpbis-rfc6265bis-22.
type jarCase struct {
	rule, name string
	set        []string // "URL Set-Cookie"; without a URL by https://app.example.com/dir/page
	wait       time.Duration
	page       string // of the tab; empty: the same origin as to
	kind       sessiontest.Kind
	method     string
	to         string // empty: https://app.example.com/dir/page
	want       string // the Cookie header
}

const (
	here    = "https://app.example.com/dir/page"
	sibling = "https://other.example.com/"
	foreign = "https://evil.test/"
	day     = 24 * time.Hour
)

var jarCases = []jarCase{
	{rule: "5.6", name: "pair", set: []string{"a=1"}, want: "a=1"},
	{rule: "5.6 step 3", name: "no equals sign is a value without a name", set: []string{"token"}, want: "token"},
	{rule: "5.6 step 4", name: "only spaces and tabs are trimmed", set: []string{" \ta \t= \t1 2 \t; Path=/"}, want: "a=1 2"},
	{rule: "5.6 step 4", name: "a space of Unicode stays in the name", set: []string{"\u00a0a=1"}, want: "\u00a0a=1"},
	{rule: "5.6", name: "quotes are part of the value", set: []string{`a="1"`}, want: `a="1"`},
	{rule: "5.6 step 1", name: "control characters", set: []string{"a=\x01"}},
	{rule: "5.6 step 5", name: "4096 bytes", set: []string{"a=" + strings.Repeat("x", 4095)}, want: "a=" + strings.Repeat("x", 4095)},
	{rule: "5.6 step 5", name: "4097 bytes", set: []string{"a=" + strings.Repeat("x", 4096)}},
	{rule: "5.6 attributes step 6", name: "a long attribute is ignored", set: []string{"a=1; Path=/" + strings.Repeat("x", 1024)}, want: "a=1"},
	{rule: "5.7 step 2", name: "neither name nor value", set: []string{"="}},

	{rule: "5.6.2", name: "Max-Age", set: []string{"a=1; Max-Age=10"}, wait: 9 * time.Second, want: "a=1"},
	{rule: "5.6.2", name: "Max-Age is over", set: []string{"a=1; Max-Age=10"}, wait: 10 * time.Second},
	{rule: "5.6.2", name: "Max-Age=0 removes", set: []string{"a=1", "a=2; Max-Age=0"}},
	{rule: "5.6.2", name: "negative Max-Age removes", set: []string{"a=1", "a=2; Max-Age=-1"}},
	{rule: "5.6.2", name: "Max-Age that is no number is ignored", set: []string{"a=1; Max-Age=1s; Max-Age=1.5; Max-Age="}, wait: day, want: "a=1"},
	{rule: "5.6.2", name: "Max-Age is 400 days at most", set: []string{"a=1; Max-Age=99999999999999999999"}, wait: 400*day - time.Second, want: "a=1"},
	{rule: "5.6.2", name: "Max-Age after 400 days", set: []string{"a=1; Max-Age=99999999"}, wait: 400 * day},
	{rule: "5.6.1", name: "Expires", set: []string{"a=1; Expires=Wed, 02 Jan 2030 04:00:00 GMT"}, wait: 55 * time.Minute, want: "a=1"},
	{rule: "5.6.1", name: "Expires is over", set: []string{"a=1; Expires=Wed, 02 Jan 2030 04:00:00 GMT"}, wait: 56 * time.Minute},
	{rule: "5.6.1", name: "Expires in the past removes", set: []string{"a=1", "a=; Expires=Thu, 01-Jan-70 00:00:01 GMT"}},
	{rule: "5.6.1", name: "Expires is 400 days at most", set: []string{"a=1; Expires=Wed, 02 Jan 2099 04:00:00 GMT"}, wait: 400 * day},
	{rule: "5.1.1", name: "a date in another form", set: []string{"a=1; Expires=2 jan 30 03:05:05 zone"}, wait: time.Minute},
	{rule: "5.1.1", name: "a day that no month has", set: []string{"a=1; Expires=Wed, 31 Feb 2000 04:00:00 GMT"}, want: "a=1"},
	{rule: "5.7 step 6", name: "Max-Age wins over Expires", set: []string{"a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:01 GMT"}, want: "a=1"},

	{rule: "5.7 step 10", name: "without a Domain only the host", set: []string{"a=1"}, to: "https://sub.app.example.com/dir/page"},
	{rule: "5.1.3", name: "a Domain has its subdomains", set: []string{"a=1; Domain=.Example.COM; Path=/"}, to: "https://x.y.example.com/", want: "a=1"},
	{rule: "5.1.3", name: "the end of a name is no subdomain", set: []string{"https://example.com/ a=1; Domain=example.com; Path=/"}, to: "https://notexample.com/"},
	{rule: "5.7 step 10", name: "Domain of another host", set: []string{"a=1; Domain=other.example.com; Path=/"}, to: sibling},
	{rule: "5.7 step 10", name: "Domain of a subdomain", set: []string{"https://example.com/ a=1; Domain=app.example.com; Path=/"}},
	{rule: "5.7 step 9", name: "Domain is a public suffix", set: []string{"a=1; Domain=com"}},
	{rule: "5.7 step 9", name: "the host is the public suffix", set: []string{"https://co.uk/ a=1; Domain=co.uk"}, to: "https://co.uk/", want: "a=1"},
	{rule: "5.7 step 9", name: "a listed public suffix", set: []string{"https://x.co.uk/ a=1; Domain=co.uk"}, to: "https://x.co.uk/"},
	{rule: "5.7 step 8", name: "Domain outside ASCII", set: []string{"a=1; Domain=exämple.com"}},
	{rule: "5.7 step 7", name: "the last Domain counts", set: []string{"a=1; Domain=evil.test; Domain=example.com; Path=/"}, to: "https://example.com/", want: "a=1"},
	{rule: "5.7 step 7", name: "an empty Domain is none", set: []string{"a=1; Domain="}, want: "a=1"},

	{rule: "5.1.4", name: "the default path is the folder", set: []string{"a=1"}, to: "https://app.example.com/dir/deep/x", want: "a=1"},
	{rule: "5.1.4", name: "outside the default path", set: []string{"a=1"}, to: "https://app.example.com/"},
	{rule: "5.1.4", name: "a path ends at a slash", set: []string{"a=1; Path=/dir"}, to: "https://app.example.com/directory"},
	{rule: "5.1.4", name: "a path with its slash", set: []string{"a=1; Path=/dir/"}, to: "https://app.example.com/dir"},
	{rule: "5.6.4", name: "a Path without a slash is the default", set: []string{"a=1; Path=x"}, want: "a=1"},
	{rule: "5.8.3 step 2", name: "longer paths first", set: []string{"a=1; Path=/", "a=2; Path=/dir/page", "a=3; Path=/dir"}, want: "a=2; a=3; a=1"},
	{rule: "5.8.3 step 2", name: "then the older", set: []string{"a=1; Path=/", "b=2; Path=/", "a=3; Path=/; Domain=example.com"}, want: "a=1; b=2; a=3"},
	{rule: "5.7 step 23", name: "the same value keeps the place", set: []string{"a=1; Path=/", "b=2; Path=/", "a=1; Path=/; HttpOnly"}, want: "a=1; b=2"},
	{rule: "Chromium", name: "a new value takes the last place", set: []string{"a=1; Path=/", "b=2; Path=/", "a=3; Path=/"}, want: "b=2; a=3"},
	{rule: "Chromium", name: "a tab within a pair", set: []string{"a=1\t2", "b\tc=1", "d=1; Foo=b\tar"}},
	{rule: "Chromium", name: "an equals sign in a value without a name", set: []string{"=a=1"}},
	{rule: "Chromium", name: "the last Max-Age counts", set: []string{"a=1; Max-Age=10; Max-Age=x", "b=1; Max-Age=+10"}, wait: 10 * time.Second, want: "a=1"},
	{rule: "Chromium", name: "the last Expires counts", set: []string{"a=1; Expires=Wed, 02 Jan 2030 04:00:00 GMT; Expires=x"}, wait: day, want: "a=1"},
	{rule: "Chromium", name: "a year before 1601 is past", set: []string{"a=1; Expires=Wed, 02 Jan 1600 04:00:00 GMT"}},
	{rule: "Chromium", name: "__Http-", set: []string{"__Http-a=1; Secure", "__Http-b=1; Secure; HttpOnly", "=__Http-c"}, want: "__Http-b=1"},
	{rule: "Chromium", name: "__Host-Http-", set: []string{"__Host-Http-a=1; Secure; Path=/", "__Host-Http-b=1; Secure; HttpOnly; Path=/", "__Host-Http-c=1; Secure; HttpOnly; Path=/dir"}, want: "__Host-Http-b=1"},
	{rule: "5.7 step 23", name: "a removed cookie loses its place", set: []string{"a=1; Path=/", "b=2; Path=/", "a=; Path=/; Max-Age=0", "a=3; Path=/"}, want: "b=2; a=3"},
	{rule: "5.7 step 23", name: "host and Domain are two cookies", set: []string{"https://example.com/ a=1; Path=/", "https://example.com/ a=2; Path=/; Domain=example.com"}, to: "https://example.com/", want: "a=1; a=2"},
	{rule: "5.7 step 23", name: "a Domain removes no host cookie", set: []string{"a=1; Path=/", "a=; Path=/; Domain=app.example.com; Max-Age=0"}, want: "a=1"},

	{rule: "5.7 step 13", name: "Secure from http", set: []string{"http://app.example.com/ a=1; Secure"}, to: "https://app.example.com/"},
	{rule: "5.8.3", name: "Secure to http", set: []string{"a=1; Secure; Path=/"}, to: "http://app.example.com/"},
	{rule: "5.8.3", name: "a cookie without Secure to http", set: []string{"a=1; Path=/"}, to: "http://app.example.com/", want: "a=1"},
	{rule: "5.8.3", name: "Secure on localhost", set: []string{"http://localhost:8080/ a=1; Secure"}, to: "http://localhost:8080/", want: "a=1"},
	{rule: "8.5", name: "ports share cookies", set: []string{"a=1; Path=/"}, to: "https://app.example.com:8443/", want: "a=1"},
	{rule: "5.7 step 16", name: "http replaces no Secure cookie", set: []string{"a=1; Secure; Path=/", "http://app.example.com/ a=2; Path=/"}, want: "a=1"},
	{rule: "5.7 step 16", name: "http sets a shorter path", set: []string{"a=1; Secure; Path=/dir", "http://app.example.com/ a=2; Path=/"}, want: "a=1; a=2"},

	{rule: "5.7 step 20", name: "__Secure-", set: []string{"__Secure-a=1; Secure"}, want: "__Secure-a=1"},
	{rule: "5.7 step 20", name: "__Secure- without Secure, in other case", set: []string{"__SECURE-a=1"}},
	{rule: "5.7 step 21", name: "__Host-", set: []string{"__Host-a=1; Secure; Path=/"}, want: "__Host-a=1"},
	{rule: "5.7 step 21", name: "__Host- without Secure", set: []string{"__Host-a=1; Path=/"}},
	{rule: "5.7 step 21", name: "__Host- with a Domain, in other case", set: []string{"__hOst-a=1; Secure; Path=/; Domain=app.example.com"}},
	{rule: "5.7 step 21", name: "__Host- without a Path", set: []string{"https://app.example.com/ __Host-a=1; Secure"}},
	{rule: "5.7 step 21", name: "__Host- with another Path", set: []string{"__Host-a=1; Secure; Path=/dir"}},
	{rule: "5.7 step 22", name: "a value that looks like __Host-", set: []string{"=__Host-a=1; Path=/"}},
	{rule: "5.7 step 21", name: "a sibling's name that begins with a space of Unicode", set: []string{sibling + " \u00a0__Host-a=1; Secure; Path=/; Domain=example.com"}, want: "\u00a0__Host-a=1"},

	{rule: "5.2", name: "Strict from the own page", set: []string{"a=1; SameSite=Strict"}, want: "a=1"},
	{rule: "5.2", name: "Strict from a sibling", set: []string{"a=1; SameSite=Strict"}, page: sibling, want: "a=1"},
	{rule: "5.2", name: "Strict from the same host by http", set: []string{"a=1; SameSite=Strict"}, page: "http://app.example.com/"},
	{rule: "5.2", name: "Strict that the user types", set: []string{"a=1; SameSite=Strict"}, page: foreign, kind: sessiontest.Typed, want: "a=1"},
	{rule: "5.6.7.1", name: "Strict from another site", set: []string{"a=1; SameSite=Strict"}, page: foreign},
	{rule: "5.6.7.1", name: "Lax by a link", set: []string{"a=1; SameSite=lax"}, page: foreign, want: "a=1"},
	{rule: "5.6.7.1", name: "Lax by a form", set: []string{"a=1; SameSite=Lax"}, page: foreign, method: http.MethodPost},
	{rule: "5.6.7.1", name: "Lax by a picture", set: []string{"a=1; SameSite=Lax"}, page: foreign, kind: sessiontest.Image},
	{rule: "5.6.7.1", name: "Lax by a beacon", set: []string{"a=1; SameSite=Lax"}, page: foreign, kind: sessiontest.Beacon},
	{rule: "5.6.7", name: "an unknown SameSite is as Lax", set: []string{"a=1; SameSite=Foo"}, page: foreign, kind: sessiontest.Image},
	{rule: "5.6.7", name: "the last SameSite counts", set: []string{"a=1; SameSite=None; SameSite=Strict; Secure"}, page: foreign},
	{rule: "5.6.7.2", name: "young cookies without SameSite by a form", set: []string{"a=1"}, page: foreign, method: http.MethodPost},
	{rule: "5.6.7", name: "None by a picture", set: []string{"a=1; SameSite=None; Secure"}, page: foreign, kind: sessiontest.Image, want: "a=1"},
	{rule: "5.7 step 19", name: "None without Secure", set: []string{"a=1; SameSite=None"}},

	{rule: "CHIPS", name: "Partitioned at home", set: []string{"a=1; Secure; Partitioned; Path=/"}, want: "a=1"},
	{rule: "CHIPS", name: "Partitioned without Secure", set: []string{"a=1; Partitioned"}},
	{rule: "CHIPS", name: "Partitioned in another site's page", set: []string{"a=1; Secure; Partitioned; SameSite=None; Path=/"}, page: foreign, kind: sessiontest.Image},
	{rule: "CHIPS", name: "Partitioned beside the same cookie without", set: []string{"a=1; Secure; Path=/", "a=2; Secure; Path=/; Partitioned"}, want: "a=1; a=2"},
	{rule: "CHIPS", name: "removing one leaves the other", set: []string{"a=1; Secure; Path=/", "a=2; Secure; Path=/; Partitioned", "a=; Secure; Path=/; Max-Age=0"}, want: "a=2"},

	{rule: "Fetch", name: "a fetch of the own origin", set: []string{"a=1"}, kind: sessiontest.Fetch, want: "a=1"},
	{rule: "Fetch", name: "a fetch of a sibling sends none by default", set: []string{"a=1"}, page: sibling, kind: sessiontest.Fetch},
	{rule: "prefetch", name: "another site's page loads ahead without cookies", set: []string{"a=1"}, page: foreign, kind: sessiontest.Prefetch},
}

func TestJar(t *testing.T) {
	for _, c := range jarCases {
		t.Run(c.rule+" "+c.name, func(t *testing.T) {
			clock := sessiontest.NewClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
			b := sessiontest.NewBrowser(http.NotFoundHandler(), &sessiontest.BrowserOptions{Clock: clock, PublicSuffixes: []string{"co.uk"}})
			for _, line := range c.set {
				from := here
				if u, rest, ok := strings.Cut(line, " "); ok && strings.HasPrefix(u, "http") {
					from, line = u, rest
				}
				b.SetCookie(from, line)
			}
			clock.Advance(c.wait)
			to := c.to
			if to == "" {
				to = here
			}
			page := c.page
			if page == "" {
				page = to
			}
			tab := b.NewTab()
			tab.Open(page)
			if got := tab.Send(sessiontest.Outgoing{Kind: c.kind, Method: c.method, URL: to}).Cookies(); got != c.want {
				t.Errorf("sent %.80q, want %.80q; the jar has %v", got, c.want, b.Cookies())
			}
		})
	}
}

// In a browser with that rule, a cookie without SameSite goes with another site's
// form for two minutes.
func TestLaxPOST(t *testing.T) {
	clock := sessiontest.NewClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	b := sessiontest.NewBrowser(http.NotFoundHandler(), &sessiontest.BrowserOptions{Clock: clock, LaxPOST: true})
	b.SetCookie(here, "a=1; Path=/")
	b.SetCookie(here, "b=1; Path=/; SameSite=Lax")
	tab := b.NewTab()
	tab.Open(foreign)
	for _, want := range []string{"a=1", ""} {
		if got := tab.Send(sessiontest.Outgoing{Method: http.MethodPost, URL: here}).Cookies(); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		clock.Advance(2*time.Minute + time.Millisecond)
	}
}

// 5.7 step 18: the answer to a cross-site request stores no SameSite cookie,
// unless it navigates a tab.
func TestCookiesOfCrossSiteAnswers(t *testing.T) {
	for _, c := range []struct {
		kind  sessiontest.Kind
		block bool
		want  string
	}{
		{sessiontest.Navigate, false, "[lax part wide]"},
		{sessiontest.Image, false, "[part wide]"},
		{sessiontest.Image, true, "[part]"},
	} {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "app.example.com" {
				w.Header()["Set-Cookie"] = []string{"lax=1; Secure", "wide=1; Secure; SameSite=None", "part=1; Secure; SameSite=None; Partitioned"}
			}
		})
		b := sessiontest.NewBrowser(h, &sessiontest.BrowserOptions{BlockThirdParty: c.block})
		tab := b.NewTab()
		tab.Open(foreign)
		tab.Do(sessiontest.Outgoing{Kind: c.kind, URL: here})
		names := []string{}
		for _, k := range b.Cookies() {
			names = append(names, k.Name)
		}
		slices.Sort(names)
		if got := fmt.Sprint(names); got != c.want {
			t.Errorf("%v, third parties blocked %v: stored %s, want %s", c.kind, c.block, got, c.want)
		}
	}
}

func TestJarKeepsTheLimitOfASite(t *testing.T) {
	b := sessiontest.NewBrowser(http.NotFoundHandler(), nil)
	b.SetCookie(here, "first=1; Secure; Path=/")
	for i := range 200 {
		b.SetCookie(sibling, fmt.Sprintf("n%d=1; Domain=example.com", i))
	}
	if n := len(b.Cookies()); n != 180 {
		t.Errorf("%d cookies, want 180", n)
	}
	if v, ok := b.Cookie("first", here); !ok || v != "1" {
		t.Error("a Secure cookie went before the others")
	}
}
