package drivertest

import (
	"net"
	"testing"
)

// NoServer returns an address at which no server listens. A connection has its
// port until the end of the test, so that no other program gets it meanwhile.
func NoServer(t testing.TB) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	holds, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holds.Close() })
	other, err := l.Accept() // else the end of the listener ends the connection
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return holds.LocalAddr().String()
}
