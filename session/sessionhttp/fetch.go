package sessionhttp

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// passive reports whether a request is no use of its session.
func (m *Middleware) passive(r *http.Request) bool {
	return prefetch(r) || m.opts.Passive != nil && m.opts.Passive(r)
}

// prefetch reports whether a browser asks for a page before the user does.
// Sec-Purpose is "prefetch", perhaps with parameters such as prerender. Purpose
// and X-Moz are what browsers sent before. Browsers fetch only what is safe.
func prefetch(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Moz", "X-Purpose"} {
		for _, line := range r.Header[name] {
			word, _, _ := strings.Cut(line, ";")
			switch strings.ToLower(trim(word)) {
			case "prefetch", "prerender", "preview":
				return true
			}
		}
	}
	return false
}

// navigation reports whether the answer goes to a window, and not to a script, a
// beacon or a prefetch. Programs and older browsers say nothing: they count.
func navigation(r *http.Request) bool {
	return (len(r.Header["Sec-Fetch-Mode"]) == 0 || says(r, "Sec-Fetch-Mode", "navigate")) && !prefetch(r)
}

// says reports whether the header is there once, with the value. Browsers send it
// once, so another one would be of somebody in between.
func says(r *http.Request, header, value string) bool {
	lines := r.Header[header]
	return len(lines) == 1 && lines[0] == value
}

// withoutCookie reports whether a page of another site caused the request, so
// that the browser leaves out a cookie with this SameSite attribute. Then the
// absence of the cookie says nothing about the visitor.
func withoutCookie(k *cookieForm, r *http.Request) bool {
	if k.SameSite == http.SameSiteNoneMode || !crossSite(k, r) {
		return false
	}
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	// Lax sends the cookie with a link from another site.
	link := safe && says(r, "Sec-Fetch-Mode", "navigate") && topLevel(r)
	return k.SameSite == http.SameSiteStrictMode || !link
}

// topLevel reports whether the answer goes to a tab and not to a frame.
func topLevel(r *http.Request) bool {
	return len(r.Header["Sec-Fetch-Dest"]) == 0 || says(r, "Sec-Fetch-Dest", "document")
}

// crossSite reports whether a page of another site caused the request. A browser
// without Fetch metadata says the origin, but not with a link. Its site is another
// one unless one of the two hosts is below the other, or both are below the
// cookie's Domain. The owner of a host's neighbours is not known here.
func crossSite(k *cookieForm, r *http.Request) bool {
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 {
		return slices.Contains(site, "cross-site")
	}
	return slices.ContainsFunc(r.Header["Origin"], func(origin string) bool { return ofAnotherSite(k, r, origin) })
}

// ofAnotherSite is crossSite for an origin.
func ofAnotherSite(k *cookieForm, r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return true // "null" is the origin of what has none, such as a redirect
	}
	there, here := strings.ToLower(u.Hostname()), strings.ToLower(hostname(r.Host))
	if under(there, here) || under(here, there) {
		return false
	}
	domain := strings.ToLower(strings.TrimPrefix(k.Domain, "."))
	return domain == "" || !under(there, domain) || !under(here, domain)
}

func under(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// hostname returns a host without its port.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}
