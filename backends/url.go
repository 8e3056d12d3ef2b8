package backends

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/sojourn-go/sojourn/model"
)

// Parse parses a URL as Open does. Unlike url.Parse it knows several hosts,
// separated by commas, each with or without a port: they are in the Host of the
// result. Its error, ErrInvalid, does not quote the URL.
func Parse(rawURL string) (*url.URL, error) {
	fail := func() (*url.URL, error) {
		return nil, model.NewError(model.ErrInvalid, "the URL cannot be parsed: its form is scheme://user:password@host:port/…, with %2F %3F %23 %40 %25 for / ? # @ % in a password", nil)
	}
	scheme, rest, found := strings.Cut(rawURL, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	start := strings.LastIndexByte(rest[:end], '@') + 1
	hosts := rest[start:end]
	first, _, several := strings.Cut(hosts, ",")
	if !found || !several {
		u, err := url.Parse(rawURL)
		if err != nil {
			return fail() // the parser's error quotes the URL
		}
		return u, nil
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if u, err := url.Parse(scheme + "://" + host); err != nil || u.Host != host {
			return fail()
		}
	}
	u, err := url.Parse(scheme + "://" + rest[:start] + first + rest[end:])
	if err != nil {
		return fail()
	}
	u.Host = hosts
	return u, nil
}

// hidden stands for what Redact does not show.
const hidden = "xxxxx"

// Redact returns the URL for logs and messages, without secrets: passwords,
// the parameters that its backend calls secret, and parameters of unknown
// backends. If it is not certain where a password ends, only the scheme is
// left.
func Redact(rawURL string) string {
	u, err := Parse(rawURL)
	if err != nil || u.Scheme == "" {
		return hidden
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || suspect(u) {
		return u.Scheme + ":" + hidden
	}
	var known Params
	for _, param := range ParamsOf(u.Scheme) {
		known.bind(param, nil)
	}
	for name, values := range query {
		b := known.find(name)
		for i, value := range values {
			if b == nil || b.Secret || strings.Contains(value, "@") { // an address may have a password of its own
				values[i] = hidden
			}
		}
	}
	if u.Opaque != "" && strings.Contains(u.Opaque, "@") || strings.Contains(u.Path, "@") && strings.Contains(u.Path, ":") {
		return u.Scheme + ":" + hidden // a slash too few or too many before the password
	}
	u.RawQuery = query.Encode()
	return u.Redacted()
}

// suspect reports whether a part of the URL behind its host may belong to a
// password in which ? # or / are not escaped: such a part has the @ that ends
// the password, or is a fragment, which no URL of a backend needs.
func suspect(u *url.URL) bool {
	return u.Fragment != "" || strings.Contains(u.RawQuery, "@") || u.Host != "" && strings.Contains(u.Path, "@")
}

// File returns the path of a URL such as scheme:data, which is relative to the
// working directory, or scheme:/var/data or scheme:///var/data. It returns
// ErrInvalid with the form, such as file:DIR?name=store, for a URL with a host, a
// user or no path.
func File(u *url.URL, form string) (string, error) {
	path := u.Path
	if u.Opaque != "" {
		path, _ = url.PathUnescape(u.Opaque) // empty after an error
	}
	if path == "" || u.Host != "" || u.User != nil {
		return "", model.NewError(model.ErrInvalid, "the form is "+form+", with a path such as "+u.Scheme+":data or "+u.Scheme+":///var/lib/data and without a host", nil)
	}
	return path, nil
}

// Hosts returns the addresses of a URL's hosts, which commas separate, and of
// further ones that parameters name. An address without a port gets the given
// one. Hosts returns ErrInvalid for an empty host or an impossible port.
func Hosts(u *url.URL, more []string, port string) ([]string, error) {
	all := append(strings.Split(u.Host, ","), more...)
	for i, address := range all {
		if !strings.Contains(address, ":") || strings.HasSuffix(address, "]") {
			address += ":" + port
		}
		name, at, err := net.SplitHostPort(address)
		n, notNumber := strconv.ParseUint(at, 10, 16)
		if err != nil || notNumber != nil || n == 0 || name == "" || strings.ContainsAny(name, "/@, ") {
			return nil, model.NewError(model.ErrInvalid, "one of the URL's hosts is not of the form host:port, with a port from 1 to 65535", nil)
		}
		all[i] = net.JoinHostPort(name, at)
	}
	return all, nil
}
