package sessionhttp

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// cookieForm is the cookie without a value.
type cookieForm struct {
	http.Cookie
	browserSession bool // without Max-Age

	// The line of the cookie without its value and Max-Age, made once. Empty for a
	// cookie of CookieFor.
	before, after string
}

// newCookieForm makes the line of a cookie whose attributes are checked.
func newCookieForm(c http.Cookie, browserSession bool) cookieForm {
	k := cookieForm{Cookie: c, browserSession: browserSession}
	// HttpOnly, which every cookie here has, follows Max-Age.
	if before, after, ok := strings.Cut(c.String(), "; HttpOnly"); ok && strings.HasPrefix(before, c.Name+"=") {
		k.before, k.after = before[len(c.Name)+1:], "; HttpOnly"+after
	}
	return k
}

// give adds the cookie of a credential.
func (k *cookieForm) give(h http.Header, c session.Credential) {
	if c.Action == session.ActionClear {
		k.clear(h, true)
		return
	}
	h.Add("Set-Cookie", k.line(c))
}

// line returns the Set-Cookie of a credential.
func (k *cookieForm) line(c session.Credential) string {
	seconds := 0
	if c.Persistence == session.PersistencePersistent || c.Persistence == session.PersistenceDefault && !k.browserSession {
		seconds = int(c.MaxAge / time.Second)
	}
	if k.after == "" {
		cookie := k.Cookie //nolint:gosec // its attributes were checked by form
		cookie.Value, cookie.MaxAge = c.Token(), seconds
		return cookie.String()
	}
	var b strings.Builder
	token := c.Token() // has only characters that cookies allow
	b.Grow(len(k.Name) + 1 + len(token) + len(k.before) + len("; Max-Age=34560000") + len(k.after))
	b.WriteString(k.Name)
	b.WriteByte('=')
	b.WriteString(token)
	b.WriteString(k.before)
	if seconds > 0 {
		b.WriteString("; Max-Age=")
		var room [20]byte
		b.Write(strconv.AppendInt(room[:0], int64(seconds), 10))
	}
	b.WriteString(k.after)
	return b.String()
}

// clear ends the cookies of the name that a browser may have: with and without
// the Domain, the Path and Partitioned. A browser keeps each of these apart. Own
// says whether that with the attributes in use ends too.
func (k *cookieForm) clear(h http.Header, own bool) {
	domains, paths, parts := variants(k.Domain, ""), variants(k.Path, "/"), []bool{k.Partitioned}
	if k.Secure {
		parts = append(parts, !k.Partitioned)
	}
	if hasPrefix(k.Name, "__Host-") {
		domains, paths = domains[:1], paths[:1] // browsers refuse the others
	}
	for _, domain := range domains {
		for _, path := range paths {
			for _, partitioned := range parts {
				if !own && domain == k.Domain && path == k.Path && partitioned == k.Partitioned {
					continue
				}
				cookie := k.Cookie //nolint:gosec // as above
				cookie.Domain, cookie.Path, cookie.Partitioned, cookie.MaxAge = domain, path, partitioned, -1
				h.Add("Set-Cookie", cookie.String())
			}
		}
	}
}

func variants(configured, plain string) []string {
	if configured == plain {
		return []string{plain}
	}
	return []string{configured, plain}
}

// cookie returns the cookie without a value. It returns model.ErrInvalid for
// attributes that browsers do not accept together.
func (o *Options) cookie() (http.Cookie, error) {
	c := http.Cookie{ //nolint:gosec // Secure is off by the explicit option alone
		Name: o.CookieName, Path: o.Path, Domain: o.Domain,
		Secure: !o.Insecure, HttpOnly: true,
		SameSite: o.SameSite, Partitioned: o.Partitioned,
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if c.SameSite == 0 || c.SameSite == http.SameSiteDefaultMode {
		c.SameSite = http.SameSiteLaxMode
	}
	err := checkCookie(&c)
	return c, err
}

// checkCookie fills in the default name. It returns model.ErrInvalid for a cookie
// that browsers refuse.
func checkCookie(c *http.Cookie) error { //nolint:gosec // it checks a cookie and makes none
	if c.Name == "" {
		c.Name = defaultName(c)
	}
	bad := ""
	switch {
	case hasPrefix(c.Name, "__Host-") && (!c.Secure || c.Domain != "" || c.Path != "/"):
		bad = "a cookie named __Host- must be Secure, without a Domain and with the Path /"
	case hasPrefix(c.Name, "__Secure-") && !c.Secure:
		bad = "a cookie named __Secure- must be Secure"
	case c.SameSite == http.SameSiteNoneMode && !c.Secure:
		bad = "SameSite=None needs Secure"
	case c.Partitioned && !c.Secure:
		bad = "Partitioned needs Secure"
	case !strings.HasPrefix(c.Path, "/"):
		bad = "a cookie's Path must start with /"
	case len(c.Name) > maxName:
		bad = "a cookie's name must have at most 256 bytes"
	}
	if bad == "" && c.Valid() != nil {
		bad = "the cookie's name, Path or Domain has characters that cookies do not allow"
	}
	if bad != "" {
		return model.NewError(model.ErrInvalid, bad, nil)
	}
	return nil
}

const maxName = 256

// defaultName returns another name for each scope. A browser sends the cookies of
// all scopes that hold a page, and says the name alone.
func defaultName(c *http.Cookie) string {
	name := "id"
	switch {
	case c.Path != "/" && c.Domain != "":
		name = "domain-path-id"
	case c.Path != "/":
		name = "path-id"
	case c.Domain != "" && !c.Secure:
		name = "domain-id"
	}
	switch {
	case !c.Secure:
		return name
	case c.Domain != "" || c.Path != "/":
		return "__Secure-" + name
	}
	return "__Host-" + name
}

// hasPrefix ignores case, as browsers do with these prefixes.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
