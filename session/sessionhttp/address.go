package sessionhttp

import (
	"net/http"
	"net/netip"
	"strings"
)

// Address says how much of a client's address is kept with its session.
type Address uint8

const (
	// AddressFull keeps the whole address.
	AddressFull Address = iota
	// AddressTruncated keeps the first 24 bits of an IPv4 address and the
	// first 48 of an IPv6 one, which name a network rather than a person.
	AddressTruncated
	// AddressNone keeps nothing.
	AddressNone
)

// maxHops bounds the walk through X-Forwarded-For.
const maxHops = 32

// address of the client. The header X-Forwarded-For is believed as far as it
// was written by proxies that are trusted, from the right: the first address
// that is no such proxy's is the client's, and what a client put in front of it
// is not looked at.
func (m *Middleware) address(r *http.Request) netip.Addr {
	if m.opts.Address == AddressNone {
		return netip.Addr{}
	}
	at := parseAddr(r.RemoteAddr)
	if m.trusts(at) {
		hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
		for i := len(hops) - 1; i >= 0 && i >= len(hops)-maxHops && m.trusts(at); i-- {
			next := parseAddr(hops[i])
			if !next.IsValid() {
				break
			}
			at = next
		}
	}
	if m.opts.Address == AddressTruncated && at.IsValid() {
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

func (m *Middleware) trusts(a netip.Addr) bool {
	for _, p := range m.opts.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parseAddr reads an address with or without a port; invalid for neither.
func parseAddr(s string) netip.Addr {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
