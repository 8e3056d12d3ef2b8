package sessiontest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// maxRedirects is how many redirects a browser follows.
const maxRedirects = 20

// Exchange is a request that has left the browser with the cookies of that
// moment.
type Exchange struct {
	// Request is what the handler gets. A test can give it a context.
	Request *http.Request

	s    *sending
	err  error // the request cannot be made
	once sync.Once
	rec  *recorder

	settled bool
}

// Answer is what a browser has got.
type Answer struct {
	URL    string
	Status int
	Header http.Header
	Body   string
	// Next is the request that follows a redirect. It has left already.
	Next *Exchange
	// FromCache says that the back button showed the page without a request.
	FromCache bool
	// Ignored says why the browser ignored some of the answer's cookies.
	Ignored []string
	// Err says why there is no answer, or not all of it.
	Err error
}

// ErrLost is the error of an answer that never arrived.
var ErrLost = errors.New("sessiontest: the answer was lost")

// handshake marks a request as one over TLS.
func handshake() *tls.ConnectionState {
	return &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}
}

// Cookies returns the Cookie header with which the request left.
func (x *Exchange) Cookies() string {
	if x.Request == nil {
		return ""
	}
	return x.Request.Header.Get("Cookie")
}

// Serve runs the handler, one time. A test can call it in a goroutine. If the
// handler panics, the connection ends, as with net/http.
func (x *Exchange) Serve() {
	x.once.Do(func() {
		x.rec = &recorder{header: http.Header{}}
		if x.err != nil {
			x.rec.err = x.err
			return
		}
		defer func() {
			if p := recover(); p != nil {
				x.rec.err = fmt.Errorf("sessiontest: the handler panicked: %v", p)
			}
		}()
		x.s.tab.b.handler.ServeHTTP(x.rec, x.Request)
		x.rec.WriteHeader(http.StatusOK)
	})
}

// Lose runs the handler, unless Serve did, and loses the answer.
func (x *Exchange) Lose() {
	x.Serve()
	x.settled = true
}

// Deliver runs the handler, unless Serve did, and brings its answer to the
// browser: cookies are stored, and a navigation shows its page. The page of a
// navigation that another one has overtaken is not shown. A second Deliver
// returns ErrLost.
func (x *Exchange) Deliver() *Answer {
	x.Serve()
	a := &Answer{Err: x.rec.err}
	if x.s != nil && len(x.s.chain) > 0 {
		a.URL = x.s.url().String()
	}
	if x.settled {
		a.Err = ErrLost
		return a
	}
	x.settled = true
	if a.Err != nil && !x.rec.flushed {
		return a // nothing has left the server
	}
	a.Status, a.Header, a.Body = x.rec.status, x.rec.sent, x.rec.body.String()
	if x.s.Method == http.MethodHead {
		a.Body = ""
	}
	x.receive(a)
	if to, ok := x.redirect(a); ok {
		a.Next = x.follow(to)
		return a
	}
	x.show(a)
	return a
}

// receive stores the answer's cookies. Clear-Site-Data comes after them.
func (x *Exchange) receive(a *Answer) {
	b := x.s.tab.b
	if x.s.credentials() {
		for _, line := range a.Header["Set-Cookie"] {
			if why := b.jar.store(line, x.s.url(), x.s.party()); why != "" {
				name, _, _ := strings.Cut(line, "=")
				a.Ignored = append(a.Ignored, name+": "+why)
			}
		}
	}
	if clearing := a.Header["Clear-Site-Data"]; clearing != nil {
		b.clearSiteData(x.s.url(), clearing)
	}
}

// redirect returns where the answer sends the browser.
func (x *Exchange) redirect(a *Answer) (*url.URL, bool) {
	if !slices.Contains([]int{301, 302, 303, 307, 308}, a.Status) {
		return nil, false
	}
	to, err := x.s.url().Parse(a.Header.Get("Location"))
	if err != nil || a.Header.Get("Location") == "" {
		return nil, false
	}
	return to, true
}

// follow sends the request that a redirect asks for. A POST becomes a GET after
// 301, 302 and 303.
func (x *Exchange) follow(to *url.URL) *Exchange {
	next := *x.s
	to.Fragment = ""
	from := x.s.url()
	if x.s.initiator != nil && origin(from) != origin(to) && origin(x.s.initiator) != origin(from) {
		next.tainted = true
	}
	next.chain = append(slices.Clone(x.s.chain), to)
	status := x.rec.status
	if status == http.StatusSeeOther && next.Method != http.MethodHead || status < http.StatusSeeOther && next.Method == http.MethodPost {
		next.Method, next.Form, next.Body = http.MethodGet, nil, nil
	}
	out := leave(&next, nil)
	if len(next.chain) > maxRedirects {
		out.err = errors.New("sessiontest: too many redirects")
	}
	if next.Kind.navigates() && next.tab.latest == x {
		next.tab.latest = out
	}
	return out
}

// show makes the answer of a navigation the tab's page.
func (x *Exchange) show(a *Answer) {
	t := x.s.tab
	if !x.s.Kind.navigates() || t.latest != x || a.Status == http.StatusNoContent || a.Status == http.StatusResetContent {
		return
	}
	p := &page{
		url: x.s.url(), answer: a, method: x.s.Method, initiator: x.s.initiator, crossSite: x.s.party().crossSite,
		kept: x.s.Method == http.MethodGet && !noStore(a.Header),
	}
	if x.s.Kind == again {
		t.history[t.at] = p
		return
	}
	t.history = append(t.history[:t.at+1], p)
	t.at++
}

func noStore(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h["Cache-Control"], ","), ",") {
		if strings.EqualFold(trimWSP(part), "no-store") {
			return true
		}
	}
	return false
}

// leave attaches the cookies.
func leave(s *sending, err error) *Exchange {
	x := &Exchange{s: s, err: err}
	if err == nil {
		x.Request, x.err = s.build()
	}
	return x
}

// recorder is a ResponseWriter that keeps the answer.
type recorder struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
	flushed      bool
	err          error
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(code int) {
	if r.status != 0 || code >= 100 && code < 200 && code != http.StatusSwitchingProtocols {
		return
	}
	r.status, r.sent = code, r.header.Clone()
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func (r *recorder) Flush() {
	r.WriteHeader(http.StatusOK)
	r.flushed = true
}
