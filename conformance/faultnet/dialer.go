package faultnet

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Dialer opens connections that can lose an answer: after Lose, the next
// request on any of them is sent and carried out, and its answer is replaced
// by an error. A request is what a client writes before it reads; the first
// bytes of the answer say that the server has carried it out. The zero value
// is ready for use.
type Dialer struct {
	// Skip reports whether a request is the client library's own, such as a
	// handshake, which keeps its answer. Nil means that none is.
	Skip func(request []byte) bool

	armed atomic.Bool
	trips atomic.Int64
}

// Lose loses the answer of the next request.
func (d *Dialer) Lose() { d.armed.Store(true) }

// Trips returns the number of round trips since its last call.
func (d *Dialer) Trips() int { return int(d.trips.Swap(0)) }

// DialContext connects like net.Dialer.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &lossyConn{Conn: c, d: d}, nil
}

// lossyConn watches the change between writing and reading.
type lossyConn struct {
	net.Conn
	d *Dialer

	mu      sync.Mutex
	request []byte // written since the last read
	asked   bool   // a request was written and its answer has not begun
	loses   bool   // and it will be lost
}

func (c *lossyConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.request = append(c.request, p...)
	c.asked = true
	if own := c.d.Skip != nil && c.d.Skip(c.request); !own && c.d.armed.CompareAndSwap(true, false) {
		c.loses = true
	}
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *lossyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == 0 || !c.asked {
		return n, err
	}
	if c.d.Skip == nil || !c.d.Skip(c.request) {
		c.d.trips.Add(1)
	}
	c.request, c.asked = nil, false
	if c.loses {
		_ = c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}
