package browser

import (
	"net/http"
	"strings"

	"github.com/sojourn-go/sojourn/session/sessiontest"
)

const (
	here    = "https://app.example.com/dir/page"
	sibling = "https://other.example.com/"
	foreign = "https://evil.test/"
)

// row is a list of Set-Cookie lines, and where the requests after them go.
type row struct {
	name string
	set  []string // "URL line"; without a URL from https://app.example.com/dir/page
	to   string   // empty: https://app.example.com/dir/page
	all  bool     // by every kind of request, from pages of three sites
}

// request is one that a page makes.
type request struct {
	page   string
	kind   sessiontest.Kind
	method string
	to     string
}

func (r row) requests() []request {
	to := r.to
	if to == "" {
		to = here
	}
	out := []request{{"", sessiontest.Typed, "", to}}
	if !r.all {
		return out
	}
	for _, page := range []string{here, sibling, foreign} {
		out = append(
			out,
			request{page, sessiontest.Navigate, "", to}, request{page, sessiontest.Navigate, http.MethodPost, to},
			request{page, sessiontest.Image, "", to}, request{page, sessiontest.Fetch, "", to}, request{page, sessiontest.Beacon, "", to},
		)
	}
	return out
}

var rows = []row{
	{name: "one name, two paths", set: []string{"a=1; Path=/", "a=2; Path=/dir/page", "a=3; Path=/dir"}},
	{name: "one name, host and Domain", set: []string{"https://example.com/ a=1; Path=/", "https://example.com/ a=2; Path=/; Domain=example.com"}, to: "https://example.com/"},
	{name: "one name, a Domain removes no host cookie", set: []string{"a=1; Path=/", "a=; Path=/; Domain=app.example.com; Max-Age=0"}},
	{name: "one name, a new value", set: []string{"a=1; Path=/", "b=2; Path=/", "a=3; Path=/"}},
	{name: "one name, the same value again", set: []string{"a=1; Path=/", "b=2; Path=/", "a=1; Path=/; HttpOnly"}},
	{name: "one name, a new value, Domain", set: []string{"a=1; Path=/; Domain=example.com", "a=2; Path=/", "a=3; Path=/; Domain=example.com"}},
	{name: "one name, a removed cookie loses its place", set: []string{"a=1; Path=/", "b=2; Path=/", "a=; Path=/; Max-Age=0", "a=3; Path=/"}},
	{name: "one name, partitioned beside one that is not", set: []string{"a=1; Secure; Path=/", "a=2; Secure; Path=/; Partitioned"}},
	{name: "one name, http beside Secure", set: []string{"a=1; Secure; Path=/dir", "http://app.example.com/ a=2; Path=/"}},
	{name: "one name, http over Secure", set: []string{"a=1; Secure; Path=/", "http://app.example.com/ a=2; Path=/"}},
	{name: "one name, http over Secure below it", set: []string{"a=1; Secure; Path=/", "http://app.example.com/dir/page a=2; Path=/dir"}},
	{name: "one name, http of a subdomain over Secure", set: []string{"https://example.com/ a=1; Secure; Path=/", "http://app.example.com/ a=2; Path=/"}},
	{name: "one name, http for the Domain of a Secure one", set: []string{"a=1; Secure; Path=/", "http://sub.app.example.com/ a=2; Path=/; Domain=app.example.com"}},

	{name: "pairs", set: []string{"token", "a", "b=", "=c", "d==", "e= 1 2 ", ` f="1"`, "g=1;;", "h = 2", "=i=3", "=", "= =j", "==k"}},
	{name: "neither name nor value", set: []string{"=", ";", "; Secure", " "}},
	{name: "a tab, a control character, a space of Unicode", set: []string{"a=1\t2", "b=\x01", "x\ty=1", "\tz\t=\t1\t; \tSecure\t; Max-Age\t=\t100\t", "f=1; Path=/dir\t", "g=1; Path=/d\tir", "h=1; Foo=b\tar", "i=1; F\too", "\u00a0c=1", "d=\x7f", "e=ä"}},
	{name: "4096 bytes", set: []string{"a=" + strings.Repeat("x", 4095), "b=" + strings.Repeat("x", 4096)}},
	{name: "long attributes", set: []string{"a=1; Path=/" + strings.Repeat("x", 1024), "b=1; Domain=" + strings.Repeat("x", 1025), "c=1; Path=/" + strings.Repeat("x", 1023)}},

	{name: "Max-Age", set: []string{"a=1; Max-Age=100", "b=1; Max-Age=0", "c=1; Max-Age=-1", "d=1; Max-Age=1s", "e=1; Max-Age=+100", "f=1; Max-Age=", "g=1; Max-Age=99999999999999999999", "h=1; Max-Age=99999999", "i=1; Max-Age=100; Max-Age=200", `j=1; Max-Age="100"`, "k=1; Max-Age=0100", "l=1; Max-Age=1.5", "m=1; Max-Age=-0", "n=1; Max-Age= 100 "}},
	{name: "Max-Age removes", set: []string{"a=1", "a=2; Max-Age=0", "b=1", "b=2; Max-Age=-99999999999999999999"}},
	{name: "Max-Age of nonsense after a good one", set: []string{"a=1; Max-Age=100; Max-Age=x", "b=1; Max-Age=-"}},
	{name: "Expires", set: []string{"a=1; Expires=Wed, 02 Jan 2030 04:00:00 GMT", "b=1; Expires=Thu, 01-Jan-70 00:00:01 GMT", "c=1; Expires=Wed, 02 Jan 2099 04:00:00 GMT", "d=1; Expires=2 jan 30 03:05:05 zone", "e=1; Expires=Wed, 31 Feb 2000 04:00:00 GMT", "f=1; Expires=soon", "g=1; Expires=0", "h=1; Expires=Wed, 02 Jan 1600 04:00:00 GMT", "i=1; Expires=Wed, 02 Jan 0100 04:00:00 GMT", "j=1; Expires=Wed, 02 Jan 100 04:00:00 GMT", "k=1; Expires=Wed, 00 Jan 2030 04:00:00 GMT", "l=1; Expires=Wed, 02 Jan 2030 24:00:00 GMT", "m=1; Expires=Wed, 30 Feb 2030 04:00:00 GMT", "n=1; Expires=Wed, 02 Jan 20300 04:00:00 GMT", "o=1; Expires=Wed, 02 Jan 19701 04:00:00 GMT"}},
	{name: "Expires removes", set: []string{"a=1", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}},
	{name: "Max-Age and Expires of nonsense", set: []string{"a=1; Max-Age=x; Expires=Wed, 02 Jan 2030 04:00:00 GMT", "b=1; Max-Age=; Expires=Wed, 02 Jan 2030 04:00:00 GMT", "c=1; Expires=Wed, 02 Jan 2030 04:00:00 GMT; Expires=x", "d=1; Expires=Wed, 02 Jan 2030 04:00:00 GMT; Expires=", "e=1; Max-Age=++1; Expires=Wed, 02 Jan 2030 04:00:00 GMT", "f=1; Max-Age=+; Expires=Wed, 02 Jan 2030 04:00:00 GMT"}},
	{name: "Max-Age and Expires", set: []string{"a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:01 GMT", "b=1; Expires=Wed, 02 Jan 2030 04:00:00 GMT; Max-Age=0"}},

	{name: "Domain", set: []string{"a=1; Domain=.Example.COM; Path=/", "b=1; Domain=other.example.com", "c=1; Domain=com", "d=1; Domain=exämple.com", "e=1; Domain=evil.test; Domain=example.com; Path=/", "f=1; Domain=", "g=1; Domain=..example.com", "h=1; Domain=example.com.", "i=1; Domain=ample.com", "j=1; Domain=example.com; Domain="}},
	{name: "Domain has its subdomains", set: []string{"a=1; Domain=example.com; Path=/", "b=1; Path=/"}, to: "https://x.y.example.com/"},
	{name: "Domain of a subdomain", set: []string{"https://example.com/ a=1; Domain=app.example.com; Path=/"}},
	{name: "Domain is a public suffix", set: []string{"https://co.uk/ a=1; Domain=co.uk", "https://x.co.uk/ b=1; Domain=co.uk", "https://x.co.uk/ c=1; Domain=x.co.uk"}, to: "https://x.co.uk/"},

	{name: "Path", set: []string{"a=1", "b=1; Path=/dir", "c=1; Path=/dir/", "d=1; Path=x", "e=1; Path=", "f=1; Path=/; Path=/dir", "g=1; Path=/di", "h=1; Path=/dir/page/", "i=1; Path"}},

	{name: "Secure", set: []string{"http://app.example.com/ a=1; Secure", "b=1; Secure; Path=/", "c=1; Path=/", "d=1; Secure=false; Path=/"}, to: "http://app.example.com/"},
	{name: "Secure on localhost", set: []string{"http://localhost/ a=1; Secure"}, to: "http://localhost/"},

	{name: "prefix __Secure-", set: []string{"__Secure-a=1; Secure", "__Secure-b=1", "__SECURE-c=1", "__SECURE-d=1; Secure", "http://app.example.com/ __Secure-e=1; Secure"}},
	{name: "prefix __Host-", set: []string{"__Host-a=1; Secure; Path=/", "__Host-b=1; Path=/", "__hOst-c=1; Secure; Path=/; Domain=app.example.com", "https://app.example.com/ __Host-d=1; Secure", "__Host-e=1; Secure; Path=/dir", "__HOST-f=1; Secure; Path=/", "__Host-g=1; Secure; Path=/; Domain="}},
	{name: "prefix in a value without a name", set: []string{"=__Host-a=1; Path=/", "=ok", "__Host-b", "=__Secure-c", "= __Host-d=1; Secure; Path=/", "__host-; Secure; Path=/"}},
	{name: "prefix after a space of Unicode", set: []string{sibling + " \u00a0__Host-a=1; Secure; Path=/; Domain=example.com"}},
	{name: "prefix __Http-", set: []string{"__Http-a=1; Secure; Path=/", "__Http-b=1; Secure; HttpOnly; Path=/", "__Host-Http-c=1; Secure; Path=/", "__Host-Http-d=1; Secure; HttpOnly; Path=/", "__HTTP-e=1; Secure", "=__Http-f", "= __Host-http-h", "__hOst-httP-i=1; Secure; HttpOnly; Path=/; Domain=app.example.com", "__Host-Http-g=1; Secure; HttpOnly; Path=/dir"}},

	{name: "SameSite", set: []string{"a=1", "b=1; SameSite=Lax", "c=1; SameSite=strict", "d=1; SameSite=None; Secure", "e=1; SameSite=None", "f=1; SameSite=Foo", "g=1; SameSite=None; SameSite=Strict; Secure", "h=1; SameSite", "i=1; SameSite=Strict; SameSite=Foo"}, all: true},
	{name: "SameSite from http", set: []string{"http://app.example.com/dir/page a=1; SameSite=Strict", "http://app.example.com/dir/page b=1; SameSite=None; Secure"}},
	{name: "Partitioned", set: []string{"a=1; Secure; Partitioned; Path=/", "b=1; Partitioned", "c=1; Secure; Partitioned; SameSite=None; Path=/", "__Host-d=1; Secure; Partitioned; Path=/", "e=1; Secure; Partitioned; Domain=example.com; Path=/"}, all: true},
	{name: "Partitioned, removing one leaves the other", set: []string{"a=1; Secure; Path=/", "a=2; Secure; Path=/; Partitioned", "a=; Secure; Path=/; Max-Age=0"}},
	{name: "HttpOnly", set: []string{"a=1; HttpOnly", "b=1; httponly=no"}},
}
