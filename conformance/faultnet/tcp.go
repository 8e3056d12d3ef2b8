package faultnet

import (
	"bufio"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Protocol is what a TCPProxy must know of a protocol.
type Protocol struct {
	// ReadRequest reads one message of the client: all that it sends before it
	// waits for an answer. It returns the bytes and the names of the requests
	// in it. No names means that the message is the client library's own, such
	// as a handshake: it is passed on and not recorded.
	ReadRequest func(*bufio.Reader) (raw []byte, names []string, err error)
	// ReadAnswer reads one answer. Nil means that answers are passed on as
	// they come, and Done is needed to lose one.
	ReadAnswer func(*bufio.Reader) ([]byte, error)
	// Done returns when the server has carried out what it was sent, if
	// ReadAnswer is nil.
	Done func(server string)
	// Sent sees every recorded message. Nil means nothing does.
	Sent func(raw []byte)
}

// TCPProxy passes messages on to one or more servers.
type TCPProxy struct {
	Script
	protocol Protocol
	refuses  atomic.Bool
	stalls   atomic.Bool

	ctx     context.Context
	running sync.WaitGroup
	mu      sync.Mutex
	fronts  map[string]net.Listener
}

// NewTCPProxy returns a proxy that stops at the end of the test.
func NewTCPProxy(t testing.TB, p Protocol) *TCPProxy {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	x := &TCPProxy{protocol: p, ctx: ctx, fronts: map[string]net.Listener{}}
	t.Cleanup(func() {
		x.mu.Lock()
		for _, l := range x.fronts {
			_ = l.Close()
		}
		x.mu.Unlock()
		cancel()
		x.running.Wait()
	})
	return x
}

// Addr returns the proxy's address in front of a server.
func (p *TCPProxy) Addr(server string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.fronts[server]; l != nil {
		return l.Addr().String(), nil
	}
	l, err := new(net.ListenConfig).Listen(p.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	p.fronts[server] = l
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(c, server) })
		}
	})
	return l.Addr().String(), nil
}

// DialContext connects to a server through the proxy.
func (p *TCPProxy) DialContext(ctx context.Context, network, server string) (net.Conn, error) {
	addr, err := p.Addr(server)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// Refuse closes every new connection at once.
func (p *TCPProxy) Refuse() { p.refuses.Store(true) }

// Stall passes nothing on from now on, in either direction, and keeps all
// connections open: so does a server that is stopped.
func (p *TCPProxy) Stall() { p.stalls.Store(true) }

// wait returns at once, or at the end of the test if the proxy stalls.
func (p *TCPProxy) wait() {
	if p.stalls.Load() {
		<-p.ctx.Done()
	}
}

// link is one connection of a client, with that to its server.
type link struct {
	p              *TCPProxy
	addr           string
	client, server net.Conn
	cut            func() // closes both

	held    sync.Mutex   // held while answers are not passed on
	waiting chan meeting // faults of the answers to come
}

type meeting struct {
	fault Fault
	then  func()
}

func (p *TCPProxy) serve(client net.Conn, addr string) {
	server, err := new(net.Dialer).DialContext(p.ctx, "tcp", addr)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{p: p, addr: addr, client: client, server: server, waiting: make(chan meeting, 1)}
	l.cut = sync.OnceFunc(func() { _ = client.Close(); _ = server.Close() })
	defer l.cut()
	if p.refuses.Load() {
		return
	}
	defer context.AfterFunc(p.ctx, l.cut)()
	var answers sync.WaitGroup
	defer answers.Wait()
	defer l.cut()
	if p.protocol.ReadAnswer != nil {
		answers.Go(l.passAnswers)
	} else {
		answers.Go(l.passBytes)
	}
	l.passRequests()
}

// passBytes passes on what the server sends, as it comes.
func (l *link) passBytes() {
	defer l.cut()
	buf := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buf)
		if err != nil {
			return
		}
		l.p.wait()
		l.held.Lock()
		_, err = l.client.Write(buf[:n])
		l.held.Unlock()
		if err != nil {
			return
		}
	}
}

// passAnswers passes answers on one by one.
func (l *link) passAnswers() {
	defer l.cut()
	in := bufio.NewReader(l.server)
	for {
		raw, err := l.p.protocol.ReadAnswer(in)
		if err != nil {
			return
		}
		var m meeting
		select {
		case m = <-l.waiting:
		default:
		}
		if m.then != nil {
			m.then() // the answer says that the server has carried it out
		}
		switch m.fault {
		case LoseAnswer:
			return
		case HoldAnswer:
			continue
		case CutAnswer:
			_, _ = l.client.Write(raw[:len(raw)/2])
			return
		}
		l.p.wait()
		if _, err := l.client.Write(raw); err != nil {
			return
		}
	}
}

// passRequests passes messages on until a fault or an error ends the link.
func (l *link) passRequests() {
	in := bufio.NewReaderSize(l.client, 1<<20)
	for {
		raw, names, err := l.p.protocol.ReadRequest(in)
		if err != nil {
			return
		}
		var m meeting
		if len(names) > 0 {
			m.fault, m.then = l.p.meet(names)
			if l.p.protocol.Sent != nil {
				l.p.protocol.Sent(raw)
			}
		}
		l.p.wait()
		if !l.pass(raw, m) {
			return
		}
	}
}

// pass passes one message on and reports whether the link goes on.
func (l *link) pass(raw []byte, m meeting) bool {
	switch {
	case m.fault == LoseRequest:
		return false
	case m.fault == CutRequest:
		_, _ = l.server.Write(raw[:len(raw)/2])
		if m.then != nil {
			m.then()
		}
		return false
	case m.fault == Pass && m.then == nil:
	case l.p.protocol.ReadAnswer != nil:
		l.waiting <- m
	default:
		l.held.Lock()
		_, _ = l.server.Write(raw)
		l.p.protocol.Done(l.addr)
		if m.then != nil {
			m.then()
		}
		if m.fault == Pass {
			l.held.Unlock()
			return true
		}
		if m.fault == HoldAnswer {
			<-l.p.ctx.Done()
		}
		l.cut()
		l.held.Unlock()
		return false
	}
	_, err := l.server.Write(raw)
	return err == nil
}
