package sessionhttp

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// Bearer is the transport for programs. They send the token as "Authorization:
// Bearer …". They receive a new token in a header of the answer. An empty header
// means that the client must forget its token.
//
// The token of a program is not rotated periodically: two of its workers may
// share it. A handler that answers a sign-in with the token in its body uses
// Token.
type Bearer struct {
	// ResponseHeader is the name of the answer's header. Empty means
	// Session-Token.
	ResponseHeader string
}

func (t Bearer) found(_ *cookieForm, r *http.Request) found {
	var f found
	for _, line := range r.Header["Authorization"] {
		if value, ok := bearer(line); ok {
			f.add(value, t)
		}
	}
	return f
}

// bearer returns the value of an Authorization header with the scheme Bearer.
func bearer(line string) (string, bool) {
	scheme, value, _ := strings.Cut(trim(line), " ")
	return trim(value), strings.EqualFold(scheme, "Bearer")
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

func (Bearer) vary() []string             { return []string{"Authorization"} }
func (Bearer) ambient() bool              { return false }
func (t Bearer) first() Transport         { return t }
func (t Bearer) has(other Transport) bool { return other == t }
func (t Bearer) check() error             { return checkName(t.name()) }

func (t Bearer) stripAnswer(h http.Header) { h.Del(t.name()) }

// strip leaves the tokens of other schemes and issuers.
func (t Bearer) strip(k *cookieForm, r *http.Request) {
	setLines(r.Header, "Authorization", slices.DeleteFunc(slices.Clone(r.Header["Authorization"]), func(line string) bool {
		one := found{}
		value, ok := bearer(line)
		one.add(value, t)
		return ok && one.n > 0
	}))
}

// Header is the transport for programs that use the Authorization header for
// something else. They send and receive the token in the header Name. An empty
// header in the answer means that the client must forget its token. As with
// Bearer, the token is not rotated periodically.
type Header struct{ Name string }

func (t Header) found(_ *cookieForm, r *http.Request) found {
	var f found
	for _, line := range r.Header[http.CanonicalHeaderKey(t.Name)] {
		f.add(trim(line), t)
	}
	return f
}

func (t Header) give(_ *cookieForm, h http.Header, c session.Credential) { h.Set(t.Name, c.Token()) }
func (t Header) vary() []string                                          { return []string{http.CanonicalHeaderKey(t.Name)} }
func (Header) ambient() bool                                             { return false }
func (t Header) first() Transport                                        { return t }
func (t Header) has(other Transport) bool                                { return other == t }
func (t Header) check() error                                            { return checkName(t.Name) }
func (t Header) strip(_ *cookieForm, r *http.Request)                    { r.Header.Del(t.Name) }
func (t Header) stripAnswer(h http.Header)                               { h.Del(t.Name) }

// taken are headers with another meaning.
var taken = []string{
	"", "Accept", "Age", "Authorization", "Cache-Control", "Clear-Site-Data", "Connection", "Content-Encoding", "Content-Length",
	"Content-Security-Policy", "Content-Type", "Cookie", "Date", "Expect", "Expires", "Forwarded", "Host", "Keep-Alive", "Location", "Origin",
	"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Referer", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"User-Agent", "Vary", "Via", "Www-Authenticate", "X-Forwarded-For",
}

// checkName returns model.ErrInvalid for invalid header names and for headers
// that have another meaning.
func checkName(name string) error {
	canonical := http.CanonicalHeaderKey(name)
	if slices.Contains(taken, canonical) || strings.HasPrefix(canonical, "Sec-") {
		return model.NewError(model.ErrInvalid, "the token needs its own header: this name is empty or has another meaning", nil)
	}
	for _, c := range []byte(name) {
		if c == '_' {
			return model.NewError(model.ErrInvalid, "the header's name has an underscore: proxies such as nginx drop it, use a hyphen", nil)
		}
		if !strings.ContainsRune("!#$%&'*+-.^`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", rune(c)) {
			return model.NewError(model.ErrInvalid, "the header's name has characters that headers do not allow", nil)
		}
	}
	return nil
}

type both struct{ one, other Transport }

// Both accepts a token by either transport. It answers by the transport that the
// token came by. A request without a token is answered by the first one, unless
// Options.AnswerBy chooses.
//
// If a request has two different tokens and exactly one of them opens a session,
// that one is served. With Both, a Bearer token of another form, such as a JWT,
// is another API's and does not count.
func Both(first, second Transport) Transport { return both{first, second} }

func (t both) found(k *cookieForm, r *http.Request) found {
	a, b := foundIn(t.one, k, r), foundIn(t.other, k, r)
	if a.ambient() && !b.ambient() {
		a, b = b, a // a header first: no site can fill up the places with cookies
	}
	for i := range b.n {
		a.add(b.texts[i], b.by[i])
	}
	a.cookies += b.cookies
	a.foreign = a.foreign || b.foreign
	return a
}

// foundIn leaves out what is in another API's place.
func foundIn(t Transport, k *cookieForm, r *http.Request) found {
	f := t.found(k, r)
	if _, shared := t.(Bearer); shared {
		f.foreign = false
	}
	return f
}

func (t both) give(k *cookieForm, h http.Header, c session.Credential) { t.first().give(k, h, c) }
func (t both) vary() []string                                          { return append(t.one.vary(), t.other.vary()...) }
func (t both) ambient() bool                                           { return t.one.ambient() || t.other.ambient() }
func (t both) first() Transport                                        { return t.one.first() }
func (t both) has(other Transport) bool                                { return t.one.has(other) || t.other.has(other) }

func (t both) strip(k *cookieForm, r *http.Request) {
	t.one.strip(k, r)
	t.other.strip(k, r)
}

func (t both) stripAnswer(h http.Header) {
	t.one.stripAnswer(h)
	t.other.stripAnswer(h)
}

func (t both) check() error {
	if t.one == nil || t.other == nil {
		return model.NewError(model.ErrInvalid, "Both needs two transports", nil)
	}
	if err := t.one.check(); err != nil {
		return err
	}
	return t.other.check()
}
