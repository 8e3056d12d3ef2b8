package sessiontest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
)

// BrowserOptions configures a Browser. The zero value of every field is its
// default.
type BrowserOptions struct {
	// Clock ends cookies. Nil means a Clock of the browser's own, which stands
	// still. Give it the clock of the service.
	Clock expiry.Clock
	// PublicSuffixes are the suffixes under which anybody can have a host, such
	// as "co.uk". Every single label is one, so example.com and app.example.com
	// are one site.
	PublicSuffixes []string
	// LaxPOST sends a cookie without SameSite, for two minutes after its
	// creation, with a POST that another site's page makes by navigating. Some
	// browsers do so.
	LaxPOST bool
	// BlockThirdParty lets frames and requests of other sites send and store
	// Partitioned cookies only.
	BlockThirdParty bool
}

// Browser is a simulated browser for tests of handlers. It calls the handler
// itself, without sockets, and keeps cookies as browsers do. The handler gets
// the requests for all hosts: http.ServeMux has patterns with a host.
//
// A request has parts that a test can order as it likes: it leaves with the
// cookies of that moment (Tab.Send), the handler runs (Exchange.Serve), and the
// answer arrives (Exchange.Deliver) or is lost (Exchange.Lose). Tab.Do and the
// methods named after what people do run all of them.
//
// Cookies follow draft-ietf-httpbis-rfc6265bis-22: sections 5.6 for Set-Cookie,
// 5.7 for the store and 5.8 for the Cookie header. Partitioned cookies follow
// CHIPS. If Chromium departs from the draft, the browser does as Chromium. A
// cookie keeps its place among others only if its value is the same as before. A
// tab in a name or a value is refused, and so is an equals sign in a cookie
// without a name. The last Max-Age and the last Expires count, whatever they say.
// A year before 1601 is past, and one of five digits is far away. The prefixes __Http- and __Host-Http- need HttpOnly.
// Sec-Fetch and Origin headers follow the Fetch standard with the default
// referrer policy.
//
// There is no cache but the one of the back button, no script, and no CORS
// preflight. A Browser is safe for concurrent use, but each Tab is for one
// goroutine. Only Exchange.Serve may run beside others.
type Browser struct {
	handler  http.Handler
	jar      jar
	suffixes suffixes
	block    bool

	mu   sync.Mutex
	tabs []*Tab
}

// NewBrowser returns a browser without cookies. Nil options mean all defaults.
func NewBrowser(h http.Handler, opts *BrowserOptions) *Browser {
	var o BrowserOptions
	if opts != nil {
		o = *opts
	}
	if o.Clock == nil {
		o.Clock = NewClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	}
	s := suffixes(slices.Clone(o.PublicSuffixes))
	return &Browser{handler: h, suffixes: s, block: o.BlockThirdParty, jar: jar{now: o.Clock.Now, suffixes: s, laxPOST: o.LaxPOST}}
}

// NewTab opens an empty tab.
func (b *Browser) NewTab() *Tab {
	t := &Tab{b: b, at: -1}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tabs = append(b.tabs, t)
	return t
}

// Cookies returns the cookies that the browser has, the oldest first.
func (b *Browser) Cookies() []StoredCookie { return b.jar.all() }

// Cookie returns the value of the first cookie with the name that a click on a
// link to the URL sends, and whether there is one.
func (b *Browser) Cookie(name, rawURL string) (string, bool) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", false
	}
	for _, c := range b.jar.sent(u, party{topLevel: true, safe: true, partition: b.suffixes.site(u)}) {
		if c.Name == name {
			return c.Value, true
		}
	}
	return "", false
}

// SetCookie stores a Set-Cookie line as if the URL had answered a navigation
// with it. It returns why the browser ignores the line, or "".
func (b *Browser) SetCookie(rawURL, line string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "the URL is malformed"
	}
	return b.jar.store(line, u, party{topLevel: true, safe: true, partition: b.suffixes.site(u)})
}

// Restart closes all tabs and removes the cookies without Max-Age and Expires,
// as a browser does when it ends.
func (b *Browser) Restart() {
	b.jar.remove(func(c *StoredCookie) bool { return c.ExpiresAt.IsZero() })
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.tabs {
		t.history, t.at, t.latest = nil, -1, nil
	}
	b.tabs = nil
}

// clearSiteData follows the W3C's Clear-Site-Data for cookies and cache.
func (b *Browser) clearSiteData(u *url.URL, values []string) {
	if !trustworthy(u) {
		return
	}
	for _, what := range strings.Split(strings.Join(values, ","), ",") {
		what = trimWSP(what)
		if what == `"cookies"` || what == `"*"` {
			site := b.suffixes.registrable(canonicalHost(u))
			b.jar.remove(func(c *StoredCookie) bool { return b.suffixes.registrable(c.Domain) == site })
		}
		if what == `"cache"` || what == `"*"` {
			b.forget(origin(u))
		}
	}
}

// forget drops the pages of an origin that the back button could show.
func (b *Browser) forget(of string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.tabs {
		for _, p := range t.history {
			if origin(p.url) == of {
				p.kept = false
			}
		}
	}
}
