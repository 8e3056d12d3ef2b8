package sessiontest

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// perDomain is how many cookies a site keeps, as in Chromium. Section 6.1 asks
// for 50 at least.
const perDomain = 180

// StoredCookie is a cookie that a browser keeps.
type StoredCookie struct {
	Name, Value string
	Domain      string // without a leading dot
	HostOnly    bool   // only this host gets it
	Path        string
	Secure      bool
	HTTPOnly    bool
	SameSite    SameSite
	Partition   string    // the top-level site of a Partitioned cookie, or empty
	CreatedAt   time.Time // of the first cookie in its place
	ExpiresAt   time.Time // zero: until the browser ends

	made, used uint64 // order of creation and of the last use
}

// String returns the cookie like a Set-Cookie line, with the value.
func (c *StoredCookie) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s=%s; Path=%s; SameSite=%s", c.Name, c.Value, c.Path, c.SameSite)
	if !c.HostOnly {
		b.WriteString("; Domain=" + c.Domain)
	}
	for _, flag := range []struct {
		on   bool
		name string
	}{{c.Secure, "Secure"}, {c.HTTPOnly, "HttpOnly"}, {c.Partition != "", "Partitioned"}} {
		if flag.on {
			b.WriteString("; " + flag.name)
		}
	}
	return b.String()
}

// jar is a cookie store: sections 5.7 and 5.8.
type jar struct {
	now      func() time.Time
	suffixes suffixes
	laxPOST  bool

	mu      sync.Mutex
	cookies []*StoredCookie
	count   uint64
}

// party is what the jar has to know about a request.
type party struct {
	crossSite bool // section 5.2
	topLevel  bool // it navigates a tab
	safe      bool // its method is safe
	partition string
	blocked   bool // only partitioned cookies
}

// store follows section 5.7 for one Set-Cookie line in an answer from u. It
// returns why the browser ignores the cookie, or "".
func (j *jar) store(line string, u *url.URL, p party) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now()
	r, ok := parseSetCookie(line, now)
	if !ok {
		return "it is malformed or too large"
	}
	j.count++
	c := &StoredCookie{
		Name: r.name, Value: r.value, Path: r.path, Secure: r.secure, HTTPOnly: r.httpOnly, SameSite: r.sameSite,
		CreatedAt: now, ExpiresAt: r.expiresAt, made: j.count, used: j.count,
	}
	host := canonicalHost(u)
	if why := j.place(c, r.domain, host); why != "" {
		return why
	}
	if c.Path == "" {
		c.Path = defaultPath(u)
	}
	if r.partitioned {
		c.Partition = p.partition
	}
	if why := j.refused(c, &r, u, p); why != "" {
		return why
	}
	j.evict(now)
	if i := slices.IndexFunc(j.cookies, c.replaces); i >= 0 {
		if c.Value == j.cookies[i].Value { // as Chromium: see Browser
			c.CreatedAt, c.made = j.cookies[i].CreatedAt, j.cookies[i].made
		}
		j.cookies = slices.Delete(j.cookies, i, i+1)
	}
	j.cookies = append(j.cookies, c)
	j.evict(now)
	j.shrink(c)
	return ""
}

// place sets the cookie's domain: steps 8 to 10 of section 5.7.
func (j *jar) place(c *StoredCookie, domain, host string) string {
	if strings.ContainsFunc(domain, func(r rune) bool { return r > 0x7f }) {
		return "its Domain is not ASCII"
	}
	if j.suffixes.public(domain) && domain != "" {
		if domain != host {
			return "its Domain is a public suffix"
		}
		domain = ""
	}
	if domain == "" {
		c.Domain, c.HostOnly = host, true
		return ""
	}
	if !domainMatches(host, domain) {
		return "its Domain is of another host"
	}
	c.Domain = domain
	return ""
}

// refused says why steps 13 to 22 of section 5.7 ignore the cookie. Partitioned
// cookies need Secure: see CHIPS, draft-cutler-httpbis-partitioned-cookies.
func (j *jar) refused(c *StoredCookie, r *received, u *url.URL, p party) string {
	secure := trustworthy(u)
	switch {
	case p.blocked && !r.partitioned:
		return "it is of a third party"
	case c.Secure && !secure:
		return "it is Secure and the connection is not"
	case !c.Secure && !secure && slices.ContainsFunc(j.cookies, c.overlays):
		return "it would hide a Secure cookie"
	case c.SameSite != SameSiteNone && p.crossSite && !p.topLevel:
		return "it is SameSite and the request is cross-site"
	case c.SameSite == SameSiteNone && !c.Secure:
		return "it is SameSite=None without Secure"
	case hasFold(c.Name, "__Secure-") && !c.Secure:
		return "it is named __Secure- without Secure"
	case hasFold(c.Name, "__Host-") && (!c.Secure || !c.HostOnly || !r.hasPath || c.Path != "/"):
		return "it is named __Host- and not Secure, of the host alone and with the Path /"
	case (hasFold(c.Name, "__Http-") || hasFold(c.Name, "__Host-Http-")) && (!c.Secure || !c.HTTPOnly):
		return "it is named __Http- and not Secure and HttpOnly"
	case c.Name == "" && slices.ContainsFunc([]string{"__Secure-", "__Host-", "__Http-"}, func(p string) bool { return hasFold(c.Value, p) }):
		return "its value looks like a name with a prefix"
	case r.partitioned && !c.Secure:
		return "it is Partitioned without Secure"
	}
	return ""
}

func hasFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// replaces reports whether the cookie takes the place of another: step 23.
func (c *StoredCookie) replaces(old *StoredCookie) bool {
	return c.Name == old.Name && c.Domain == old.Domain && c.HostOnly == old.HostOnly && c.Path == old.Path && c.Partition == old.Partition
}

// overlays reports whether an insecure cookie would hide a Secure one: step 16.
func (c *StoredCookie) overlays(old *StoredCookie) bool {
	return c.Name == old.Name && old.Secure && (domainMatches(old.Domain, c.Domain) || domainMatches(c.Domain, old.Domain)) && pathMatches(c.Path, old.Path)
}

// evict removes what has expired.
func (j *jar) evict(now time.Time) {
	j.cookies = slices.DeleteFunc(j.cookies, func(c *StoredCookie) bool { return !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(now) })
}

// shrink keeps the limit of a site. Cookies without Secure go first, then those
// that were not used for the longest time.
func (j *jar) shrink(added *StoredCookie) {
	site := j.suffixes.registrable(added.Domain)
	var same []*StoredCookie
	for _, c := range j.cookies {
		if c.Partition == added.Partition && j.suffixes.registrable(c.Domain) == site {
			same = append(same, c)
		}
	}
	for len(same) > perDomain {
		worst := slices.MinFunc(same, func(a, b *StoredCookie) int {
			if a.Secure != b.Secure {
				if a.Secure {
					return 1
				}
				return -1
			}
			return cmp.Compare(a.used, b.used)
		})
		same = slices.DeleteFunc(same, func(c *StoredCookie) bool { return c == worst })
		j.cookies = slices.DeleteFunc(j.cookies, func(c *StoredCookie) bool { return c == worst })
	}
}

// header returns the Cookie header for a request to u: section 5.8.3.
func (j *jar) header(u *url.URL, p party) string {
	var out []string
	for _, c := range j.sent(u, p) {
		if c.Name == "" {
			out = append(out, c.Value)
			continue
		}
		out = append(out, c.Name+"="+c.Value)
	}
	return strings.Join(out, "; ")
}

// sent returns the cookies that a request to u has, in their order.
func (j *jar) sent(u *url.URL, p party) []*StoredCookie {
	j.mu.Lock()
	defer j.mu.Unlock()
	now, host, path := j.now(), canonicalHost(u), u.EscapedPath()
	if path == "" {
		path = "/"
	}
	j.evict(now)
	var out []*StoredCookie
	for _, c := range j.cookies {
		switch {
		case c.HostOnly && c.Domain != host, !c.HostOnly && !domainMatches(host, c.Domain):
		case !pathMatches(path, c.Path):
		case c.Secure && !trustworthy(u):
		case c.Partition != "" && c.Partition != p.partition, c.Partition == "" && p.blocked:
		case p.crossSite && !j.crosses(c, p, now):
		default:
			j.count++
			c.used = j.count
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b *StoredCookie) int {
		return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.made, b.made))
	})
	return out
}

// crosses reports whether a cross-site request has the cookie. Section 5.6.7.2
// has the exception for young cookies.
func (j *jar) crosses(c *StoredCookie, p party, now time.Time) bool {
	switch c.SameSite {
	case SameSiteNone:
		return true
	case SameSiteStrict:
		return false
	case SameSiteDefault:
		return p.topLevel && (p.safe || j.laxPOST && now.Sub(c.CreatedAt) <= 2*time.Minute)
	}
	return p.topLevel && p.safe
}

// remove removes the cookies for which the function returns true.
func (j *jar) remove(del func(*StoredCookie) bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cookies = slices.DeleteFunc(j.cookies, del)
}

// all returns copies of the cookies, the oldest first.
func (j *jar) all() []StoredCookie {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.evict(j.now())
	out := make([]StoredCookie, len(j.cookies))
	for i, c := range j.cookies {
		out[i] = *c
	}
	slices.SortFunc(out, func(a, b StoredCookie) int { return cmp.Compare(a.made, b.made) })
	return out
}
