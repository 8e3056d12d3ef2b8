package sessionhttp

import (
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

// maxHops is the maximum number of addresses read from X-Forwarded-For.
const maxHops = 32

// clientAddress returns the part of the client's address that keep allows. It
// reads X-Forwarded-For from the right, as far as trusted proxies wrote it. The
// first address that is not a trusted proxy is the client's. The addresses before
// it come from the client and are ignored.
func clientAddress(r *http.Request, keep Address, proxies []netip.Prefix) netip.Addr {
	if keep == AddressNone {
		return netip.Addr{}
	}
	at := parseAddr(r.RemoteAddr)
	if trusts(proxies, at) {
		hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
		for i := len(hops) - 1; i >= 0 && i >= len(hops)-maxHops && trusts(proxies, at); i-- {
			next := parseAddr(hops[i])
			if !next.IsValid() {
				break
			}
			at = next
		}
	}
	if keep == AddressTruncated && at.IsValid() {
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

func trusts(proxies []netip.Prefix, a netip.Addr) bool {
	for _, p := range proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parseAddr parses an address with or without a port. It returns the invalid
// address for any other text.
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
