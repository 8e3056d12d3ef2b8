package sessionhttp

import (
	"net/http"
	"strings"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// Transport says how a client sends and receives its token: Cookie, Bearer,
// Header, or Both of two. Tokens in any other place, such as the query or the
// body, are ignored. A cookie is ignored too, unless Cookie is a transport.
type Transport interface {
	// found returns the tokens of the request.
	found(k *cookieForm, r *http.Request) found
	// give writes a credential to the headers of an answer.
	give(k *cookieForm, h http.Header, c session.Credential)
	// vary returns the request headers on which an answer depends.
	vary() []string
	// ambient reports whether browsers send the token by themselves, also with
	// requests that other sites cause.
	ambient() bool
	// first returns the transport of an answer to a request without a token.
	first() Transport
	// has reports whether t is this transport or a part of it.
	has(t Transport) bool
	// strip removes the tokens from a request. If k is nil, the name of the cookie
	// is unknown.
	strip(k *cookieForm, r *http.Request)
	// stripAnswer removes the headers with a new token from an answer. Cookies are
	// removed apart.
	stripAnswer(h http.Header)
	check() error
}

// maxTexts is the number of different tokens that are taken from a request.
const maxTexts = 4

// malformed stands for anything that is not a token: a session opens nothing
// with it, and reports that.
const malformed = "malformed"

// found is what a request has for a transport.
type found struct {
	n     int // of the two arrays
	texts [maxTexts]string
	by    [maxTexts]Transport
	// cookies counts the session's cookies, with those that are equal or
	// malformed.
	cookies int
	// foreign says that there was something else in a token's place.
	foreign bool
}

// add takes a text if it has the form of a token. Equal ones count once, and so
// does one that came by a cookie and by a header: other sites cannot set a
// header, so it came by that.
func (f *found) add(text string, by Transport) {
	if !row.IsToken(text) {
		f.foreign = true
		return
	}
	for i := range f.n {
		if f.texts[i] == text {
			if f.by[i].ambient() {
				f.by[i] = by
			}
			return
		}
	}
	if f.n < maxTexts {
		f.texts[f.n], f.by[f.n] = text, by
		f.n++
	}
}

// ambient reports whether a browser may have sent a token by itself.
func (f *found) ambient() bool {
	for i := range f.n {
		if f.by[i].ambient() {
			return true
		}
	}
	return false
}

// open opens the session of what was found.
func (f *found) open(svc *session.Service) *session.Session {
	switch {
	case f.n > 0:
		return svc.OpenAny(f.texts[:f.n]...)
	case f.foreign:
		return svc.Open(malformed)
	}
	return svc.Open("")
}

// Cookie is the transport for browsers and the default. Options describes the
// cookie.
//
// A request can have several cookies of the name, because a cookie of a parent
// domain or another path does not replace this one. A text that has not the form
// of a token does not count, and equal ones count once. If exactly one of the
// others opens a session, it is served.
type Cookie struct{}

var varyCookie = []string{"Cookie"}

func (t Cookie) found(k *cookieForm, r *http.Request) found {
	var f found
	for _, line := range r.Header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			if key, value, _ := strings.Cut(part, "="); trim(key) == k.Name {
				f.cookies++
				f.add(trim(value), t)
			}
		}
	}
	return f
}

func (Cookie) give(k *cookieForm, h http.Header, c session.Credential) { k.give(h, c) }
func (Cookie) vary() []string                                          { return varyCookie }
func (Cookie) ambient() bool                                           { return true }
func (t Cookie) first() Transport                                      { return t }
func (t Cookie) has(other Transport) bool                              { return other == t }
func (Cookie) check() error                                            { return nil }

func (Cookie) stripAnswer(http.Header) {}

// strip removes every cookie that has the form of a token, if the name is unknown.
func (Cookie) strip(k *cookieForm, r *http.Request) {
	lines := r.Header["Cookie"]
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		var parts []string
		for part := range strings.SplitSeq(line, ";") {
			key, value, _ := strings.Cut(part, "=")
			own := k != nil && trim(key) == k.Name || k == nil && row.IsToken(trim(value))
			if !own && trim(part) != "" {
				parts = append(parts, trim(part))
			}
		}
		if len(parts) > 0 {
			kept = append(kept, strings.Join(parts, "; "))
		}
	}
	setLines(r.Header, "Cookie", kept)
}

// setLines sets all lines of a header. None removes it.
func setLines(h http.Header, name string, lines []string) {
	if len(lines) == 0 {
		delete(h, name)
		return
	}
	h[name] = lines
}

// trim removes what RFC 9110 and RFC 6265bis call whitespace: spaces and tabs.
// strings.TrimSpace removes more, and a browser does not. For example, a cookie
// whose name begins with U+00A0 has another name, and no prefix such as __Host-.
func trim(s string) string { return strings.Trim(s, " \t") }
