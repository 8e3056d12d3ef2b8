package sessionhttp

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Middleware. The zero value of every field is its default.
type Options struct {
	// Transport says how the token travels. Nil means Cookie.
	Transport Transport
	// CrossOrigin answers 403 to requests that can change something and come
	// from another site's page. Set your own to add trusted origins. It does
	// not check requests with a token in a header. Nil means
	// http.NewCrossOriginProtection().
	CrossOrigin *http.CrossOriginProtection
	// AnyOrigin turns CrossOrigin off, for programs that check the origin
	// before Wrap, with their own exceptions.
	AnyOrigin bool
	// TrustedProxies are the proxies whose X-Forwarded-For is trusted. Nil
	// means no proxy: the client is the peer of the connection.
	TrustedProxies []netip.Prefix
	// Address says how much of the client's address is stored with a session.
	Address Address
	// Insecure also sends the cookie over plain http, without the Secure
	// attribute and the __Host- prefix. It is for development only, and New
	// logs a warning.
	Insecure bool
	// CookieName is the name of the cookie. Empty means __Host-id. With a
	// Domain or a Path other than / it means __Secure-id, and with Insecure it
	// means id.
	CookieName string
	// Domain shares the cookie with the subdomains of a host. Empty means only
	// the host.
	Domain string
	// Path is the path below which browsers send the cookie. Empty means /.
	Path string
	// SameSite says which requests from other sites have the cookie. Zero means
	// Lax.
	SameSite http.SameSite
	// Partitioned keeps one cookie for each embedding site (CHIPS).
	Partitioned bool
	// BrowserSession leaves out the cookie's Max-Age. The cookie then ends with
	// the browser, and the session still ends with its row.
	BrowserSession bool
	// OnError answers a request whose session could not be loaded (LoadError)
	// or committed. Nothing was sent before, and the handler's answer is
	// dropped. Status returns the right status. Nil means a line of text: see
	// the package comment.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets errors. Nil means slog.Default().
	Logger *slog.Logger
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
	if c.Name == "" {
		c.Name = defaultName(&c)
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
		return c, model.NewError(model.ErrInvalid, bad, nil)
	}
	return c, nil
}

// check fills in the defaults of all fields that are not about the cookie. It
// returns model.ErrInvalid for invalid ones.
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
			return model.NewError(model.ErrInvalid, "Options: a prefix in TrustedProxies is invalid", nil)
		}
	}
	if o.Address > AddressNone {
		return model.NewError(model.ErrInvalid, "Options: Address is unknown, use one of the constants", nil)
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

// hasPrefix ignores case, as browsers do with these prefixes.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
