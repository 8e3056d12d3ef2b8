package sessionhttp

import (
	"net/http"
	"slices"
	"strings"
)

// StripCookie removes the session's cookie and token from a request, for a proxy
// that passes requests on to a server that must not have them. Other cookies and
// the tokens of other issuers stay.
//
//	proxy := &httputil.ReverseProxy{
//		Rewrite: func(p *httputil.ProxyRequest) {
//			p.SetURL(upstream)
//			m.StripCookie(p.Out)
//		},
//		ModifyResponse: m.StripSetCookie,
//	}
func (m *Middleware) StripCookie(r *http.Request) {
	if k := m.formOf(r); k != nil {
		m.opts.Transport.strip(k, r)
	}
}

// StripSetCookie removes cookies with the name of the session's from the answer
// of a server behind a proxy, so that it can neither set nor clear it. It returns
// nil.
func (m *Middleware) StripSetCookie(res *http.Response) error {
	k := &m.cookie
	if res.Request != nil {
		if k = m.formOf(res.Request); k == nil {
			return nil
		}
	}
	setLines(res.Header, "Set-Cookie", slices.DeleteFunc(slices.Clone(res.Header["Set-Cookie"]), func(line string) bool {
		pair, _, _ := strings.Cut(line, ";")
		name, _, _ := strings.Cut(pair, "=")
		return strings.EqualFold(trim(name), k.Name)
	}))
	return nil
}

// formOf returns the cookie of a request that may be a copy with another host. It
// returns nil if there is none.
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
