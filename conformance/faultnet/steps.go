package faultnet

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// Steps makes one of the next requests of a client go wrong. Each request is a
// step, also one that a client library makes or repeats of its own. That serves
// Harness.Interrupt of package conformance: each node has a Steps, and its client
// sends through RoundTripper or DialContext. The zero value is ready for use.
type Steps struct {
	// Skip reports whether a request on a connection is the client library's own,
	// such as a heartbeat, and not a step. Nil means that none is.
	Skip func(request []byte) bool

	mu    sync.Mutex
	armed bool
	next  Break
	n     int // requests since Break
	dead  bool
	conns map[*stepConn]struct{}
}

// Break says what goes wrong.
type Break struct {
	// Step counts the requests from now on: 1 is the next one. Zero is before the
	// next one, which matters only with Ends.
	Step int
	// Answer means that the server carries the request out, and its answer is
	// lost. Else the request does not reach the server.
	Answer bool
	// Ends means that nothing reaches the server afterwards, for good: the process
	// of the client has died. The connections are closed, and new ones are refused.
	Ends bool
}

// Break makes a request go wrong. The result forgets it, and reports whether the
// client made that request.
func (s *Steps) Break(b Break) (mend func() (reached bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed, s.next, s.n = true, b, 0
	if b.Step == 0 && b.Ends {
		s.end(nil)
	}
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.armed = false
		return s.n >= b.Step
	}
}

// end ends the client, but for the answer to the last request of a connection.
func (s *Steps) end(last *stepConn) {
	s.dead = true
	for c := range s.conns {
		if c != last {
			_ = c.Conn.Close()
		}
	}
}

// fate is what happens to a request.
type fate uint8

const (
	passes fate = iota
	unsent      // it does not reach the server
	unread      // its answer does not reach the client
)

// meet counts a request and returns its fate. A request through a RoundTripper has
// no connection.
func (s *Steps) meet(c *stepConn) fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	switch {
	case s.dead:
		return unsent
	case !s.armed || s.n != s.next.Step:
		return passes
	}
	f := unsent
	if s.next.Answer {
		f = unread
	}
	if s.next.Ends {
		s.end(c)
	}
	return f
}

func (s *Steps) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

// refused is the error of a connection that is not made, and reset that of one
// that breaks.
func refused(network string) error {
	return &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
}

func reset() error { return &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET} }

// RoundTripper returns next with the steps of the requests through it. Clients
// may share next and its connections. Nil means http.DefaultTransport.
func (s *Steps) RoundTripper(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return &stepTripper{s, next}
}

type stepTripper struct {
	s    *Steps
	next http.RoundTripper
}

// RoundTrip sends the request, or returns an error as of a broken connection.
func (t *stepTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	dead := t.s.ended()
	f := t.s.meet(nil)
	if f == unsent {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		if dead {
			return nil, refused("tcp")
		}
		return nil, reset()
	}
	res, err := t.next.RoundTrip(r)
	if err != nil || f == passes {
		return res, err
	}
	_, _ = io.Copy(io.Discard, res.Body) // the server has carried it out
	_ = res.Body.Close()
	return nil, io.ErrUnexpectedEOF
}

// DialContext connects like net.Dialer. A request is what a client writes before
// it reads, and the first bytes of the answer say that the server has carried it
// out.
func (s *Steps) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.ended() {
		return nil, refused(network)
	}
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	own := &stepConn{Conn: c, s: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		_ = c.Close()
		return nil, refused(network)
	}
	if s.conns == nil {
		s.conns = map[*stepConn]struct{}{}
	}
	s.conns[own] = struct{}{}
	return own, nil
}

// stepConn watches the change between writing and reading.
type stepConn struct {
	net.Conn
	s *Steps

	mu    sync.Mutex
	asked bool // a request was written and its answer has not begun
	fate  fate
}

// Write sends a part of a request, or breaks the connection.
func (c *stepConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asked && (c.s.Skip == nil || !c.s.Skip(p)) {
		c.asked, c.fate = true, c.s.meet(c)
	}
	if c.fate == unsent {
		_ = c.Conn.Close()
		return 0, reset()
	}
	return c.Conn.Write(p)
}

// Read reads an answer, or breaks the connection when it has come.
func (c *stepConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == 0 {
		return n, err
	}
	c.asked = false
	if c.fate == unread {
		_ = c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// Close closes the connection.
func (c *stepConn) Close() error {
	c.s.mu.Lock()
	delete(c.s.conns, c)
	c.s.mu.Unlock()
	return c.Conn.Close()
}
