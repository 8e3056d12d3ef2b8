package sessiontest

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// origin returns scheme, host and port of a URL.
func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// trustworthy reports whether browsers treat the URL as secure: https, and the
// host itself.
func trustworthy(u *url.URL) bool {
	host := u.Hostname()
	if u.Scheme == "https" || u.Scheme == "wss" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// canonicalHost returns the host of a URL in lower case, without the port.
func canonicalHost(u *url.URL) string { return strings.ToLower(u.Hostname()) }

// suffixes are the public suffixes that a browser knows beside single labels.
type suffixes []string

func (s suffixes) public(host string) bool {
	return !isAddress(host) && (!strings.Contains(host, ".") || slices.Contains(s, host))
}

// registrable returns the public suffix of a host with one more label. For an
// address, or a host that is a suffix itself, it returns the host.
func (s suffixes) registrable(host string) string {
	if isAddress(host) || s.public(host) {
		return host
	}
	for rest := host; ; {
		_, up, _ := strings.Cut(rest, ".")
		if s.public(up) {
			return rest
		}
		rest = up
	}
}

// site returns the schemeful site of a URL: "https://example.com".
func (s suffixes) site(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.Scheme + "://" + s.registrable(canonicalHost(u))
}

// relation says how a URL looks from a document, for Sec-Fetch-Site.
func (s suffixes) relation(from, to *url.URL) string {
	switch {
	case origin(from) == origin(to):
		return "same-origin"
	case s.site(from) == s.site(to):
		return "same-site"
	}
	return "cross-site"
}

// domainMatches follows section 5.1.3.
func domainMatches(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain) && !isAddress(host)
}

// pathMatches follows section 5.1.4.
func pathMatches(path, cookie string) bool {
	switch {
	case path == cookie:
		return true
	case !strings.HasPrefix(path, cookie):
		return false
	}
	return strings.HasSuffix(cookie, "/") || path[len(cookie)] == '/'
}

// defaultPath follows section 5.1.4.
func defaultPath(u *url.URL) string {
	path := u.EscapedPath()
	at := strings.LastIndexByte(path, '/')
	if !strings.HasPrefix(path, "/") || at == 0 {
		return "/"
	}
	return path[:at]
}
