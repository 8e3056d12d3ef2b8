package sessionhttp

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sojourn-go/sojourn/model"
)

// StripCookie removes the session's cookie and token from a request, for a proxy
// that passes requests on to a server that must not have them. Other cookies and
// the tokens of other issuers stay.
//
// Outside of Wrap, Options.CookieFor cannot name the cookie, since the request is
// for another host by then. StripCookie then removes every cookie that has the
// form of a token.
//
//	proxy := &httputil.ReverseProxy{
//		Rewrite: func(p *httputil.ProxyRequest) {
//			p.SetURL(upstream)
//			m.StripCookie(p.Out)
//		},
//		ModifyResponse: m.StripSetCookie,
//	}
func (m *Middleware) StripCookie(r *http.Request) {
	m.opts.Transport.strip(m.passedOn(r), r)
}

// StripSetCookie removes from the answer of a server behind a proxy what would set
// or clear the session's cookie or token. These are cookies of its name, those
// without a name that browsers send as one of its name, the headers of the
// transport, and "cookies" and "*" in Clear-Site-Data. In place of "*" it puts
// everything else that browsers know today.
//
// A ReverseProxy sends interim responses, such as 103, without ModifyResponse. Wrap
// the proxy, and they have none of these either.
//
// It returns nil, or model.ErrInvalid outside of Wrap with Options.CookieFor,
// which cannot name the cookie then. A ReverseProxy answers 502 to that.
func (m *Middleware) StripSetCookie(res *http.Response) error {
	k := &m.cookie
	switch {
	case res.Request != nil:
		k = m.passedOn(res.Request)
	case m.opts.CookieFor != nil:
		k = nil
	}
	if k == nil {
		return &model.Error{Op: "sessionhttp.StripSetCookie", Err: model.NewError(model.ErrInvalid,
			"with Options.CookieFor the name of the cookie is known inside of Wrap only: wrap the proxy", nil)}
	}
	m.stripSet(k, res.Header)
	return nil
}

// stripSet removes from an answer what would set or clear the token. It replaces
// lists of lines, and changes none in place.
func (m *Middleware) stripSet(k *cookieForm, h http.Header) {
	setLines(h, "Set-Cookie", slices.DeleteFunc(slices.Clone(h["Set-Cookie"]), func(line string) bool {
		pair, _, _ := strings.Cut(line, ";")
		name, value, named := strings.Cut(pair, "=")
		if named && trim(name) == "" { // browsers send the value alone
			name, _, _ = strings.Cut(value, "=")
		}
		return strings.EqualFold(trim(name), k.Name)
	}))
	m.opts.Transport.stripAnswer(h)
	setLines(h, "Clear-Site-Data", withoutCookies(h["Clear-Site-Data"]))
}

// allButCookies is what "*" means in Clear-Site-Data, without the cookies.
const allButCookies = `"cache", "clientHints", "executionContexts", "prefetchCache", "prerenderCache", "storage"`

// withoutCookies returns lines of Clear-Site-Data that clear no cookies.
func withoutCookies(lines []string) []string {
	var out []string
	for _, line := range lines {
		var kept []string
		for part := range strings.SplitSeq(line, ",") {
			switch part = trim(part); strings.Trim(part, `"`) {
			case "", "cookies":
			case "*":
				kept = append(kept, allButCookies)
			default:
				kept = append(kept, part)
			}
		}
		if len(kept) > 0 {
			out = append(out, strings.Join(kept, ", "))
		}
	}
	return out
}

// passedOn returns the cookie of a request that is passed on to another host. It
// returns nil if its name is unknown: Options.CookieFor would be asked about the
// wrong host.
func (m *Middleware) passedOn(r *http.Request) *cookieForm {
	if out := m.of(r.Context()); out != nil {
		return out.cookie
	}
	if m.opts.CookieFor != nil {
		return nil
	}
	return &m.cookie
}

// formOf returns the cookie of a request. It returns nil if there is none.
func (m *Middleware) formOf(r *http.Request) *cookieForm {
	if out := m.of(r.Context()); out != nil {
		return out.cookie
	}
	k, err := m.form(r)
	if err != nil {
		return nil
	}
	return k
}
