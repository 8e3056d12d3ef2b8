package faultnet_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance/faultnet"
)

// lineServer answers every line with the line itself and counts them.
func lineServer(t *testing.T) (addr string, done *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done = new(atomic.Int64)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = c.Close() }()
				for in := bufio.NewReader(c); ; {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					done.Add(1)
					if _, err := io.WriteString(c, line); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	return l.Addr().String(), done
}

func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadString('\n')
	return []byte(line), err
}

var lines = faultnet.Protocol{
	ReadRequest: func(in *bufio.Reader) ([]byte, []string, error) {
		raw, err := readLine(in)
		if strings.HasPrefix(string(raw), "hello") {
			return raw, nil, err
		}
		return raw, []string{strings.TrimSpace(string(raw))}, err
	},
	ReadAnswer: readLine,
}

type dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

func connect(t *testing.T, d dialer, addr string) *bufio.ReadWriter {
	t.Helper()
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c))
}

func ask(c *bufio.ReadWriter, line string) (string, error) {
	_, _ = c.WriteString(line + "\n")
	_ = c.Flush()
	return c.ReadString('\n')
}

func TestTCPProxy(t *testing.T) {
	for name, test := range map[string]struct {
		fault faultnet.Fault
		done  int64 // requests that the server carried out
	}{
		"lose the answer":  {faultnet.LoseAnswer, 2},
		"lose the request": {faultnet.LoseRequest, 1},
		"cut the request":  {faultnet.CutRequest, 1},
		"cut the answer":   {faultnet.CutAnswer, 2},
	} {
		t.Run(name, func(t *testing.T) {
			addr, done := lineServer(t)
			p := faultnet.NewTCPProxy(t, lines)
			c := connect(t, p, addr)
			p.Next(test.fault)
			if got, err := ask(c, "hello"); got != "hello\n" {
				t.Fatalf("the handshake got %q, %v", got, err)
			}
			if _, err := ask(c, "put"); err == nil {
				t.Error("the request got a whole answer")
			}
			if got := done.Load(); got != test.done {
				t.Errorf("the server carried out %d requests, want %d", got, test.done)
			}
			if got := p.Requests(); !slices.Equal(got, []string{"put"}) {
				t.Errorf("recorded %v, want put", got)
			}
			if got, err := ask(connect(t, p, addr), "get"); got != "get\n" {
				t.Errorf("the next request got %q, %v", got, err)
			}
		})
	}
}

// TestStall stops both kinds of proxy: requests are not passed on, on old and new
// connections, and the client can give up.
func TestStall(t *testing.T) {
	addr, done := lineServer(t)
	p := faultnet.NewTCPProxy(t, lines)
	front, err := p.Addr(addr)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", front)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	old := dial()
	if got, err := ask(bufio.NewReadWriter(bufio.NewReader(old), bufio.NewWriter(old)), "get"); got != "get\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	p.Stall()
	for _, c := range []net.Conn{old, dial()} {
		_ = c.SetDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := ask(bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), "hello")
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
		}
	}
	if n := done.Load(); n != 1 {
		t.Errorf("the server carried out %d requests, want 1", n)
	}

	var served atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
	t.Cleanup(s.Close)
	h := faultnet.NewHTTPProxy(t, s.URL, nil)
	h.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&http.Transport{}).RoundTrip(r); !errors.Is(err, context.DeadlineExceeded) || served.Load() != 0 { //nolint:bodyclose // there is no answer
		t.Errorf("got %v, and the server carried out %d requests", err, served.Load())
	}
}

func TestTCPProxyMatchesAndCalls(t *testing.T) {
	addr, _ := lineServer(t)
	p := faultnet.NewTCPProxy(t, lines)
	c := connect(t, p, addr)
	var called atomic.Bool
	p.Set(faultnet.Plan{Fault: faultnet.LoseAnswer, Match: func(name string) bool { return name == "put" }, Then: func() { called.Store(true) }})
	if got, err := ask(c, "get"); got != "get\n" {
		t.Fatalf("a request that does not match got %q, %v", got, err)
	}
	if _, err := ask(c, "put"); err == nil || !called.Load() {
		t.Errorf("the request that matches got %v, Then was called: %v", err, called.Load())
	}
	p.Refuse()
	if _, err := ask(connect(t, p, addr), "get"); err == nil {
		t.Error("a refused connection answered")
	}
}

func TestDialer(t *testing.T) {
	addr, done := lineServer(t)
	d := &faultnet.Dialer{Skip: func(request []byte) bool { return strings.HasPrefix(string(request), "hello") }}
	c := connect(t, d, addr)
	d.Lose()
	if got, err := ask(c, "hello"); got != "hello\n" {
		t.Fatalf("the handshake got %q, %v", got, err)
	}
	if _, err := ask(c, "put"); !errors.Is(err, io.ErrUnexpectedEOF) || done.Load() != 2 {
		t.Errorf("got %v after %d requests, want an unexpected EOF after 2", err, done.Load())
	}
	if got, err := ask(connect(t, d, addr), "get"); got != "get\n" {
		t.Errorf("the next request got %q, %v", got, err)
	}
	if n := d.Trips(); n != 2 {
		t.Errorf("counted %d round trips, want 2", n)
	}
}

// TestHTTPProxyKeepsItsConnections has a client ask for the end of its own
// connection, which is not about that to the server.
func TestHTTPProxyKeepsItsConnections(t *testing.T) {
	closes := make(chan bool, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { closes <- r.Close }))
	t.Cleanup(s.Close)
	p := faultnet.NewHTTPProxy(t, s.URL, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if <-closes {
		t.Error("the server was told to close the proxy's connection")
	}
}

func TestHTTPProxy(t *testing.T) {
	for name, test := range map[string]struct {
		fault faultnet.Fault
		done  int64
	}{
		"pass":             {faultnet.Pass, 1},
		"lose the answer":  {faultnet.LoseAnswer, 1},
		"lose the request": {faultnet.LoseRequest, 0},
		"cut the answer":   {faultnet.CutAnswer, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var done atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				done.Add(1)
				_, _ = io.WriteString(w, "answer")
			}))
			t.Cleanup(s.Close)
			p := faultnet.NewHTTPProxy(t, s.URL, &faultnet.HTTPOptions{
				Name: func(r *http.Request, _ []byte) string { return r.URL.Path },
			})
			transport := &http.Transport{DisableKeepAlives: true}
			p.Next(test.fault)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL()+"/put", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			if res, err := transport.RoundTrip(r); err == nil {
				body, err := io.ReadAll(res.Body)
				if err == nil {
					text = string(body)
				}
				_ = res.Body.Close()
			}
			if (text == "answer") != (test.fault == faultnet.Pass) {
				t.Errorf("got the answer %q", text)
			}
			if got := done.Load(); got != test.done {
				t.Errorf("the server carried out %d requests, want %d", got, test.done)
			}
			if got := p.Requests(); !slices.Equal(got, []string{"/put"}) {
				t.Errorf("recorded %v, want /put", got)
			}
		})
	}
}
