package sessionhttp

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Address says how much of a client's address is stored with its session.
type Address uint8

const (
	// AddressFull stores the whole address.
	AddressFull Address = iota
	// AddressTruncated stores the first 24 bits of an IPv4 address or the first
	// 48 bits of an IPv6 address. They name a network and not a person.
	AddressTruncated
	// AddressNone stores no address.
	AddressNone
)

// ProxyHeader is the header in which trusted proxies say the client's address.
type ProxyHeader uint8

const (
	// ProxyXForwardedFor is X-Forwarded-For: addresses with commas between them.
	ProxyXForwardedFor ProxyHeader = iota
	// ProxyForwarded is Forwarded, as RFC 7239 describes it.
	ProxyForwarded
)

// maxHops is the maximum number of addresses read from a proxy's header.
const maxHops = 32

// clientAddress returns the part of the client's address that may be stored. It
// reads the proxies' header from the right, as far as trusted proxies wrote it.
// The first address that is not a trusted proxy is the client's. The addresses
// before it come from the client and are ignored.
func (o *Options) clientAddress(r *http.Request) netip.Addr {
	if o.Address == AddressNone {
		return netip.Addr{}
	}
	at := parseAddr(r.RemoteAddr)
	if o.trusts(at) || o.TrustUnixPeers && !at.IsValid() && unixPeer(r) {
		at = o.behind(r, at)
	}
	if o.Address == AddressTruncated && at.IsValid() {
		bits := 48
		if at.Is4() {
			bits = 24
		}
		if p, err := at.Prefix(bits); err == nil {
			at = p.Addr()
		}
	}
	return at
}

// behind returns the address behind a trusted peer.
func (o *Options) behind(r *http.Request, at netip.Addr) netip.Addr {
	name, hopsOf := "X-Forwarded-For", listHops
	if o.ProxyHeader == ProxyForwarded {
		name, hopsOf = "Forwarded", forwardedHops
	}
	lines, left := r.Header[name], maxHops
	for i := len(lines) - 1; i >= 0; i-- {
		hops, ok := hopsOf(lines[i])
		if !ok {
			return at
		}
		for j := len(hops) - 1; j >= 0; j-- {
			next := parseAddr(hops[j])
			if left--; left < 0 || !next.IsValid() {
				return at
			}
			if at = next; !o.trusts(at) {
				return at
			}
		}
	}
	return at
}

// listHops splits the value of X-Forwarded-For.
func listHops(line string) ([]string, bool) {
	var tail []string
	for range maxHops {
		i := strings.LastIndexByte(line, ',')
		tail = append(tail, line[i+1:])
		if i < 0 {
			break
		}
		line = line[:i]
	}
	for i, j := 0, len(tail)-1; i < j; i, j = i+1, j-1 {
		tail[i], tail[j] = tail[j], tail[i]
	}
	return tail, true
}

func (o *Options) trusts(a netip.Addr) bool {
	for _, p := range o.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// unixPeer reports whether the request came over a Unix socket. Its peer has no
// address, or a path.
func unixPeer(r *http.Request) bool {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return local.Network() == "unix"
	}
	return r.RemoteAddr == "" || r.RemoteAddr[0] == '@' || r.RemoteAddr[0] == '/'
}

// parseAddr parses an address with or without a port. It returns the invalid
// address for any other text.
func parseAddr(s string) netip.Addr {
	s = trim(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	if n := len(s); n > 2 && s[0] == '[' && s[n-1] == ']' {
		s = s[1 : n-1]
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
