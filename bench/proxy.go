package bench

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// proxy is a TCP proxy on this machine that counts round trips. One begins when a
// client sends after the server has spoken, so a pipeline is one.
type proxy struct {
	listener net.Listener
	server   string
	trips    atomic.Int64
	mu       sync.Mutex
	open     []net.Conn
	all      sync.WaitGroup
}

func newProxy(ctx context.Context, server string) (*proxy, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, server: server}
	p.all.Go(func() { p.accept(ctx) })
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// close ends all connections and waits for their goroutines.
func (p *proxy) close() error {
	err := p.listener.Close()
	p.mu.Lock()
	for _, c := range p.open {
		if e := c.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	p.mu.Unlock()
	p.all.Wait()
	return err
}

func (p *proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := new(net.Dialer).DialContext(ctx, "tcp", p.server)
		if err != nil {
			_ = client.Close() // its owner sees that
			continue
		}
		p.mu.Lock()
		p.open = append(p.open, client, server)
		p.mu.Unlock()
		var spoke atomic.Bool // the server, since the client did
		spoke.Store(true)
		p.all.Go(func() {
			pass(server, client, func() {
				if spoke.Swap(false) {
					p.trips.Add(1)
				}
			})
		})
		p.all.Go(func() { pass(client, server, func() { spoke.Store(true) }) })
	}
}

// pass copies until one of the two is closed, and closes both.
func pass(to, from net.Conn, seen func()) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			seen()
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_, _ = to.Close(), from.Close()
}
