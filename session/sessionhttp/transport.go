package sessionhttp

import (
	"net/http"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// Transport says how a client sends and receives its token: Cookie, Bearer,
// Header, or Both of two. Tokens in any other place, such as the query or the
// body, are ignored. A cookie is ignored too, unless Cookie is a transport.
type Transport interface {
	// found returns the token of the request, and the transport it came by.
	// Cookie is the name of the cookie.
	found(cookie string, r *http.Request) (found, Transport)
	// give writes a credential to the headers of an answer.
	give(k *cookieForm, h http.Header, c session.Credential)
	// vary returns the request headers on which an answer depends.
	vary() []string
	// ambient reports whether browsers send the token by themselves, also with
	// requests that other sites cause.
	ambient() bool
	check() error
}

// cookieForm is the cookie without a value.
type cookieForm struct {
	http.Cookie
	browserSession bool // without Max-Age
}

// found is what a request has for one transport.
type found struct {
	n     int    // number of tokens
	token string // the only one
}

// text returns the token to open. Several tokens are malformed: it is unknown
// which one is the user's own.
func (f found) text() string {
	if f.n > 1 {
		return "more than one"
	}
	return f.token
}

// Cookie is the transport for browsers and the default. Options describes the
// cookie.
type Cookie struct{}

func (t Cookie) found(cookie string, r *http.Request) (found, Transport) {
	var f found
	for _, line := range r.Header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			key, value, _ := strings.Cut(part, "=")
			if strings.TrimSpace(key) == cookie {
				f.token = strings.TrimSpace(value)
				f.n++
			}
		}
	}
	return f, t
}

func (Cookie) give(k *cookieForm, h http.Header, c session.Credential) {
	cookie := k.Cookie //nolint:gosec // its attributes were checked by New
	switch {
	case c.Action == session.ActionClear:
		cookie.MaxAge = -1
	case k.browserSession:
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

// Bearer is the transport for programs. They send the token as "Authorization:
// Bearer …". They receive a new token in a header of the answer. An empty header
// means that the client must forget its token.
type Bearer struct {
	// ResponseHeader is the name of the answer's header. Empty means
	// Session-Token.
	ResponseHeader string
}

func (t Bearer) found(_ string, r *http.Request) (found, Transport) {
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

func (t Bearer) give(_ *cookieForm, h http.Header, c session.Credential) {
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

// Header is the transport for programs that use the Authorization header for
// something else. They send and receive the token in the header Name. An empty
// header in the answer means that the client must forget its token.
type Header struct{ Name string }

func (t Header) found(_ string, r *http.Request) (found, Transport) {
	var f found
	for _, line := range r.Header[http.CanonicalHeaderKey(t.Name)] {
		f.token = strings.TrimSpace(line)
		f.n++
	}
	return f, t
}

func (t Header) give(_ *cookieForm, h http.Header, c session.Credential) { h.Set(t.Name, c.Token()) }
func (t Header) vary() []string                                          { return []string{http.CanonicalHeaderKey(t.Name)} }
func (Header) ambient() bool                                             { return false }
func (t Header) check() error                                            { return checkName(t.Name) }

// checkName returns model.ErrInvalid for invalid header names and for headers
// that have another meaning.
func checkName(name string) error {
	switch http.CanonicalHeaderKey(name) {
	case "", "Authorization", "Cookie", "Set-Cookie", "Host", "Origin", "Content-Type", "Content-Length":
		return model.NewError(model.ErrInvalid, "the token needs its own header: this name is empty or has another meaning", nil)
	}
	for _, c := range []byte(name) {
		if !strings.ContainsRune("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", rune(c)) {
			return model.NewError(model.ErrInvalid, "the header's name has characters that headers do not allow", nil)
		}
	}
	return nil
}

type both struct{ first, second Transport }

// Both accepts a token by either transport. It answers by the transport that the
// token came by, or by the first one if the request has no token. A request with
// two different tokens is anonymous, like one with two cookies.
func Both(first, second Transport) Transport { return both{first, second} }

func (t both) found(cookie string, r *http.Request) (found, Transport) {
	a, viaA := t.first.found(cookie, r)
	b, viaB := t.second.found(cookie, r)
	switch {
	case b.n == 0:
		return a, viaA
	case a.n == 0:
		return b, viaB
	case a != b:
		return found{n: a.n + b.n}, viaA
	}
	// Both have the same token. Other sites cannot set a header, so the
	// request is not theirs.
	if viaA.ambient() {
		return b, viaB
	}
	return a, viaA
}

func (t both) give(k *cookieForm, h http.Header, c session.Credential) { t.first.give(k, h, c) }
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
