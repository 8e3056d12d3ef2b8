package sessionhttp

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

const (
	// noStore is the Cache-Control of answers that no cache may keep.
	noStore = "private, no-store"
	// defaultForm is the default of Options.CSRFMaxBytes.
	defaultForm = 1 << 20
)

// Options configures a Middleware. The zero value of every field is its default.
type Options struct {
	// Transport says how the token travels. Nil means Cookie.
	Transport Transport
	// AnswerBy chooses the transport of a new token, for a request that brought
	// none and a Transport that is Both. For example, it returns Bearer for
	// "Accept: application/json". It returns one of the two, or nil for the
	// first one. Nil means the first one always.
	AnswerBy func(r *http.Request) Transport
	// Identity returns who an authenticator of the program's own says the client
	// is: the claims of a JWT, the headers of a proxy for single sign-on, a
	// certificate. The session is then that of Service.OpenFor, and the
	// request's own tokens are not read. It returns false for a client that it
	// does not know. An error is for OnError. Since browsers send certificates
	// and cookies of proxies by themselves, CrossOrigin checks such requests
	// too. Nil knows nobody.
	Identity func(r *http.Request) (id session.Identity, ok bool, err error)
	// CrossOrigin answers 403 to requests that can change something and come
	// from another site's page. Set your own to add trusted origins. It does
	// not check requests with a token in a header. Nil means
	// http.NewCrossOriginProtection().
	CrossOrigin *http.CrossOriginProtection
	// AnyOrigin turns CrossOrigin off, for programs that check the origin
	// before Wrap, with their own exceptions.
	AnyOrigin bool
	// StrictCSRF makes RequireCSRF check the token of same-origin requests too.
	// So a page of an earlier user cannot act as the one who is signed in now.
	StrictCSRF bool
	// CSRFMaxBytes bounds the form that RequireCSRF reads. Zero means 1 MiB.
	CSRFMaxBytes int64
	// Passive reports whether a request is no use of the session, for example a
	// poll. It then moves no deadline, rotates no secret, and Take removes
	// nothing. Nil means none. Prefetches, which browsers mark with Sec-Purpose,
	// are passive in any case.
	Passive func(r *http.Request) bool
	// CacheControl is the Cache-Control of answers that used the session of
	// somebody who is signed in, if the handler set none. So no page is shown
	// after the sign-out by the back button or a cache. Empty means "private,
	// no-store", and "-" means no header.
	CacheControl string
	// TrustedProxies are the proxies whose header is trusted. Nil means no
	// proxy: the client is the peer of the connection.
	TrustedProxies []netip.Prefix
	// TrustUnixPeers also trusts the peers of Unix sockets, which have no
	// address.
	TrustUnixPeers bool
	// ProxyHeader is the header of those proxies. It is the only one that is
	// read, since clients can set the other. Zero means X-Forwarded-For.
	ProxyHeader ProxyHeader
	// Address says how much of the client's address is stored with a session.
	Address Address
	// Insecure also sends the cookie over plain http, without the Secure
	// attribute and the __Host- prefix. It is for development only, and New
	// logs a warning.
	Insecure bool
	// CookieName is the name of the cookie. Empty means __Host-id. With a Domain
	// it means __Secure-id, with a Path other than / __Secure-path-id, and with
	// both __Secure-domain-path-id. With Insecure these are id, domain-id,
	// path-id and domain-path-id. The names differ since a page can have the
	// cookies of all these scopes.
	CookieName string
	// Domain shares the cookie with the subdomains of a host. Empty means only
	// the host.
	Domain string
	// CookieFor returns the name and the domain of the cookie for a request, in
	// place of CookieName and Domain. It serves programs with several tenants.
	// It must not trust a Host that it does not know. Empty means the default,
	// as above. A cookie that browsers refuse is an error for OnError. Nil means
	// the same cookie for all.
	CookieFor func(r *http.Request) (name, domain string)
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
	// dropped. It also answers what the guards of this package refuse, with
	// ErrCrossOrigin or ErrCSRF, and what SignOut, RequireSignIn and
	// RequireRecentAuth cannot do. A request that ErrCrossOrigin refuses has no
	// session. Status returns the right status. Nil means a line of text: see
	// the package comment.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets errors, refused requests and cookies that could not be sent.
	// They have handles and never tokens. Nil means slog.Default().
	Logger *slog.Logger
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
	if o.CacheControl == "" {
		o.CacheControl = noStore
	}
	if o.CSRFMaxBytes == 0 {
		o.CSRFMaxBytes = defaultForm
	}
	switch {
	case o.Address > AddressNone:
		return model.NewError(model.ErrInvalid, "Options: Address is unknown, use one of the constants", nil)
	case o.ProxyHeader > ProxyForwarded:
		return model.NewError(model.ErrInvalid, "Options: ProxyHeader is unknown, use one of the constants", nil)
	case o.CSRFMaxBytes < 0:
		return model.NewError(model.ErrInvalid, "Options: CSRFMaxBytes is negative", nil)
	case strings.ContainsFunc(o.CacheControl, func(c rune) bool { return c < ' ' || c > '~' }):
		return model.NewError(model.ErrInvalid, "Options: CacheControl has characters that headers do not allow", nil)
	}
	return o.Transport.check()
}
