package sessiontest

import (
	"errors"
	"net/http"
	"net/url"
)

// Tab is a tab of a browser, or a frame of a page. It has a page and a history.
type Tab struct {
	b       *Browser
	parent  *Tab // of a frame
	history []*page
	at      int       // the page that is shown; -1 for none
	latest  *Exchange // the navigation that may show its page
}

// page is an entry of a tab's history.
type page struct {
	url       *url.URL
	answer    *Answer
	method    string
	initiator *url.URL
	crossSite bool
	kept      bool // the back button shows it without a request
}

func (t *Tab) page() *page {
	if t.at < 0 {
		return nil
	}
	return t.history[t.at]
}

func (t *Tab) top() *Tab {
	for t.parent != nil {
		t = t.parent
	}
	return t
}

// siteForCookies follows section 5.2.1. It is empty for a frame with an ancestor
// of another site. A frame's first page is asked for by its parent.
func (t *Tab) siteForCookies(byParent bool) string {
	sites := t.b.suffixes
	top := sites.site(t.top().page().url)
	if byParent {
		t = t.parent
	}
	for ; t.parent != nil; t = t.parent {
		if p := t.page(); p != nil && sites.site(p.url) != top {
			return ""
		}
	}
	return top
}

// Page returns the answer that the tab shows, or nil.
func (t *Tab) Page() *Answer {
	if p := t.page(); p != nil {
		return p.answer
	}
	return nil
}

// Send lets a request leave with the cookies that the browser has now.
func (t *Tab) Send(r Outgoing) *Exchange {
	x := leave(t.newSending(r))
	if x.err == nil && r.Kind.navigates() {
		t.latest = x
	}
	return x
}

// Do sends the request, delivers its answer and follows redirects. It returns
// the last answer.
func (t *Tab) Do(r Outgoing) *Answer { return deliver(t.Send(r)) }

func deliver(x *Exchange) *Answer {
	a := x.Deliver()
	for a.Next != nil {
		a = a.Next.Deliver()
	}
	return a
}

// Open types an address into the tab.
func (t *Tab) Open(rawURL string) *Answer { return t.Do(Outgoing{Kind: Typed, URL: rawURL}) }

// Click follows a link of the page.
func (t *Tab) Click(rawURL string) *Answer { return t.Do(Outgoing{URL: rawURL}) }

// Submit posts a form of the page.
func (t *Tab) Submit(rawURL string, form url.Values) *Answer {
	if form == nil {
		form = url.Values{}
	}
	return t.Do(Outgoing{Method: http.MethodPost, URL: rawURL, Form: form})
}

// Fetch makes a GET by the page's script.
func (t *Tab) Fetch(rawURL string) *Answer { return t.Do(Outgoing{Kind: Fetch, URL: rawURL}) }

// Frame opens a frame in the page.
func (t *Tab) Frame(rawURL string) (*Tab, *Answer) {
	f := &Tab{b: t.b, parent: t, at: -1}
	if t.page() == nil {
		return f, &Answer{Err: errNoPage}
	}
	a := f.Do(Outgoing{Kind: frame, URL: rawURL})
	return f, a
}

// Reload asks for the page again. A browser asks the user before it posts a form
// again: that is an error here.
func (t *Tab) Reload() *Answer {
	if t.page() == nil {
		return &Answer{Err: errNoPage}
	}
	return t.load()
}

// Back shows the page before. The browser has kept it, unless its answer had
// Cache-Control: no-store or Clear-Site-Data came since. Then it asks again.
func (t *Tab) Back() *Answer {
	if t.at < 1 {
		return &Answer{Err: errors.New("sessiontest: the tab has no page before this one")}
	}
	t.at--
	t.latest = nil
	p := t.page()
	if p.kept {
		a := *p.answer
		a.FromCache = true
		return &a
	}
	return t.load()
}

// load asks for the page of the history again, as the first time.
func (t *Tab) load() *Answer {
	p := t.page()
	if p.method != http.MethodGet {
		return &Answer{URL: p.url.String(), Err: errors.New("sessiontest: the page is the answer to a form, which is not posted again")}
	}
	s := &sending{
		Outgoing: Outgoing{Kind: again, Method: http.MethodGet}, tab: t,
		initiator: p.initiator, crossSite: p.crossSite, chain: []*url.URL{p.url},
	}
	if top := t.top().page(); top != nil {
		s.top = t.b.suffixes.site(top.url)
	}
	t.latest = leave(s, nil)
	return deliver(t.latest)
}
