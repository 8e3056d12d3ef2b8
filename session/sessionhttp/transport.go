package sessionhttp

import (
	"net/http"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// Transport says how a client brings its token and is given another: Cookie,
// Bearer, Header, or Both of two. A token that comes any other way, in the
// query or the body, is not looked at; neither is a cookie where Cookie is not
// among the transports.
type Transport interface {
	// found returns what the request brings, and how it came.
	found(m *Middleware, r *http.Request) (found, Transport)
	// give puts a credential into the headers of an answer.
	give(m *Middleware, h http.Header, c session.Credential)
	// vary is the request header on which an answer depends.
	vary() []string
	// ambient says that browsers send the credential by themselves, to
	// requests that other sites make too.
	ambient() bool
	check() error
}

// found is what a request brings by one transport.
type found struct {
	n     int    // how many credentials
	token string // of the only one
}

// text is what to open. Which of two is the user's own cannot be known, so that
// more than one is no token at all.
func (f found) text() string {
	if f.n > 1 {
		return "more than one"
	}
	return f.token
}

// Cookie is the transport for browsers, and the default: a cookie as Options
// describes it.
type Cookie struct{}

func (t Cookie) found(m *Middleware, r *http.Request) (found, Transport) {
	var f found
	for _, line := range r.Header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			key, value, _ := strings.Cut(part, "=")
			if strings.TrimSpace(key) == m.cookie.Name {
				f.token = strings.TrimSpace(value)
				f.n++
			}
		}
	}
	return f, t
}

func (Cookie) give(m *Middleware, h http.Header, c session.Credential) {
	cookie := m.cookie //nolint:gosec // its attributes were checked by New
	switch {
	case c.Action == session.ActionClear:
		cookie.MaxAge = -1
	case m.opts.BrowserSession:
		cookie.Value = c.Token()
	default:
		cookie.Value = c.Token()
		cookie.MaxAge = int(c.MaxAge / time.Second)
	}
	h.Add("Set-Cookie", cookie.String())
}

func (Cookie) vary() []string { return []string{"Cookie"} }
func (Cookie) ambient() bool  { return true }
func (Cookie) check() error   { return nil }

// Bearer is the transport for programs: the token comes as "Authorization:
// Bearer …", and another one is given in a header of the answer, which is empty
// when the client is to forget it.
type Bearer struct {
	// ResponseHeader is the name of the answer's header. Empty: Session-Token.
	ResponseHeader string
}

func (t Bearer) found(_ *Middleware, r *http.Request) (found, Transport) {
	var f found
	for _, line := range r.Header["Authorization"] {
		scheme, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.EqualFold(scheme, "Bearer") {
			f.token = strings.TrimSpace(value)
			f.n++
		}
	}
	return f, t
}

func (t Bearer) give(_ *Middleware, h http.Header, c session.Credential) {
	h.Set(t.name(), c.Token())
}

func (t Bearer) name() string {
	if t.ResponseHeader == "" {
		return "Session-Token"
	}
	return t.ResponseHeader
}

func (Bearer) vary() []string { return []string{"Authorization"} }
func (Bearer) ambient() bool  { return false }
func (t Bearer) check() error { return checkName(t.name()) }

// Header is the transport for programs that have no Authorization header to
// spare: the token comes and is given in a header of that name, which is empty
// in an answer when the client is to forget it.
type Header struct{ Name string }

func (t Header) found(_ *Middleware, r *http.Request) (found, Transport) {
	var f found
	for _, line := range r.Header[http.CanonicalHeaderKey(t.Name)] {
		f.token = strings.TrimSpace(line)
		f.n++
	}
	return f, t
}

func (t Header) give(_ *Middleware, h http.Header, c session.Credential) { h.Set(t.Name, c.Token()) }
func (t Header) vary() []string                                          { return []string{http.CanonicalHeaderKey(t.Name)} }
func (Header) ambient() bool                                             { return false }
func (t Header) check() error                                            { return checkName(t.Name) }

// checkName refuses names that are none, and headers with a meaning of their
// own.
func checkName(name string) error {
	switch http.CanonicalHeaderKey(name) {
	case "", "Authorization", "Cookie", "Set-Cookie", "Host", "Origin", "Content-Type", "Content-Length":
		return model.NewError(model.ErrInvalid, "a token needs a header of its own", nil)
	}
	for _, c := range []byte(name) {
		if !strings.ContainsRune("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", rune(c)) {
			return model.NewError(model.ErrInvalid, "a header's name has characters that no header can have", nil)
		}
	}
	return nil
}

type both struct{ first, second Transport }

// Both takes a token by either transport, and gives another by the one that it
// came by; by the first to a request that brings none. A request that brings
// two different ones is anonymous, like one with two cookies.
func Both(first, second Transport) Transport { return both{first, second} }

func (t both) found(m *Middleware, r *http.Request) (found, Transport) {
	a, viaA := t.first.found(m, r)
	b, viaB := t.second.found(m, r)
	switch {
	case b.n == 0:
		return a, viaA
	case a.n == 0:
		return b, viaB
	case a != b:
		return found{n: a.n + b.n}, viaA
	}
	// The same twice: other sites can bring only the one, so it came by both.
	if viaA.ambient() {
		return b, viaB
	}
	return a, viaA
}

func (t both) give(m *Middleware, h http.Header, c session.Credential) { t.first.give(m, h, c) }
func (t both) vary() []string                                          { return append(t.first.vary(), t.second.vary()...) }
func (t both) ambient() bool                                           { return t.first.ambient() || t.second.ambient() }

func (t both) check() error {
	if t.first == nil || t.second == nil {
		return model.NewError(model.ErrInvalid, "Both needs two transports", nil)
	}
	if err := t.first.check(); err != nil {
		return err
	}
	return t.second.check()
}
