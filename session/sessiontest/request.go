package sessiontest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Kind says what makes a request.
type Kind uint8

// The kinds of requests. The answers of the first two become the tab's page.
const (
	// Navigate is a link or a form of the tab's page, by its Method.
	Navigate Kind = iota
	// Typed is an address that the user types, or a bookmark.
	Typed
	// Fetch is a fetch by the page's script. Its Credentials are same-origin by
	// default.
	Fetch
	// Beacon is navigator.sendBeacon: a POST in the background.
	Beacon
	// Image loads a picture into the page.
	Image
	// Prefetch and Prerender load a page before anybody clicks on its link.
	Prefetch
	Prerender

	frame Kind = iota + 100 // a navigation of a frame
	again                   // a reload, or the back button without a kept page
)

// String returns the kind in lower case.
func (k Kind) String() string {
	names := [...]string{"navigate", "typed", "fetch", "beacon", "image", "prefetch", "prerender"}
	switch {
	case int(k) < len(names):
		return names[k]
	case k == frame:
		return "frame"
	case k == again:
		return "reload"
	}
	return "unknown"
}

// navigates reports whether the answer becomes the page.
func (k Kind) navigates() bool { return k == Navigate || k == Typed || k == frame || k == again }

// Credentials say whether a Fetch sends and stores cookies.
type Credentials uint8

// The modes of credentials.
const (
	SameOrigin Credentials = iota // only for the page's own origin
	Include
	Omit
)

// Outgoing is a request that a page or a user makes.
type Outgoing struct {
	Kind Kind
	// Method is GET by default, and POST with a Form and for a Beacon.
	Method string
	// URL can be relative to the tab's page.
	URL string
	// Header is added to the request. What browsers set themselves is left
	// out: Cookie, Host, Origin, Referer, Sec-Fetch and Sec-Purpose.
	Header http.Header
	// Form is the body of a form.
	Form url.Values
	// Body is any other body.
	Body        []byte
	Credentials Credentials // of a Fetch
}

// sending is a request under way, over all its redirects.
type sending struct {
	Outgoing
	tab       *Tab
	initiator *url.URL // the page that asks; nil for the user
	crossSite bool     // of a reload: as the first time
	chain     []*url.URL
	tainted   bool // a redirect crossed origins twice: the Origin is "null"

	forCookies string // the site for cookies of the page that asks
	top        string // the site of the tab
}

var errNoPage = errors.New("sessiontest: the tab has no page that could ask for this: use Open first")

// newSending returns the request as the tab's page makes it.
func (t *Tab) newSending(r Outgoing) (*sending, error) {
	s := &sending{Outgoing: r, tab: t}
	if p := t.page(); p != nil && r.Kind != Typed {
		s.initiator = p.url
	}
	if r.Kind == frame && t.parent != nil {
		s.initiator = t.parent.page().url
	}
	if s.initiator == nil && r.Kind != Typed {
		return s, errNoPage
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return s, fmt.Errorf("sessiontest: the URL is malformed: %w", err)
	}
	if s.initiator != nil {
		u = s.initiator.ResolveReference(u)
	}
	u.Fragment, u.RawFragment = "", ""
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return s, errors.New("sessiontest: the URL needs http or https and a host")
	}
	s.chain = []*url.URL{u}
	if p := t.top().page(); p != nil {
		s.forCookies, s.top = t.siteForCookies(r.Kind == frame), t.b.suffixes.site(p.url)
	}
	if s.Method == "" {
		s.Method = http.MethodGet
		if r.Form != nil || r.Kind == Beacon {
			s.Method = http.MethodPost
		}
	}
	return s, nil
}

// url returns where the request is now.
func (s *sending) url() *url.URL { return s.chain[len(s.chain)-1] }

// topLevel reports whether the request navigates a tab, and not a frame.
func (s *sending) topLevel() bool {
	return s.Kind == Prerender || s.Kind == Prefetch || s.Kind.navigates() && s.tab.parent == nil
}

// credentials reports whether the request sends and stores cookies. A page of
// another site is loaded ahead without them.
func (s *sending) credentials() bool {
	switch {
	case s.Kind == Prefetch, s.Kind == Prerender:
		return s.forCookies == s.tab.b.suffixes.site(s.url())
	case s.Kind != Fetch, s.Credentials == Include:
		return true
	}
	return s.Credentials == SameOrigin && origin(s.initiator) == origin(s.url())
}

// party follows section 5.2: a request is cross-site unless the URL is of the
// site for cookies of the page that asks. For the user's own it never is.
func (s *sending) party() party {
	sites := s.tab.b.suffixes
	p := party{topLevel: s.topLevel(), safe: slices.Contains([]string{"GET", "HEAD", "OPTIONS", "TRACE"}, s.Method)}
	switch {
	case s.Kind == again:
		p.crossSite = s.crossSite
	case s.initiator != nil:
		p.crossSite = s.forCookies != sites.site(s.url())
	}
	p.partition = sites.site(s.url())
	if !p.topLevel {
		p.blocked = s.tab.b.block && s.top != p.partition
		p.partition = s.top
	}
	return p
}

// build returns the HTTP request with its headers and cookies.
func (s *sending) build() (*http.Request, error) {
	body, contentType := s.Body, ""
	if s.Form != nil {
		body, contentType = []byte(s.Form.Encode()), "application/x-www-form-urlencoded"
	}
	var reader io.Reader = http.NoBody
	if len(body) > 0 {
		reader = bytes.NewReader(body)
	}
	u := s.url()
	r, err := http.NewRequestWithContext(context.Background(), s.Method, u.String(), reader)
	if err != nil {
		return nil, fmt.Errorf("sessiontest: %w", err)
	}
	r.RequestURI = u.RequestURI()
	r.URL.Scheme, r.URL.Host, r.URL.User = "", "", nil // as servers see it
	r.RemoteAddr = "192.0.2.1:1234"
	if u.Scheme == "https" {
		r.TLS = handshake()
	}
	h := r.Header
	h.Set("User-Agent", "Mozilla/5.0 (sessiontest)")
	h.Set("Accept", "*/*")
	if contentType != "" {
		h.Set("Content-Type", contentType)
	} else if s.Kind == Beacon && len(body) > 0 {
		h.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	for name, values := range s.Header {
		if name = http.CanonicalHeaderKey(name); !owned(name) {
			h[name] = slices.Clone(values)
		}
	}
	s.fetchMetadata(h)
	s.origins(h)
	if s.credentials() {
		if cookies := s.tab.b.jar.header(u, s.party()); cookies != "" {
			h.Set("Cookie", cookies)
		}
	}
	return r, nil
}

// owned reports whether pages cannot set the header.
func owned(name string) bool {
	return strings.HasPrefix(name, "Sec-") || slices.Contains([]string{"Cookie", "Host", "Origin", "Referer"}, name)
}

// fetchMetadata sets the Sec-Fetch headers, which insecure URLs do not get.
func (s *sending) fetchMetadata(h http.Header) {
	switch s.Kind {
	case Prefetch:
		h.Set("Sec-Purpose", "prefetch")
	case Prerender:
		h.Set("Sec-Purpose", "prefetch;prerender")
	}
	if !trustworthy(s.url()) {
		return
	}
	h.Set("Sec-Fetch-Site", s.site())
	mode, dest := "navigate", "document"
	switch s.Kind {
	case Fetch:
		mode, dest = "cors", "empty"
	case Beacon:
		mode, dest = "no-cors", "empty"
	case Image:
		mode, dest = "no-cors", "image"
	case Prefetch, Prerender:
	default:
		if s.tab.parent != nil {
			dest = "iframe"
		} else {
			h.Set("Sec-Fetch-User", "?1")
		}
	}
	h.Set("Sec-Fetch-Mode", mode)
	h.Set("Sec-Fetch-Dest", dest)
}

// site returns the worst relation of the page to any URL of the chain.
func (s *sending) site() string {
	if s.initiator == nil {
		return "none"
	}
	out := "same-origin"
	for _, u := range s.chain {
		switch s.tab.b.suffixes.relation(s.initiator, u) {
		case "cross-site":
			return "cross-site"
		case "same-site":
			out = "same-site"
		}
	}
	return out
}

// origins sets Origin and Referer under the policy
// strict-origin-when-cross-origin.
func (s *sending) origins(h http.Header) {
	from, to := s.initiator, s.url()
	if from == nil {
		if s.Method != http.MethodGet && s.Method != http.MethodHead {
			h.Set("Origin", "null")
		}
		return
	}
	same := origin(from) == origin(to)
	downgrade := trustworthy(from) && !trustworthy(to)
	switch {
	case same:
		ref := *from
		ref.User = nil
		h.Set("Referer", ref.String())
	case !downgrade:
		h.Set("Referer", origin(from)+"/")
	}
	cors := s.Kind == Fetch && (!same || len(s.chain) > 1)
	if !cors && (s.Method == http.MethodGet || s.Method == http.MethodHead) {
		return
	}
	if s.tainted || downgrade && !cors {
		h.Set("Origin", "null")
		return
	}
	h.Set("Origin", origin(from))
}
