package sessionhttp

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/sojourn-go/sojourn/model"
)

// Options configures the web side of sessions. The zero value of every field
// is its default.
type Options struct {
	// Transport says how the token travels. Nil: Cookie.
	Transport Transport
	// CrossOrigin refuses requests that change something and that another
	// site made a browser send, with 403. One of your own has your trusted
	// origins. It does not judge requests that bring a token in a header. Nil:
	// http.NewCrossOriginProtection().
	CrossOrigin *http.CrossOriginProtection
	// AnyOrigin turns CrossOrigin off, for programs that have it in front of
	// Wrap with exceptions of their own.
	AnyOrigin bool
	// TrustedProxies are the proxies whose X-Forwarded-For is believed. Nil:
	// none, and the client is who has connected.
	TrustedProxies []netip.Prefix
	// Address says how much of the client's address is kept with a session.
	Address Address
	// Insecure sends the cookie over plain http too, without the Secure
	// attribute and the __Host- prefix: for development. It is logged once.
	Insecure bool
	// CookieName is the name of the cookie. Empty: __Host-id; __Secure-id
	// with a Domain or another Path than /; id with Insecure.
	CookieName string
	// Domain shares the cookie with the subdomains of a host. Empty: the host
	// alone.
	Domain string
	// Path is where the cookie is sent. Empty: /.
	Path string
	// SameSite is when a request from another site brings the cookie. Zero:
	// Lax.
	SameSite http.SameSite
	// Partitioned keeps a cookie per embedding site (CHIPS).
	Partitioned bool
	// BrowserSession leaves out the cookie's Max-Age: it ends with the
	// browser or with the session's row, whichever is first.
	BrowserSession bool
	// OnError answers a request whose session could not be loaded
	// (LoadError), or not be committed: nothing has been sent, and what the
	// handler wrote is dropped. Status says which status fits. Nil: a line of
	// text, see the package comment.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
	// Logger is told of failures. Nil: slog.Default().
	Logger *slog.Logger
}

// LoadError is what OnError gets where the session could not be loaded.
type LoadError struct{ Err error }

// Error is the text of the store's error.
func (e *LoadError) Error() string { return "session not loaded: " + e.Err.Error() }

// Unwrap returns the store's error.
func (e *LoadError) Unwrap() error { return e.Err }

// cookie returns the cookie without a value, or ErrInvalid for attributes that
// no browser would accept together.
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
	if c.Name == "" {
		c.Name = defaultName(&c)
	}
	bad := ""
	switch {
	case hasPrefix(c.Name, "__Host-") && (!c.Secure || c.Domain != "" || c.Path != "/"):
		bad = "a cookie named __Host- is Secure, has no Domain and the Path /"
	case hasPrefix(c.Name, "__Secure-") && !c.Secure:
		bad = "a cookie named __Secure- is Secure"
	case c.SameSite == http.SameSiteNoneMode && !c.Secure:
		bad = "SameSite=None needs Secure"
	case c.Partitioned && !c.Secure:
		bad = "Partitioned needs Secure"
	case !strings.HasPrefix(c.Path, "/"):
		bad = "a cookie's Path starts with /"
	case len(c.Name) > maxName:
		bad = "a cookie's name has at most 256 bytes"
	}
	if bad == "" && c.Valid() != nil {
		bad = "the cookie's name, Path or Domain has characters that no cookie can have"
	}
	if bad != "" {
		return c, model.NewError(model.ErrInvalid, bad, nil)
	}
	return c, nil
}

// check fills in the defaults of what is not about the cookie, or returns
// ErrInvalid.
func (o *Options) check() error {
	if o.Transport == nil {
		o.Transport = Cookie{}
	}
	if o.CrossOrigin == nil {
		o.CrossOrigin = http.NewCrossOriginProtection()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	for _, p := range o.TrustedProxies {
		if !p.IsValid() {
			return model.NewError(model.ErrInvalid, "a trusted proxy that is no prefix", nil)
		}
	}
	if o.Address > AddressNone {
		return model.NewError(model.ErrInvalid, "an Address that is none", nil)
	}
	return o.Transport.check()
}

const maxName = 256

func defaultName(c *http.Cookie) string {
	switch {
	case !c.Secure:
		return "id"
	case c.Domain != "" || c.Path != "/":
		return "__Secure-id"
	}
	return "__Host-id"
}

// hasPrefix ignores case, as browsers do for these prefixes.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
