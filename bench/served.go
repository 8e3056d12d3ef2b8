package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// served is a program behind a real server of net/http, whose clients keep their
// connections.
type served struct {
	*program
	ctx    context.Context //nolint:containedctx // of the run, for connections
	server *http.Server
	addr   string
	done   chan error
	conns  []*connection
}

// servedOps are what is measured through net/http.
var servedOps = []string{"read-only", "write"}

// servedPrograms are the redisPrograms, each behind a server of its own.
func servedPrograms(ctx context.Context, addr, name string) ([]*served, error) {
	programs, err := redisPrograms(ctx, addr, name)
	out := make([]*served, 0, len(programs))
	for _, p := range programs {
		s := &served{program: p, ctx: ctx, done: make(chan error, 1)}
		out = append(out, s)
		l, listenErr := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if listenErr != nil {
			err = errors.Join(err, listenErr)
			continue
		}
		s.server, s.addr = &http.Server{Handler: p.handler, ReadHeaderTimeout: time.Minute}, l.Addr().String()
		go func() { s.done <- s.server.Serve(l) }()
	}
	return out, err
}

func (s *served) end() error {
	var err error
	for _, c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	if s.server != nil {
		err = errors.Join(err, s.server.Close())
		if stopped := <-s.done; !errors.Is(stopped, http.ErrServerClosed) {
			err = errors.Join(err, stopped)
		}
	}
	return errors.Join(err, s.program.end())
}

// single gives each client a connection and a session of its own.
func (s *served) single(c cell) (side, bool) {
	out, ok := s.program.single(c)
	jar := make([]string, c.clients)
	var once sync.Once
	var failed error
	out.prepare = func(int, int) error {
		once.Do(func() {
			for len(s.conns) < c.clients && failed == nil {
				failed = s.dial()
			}
			if failed == nil {
				_, failed = run(min(preparers, c.clients), 0, c.clients, func(_, i int) (err error) {
					jar[i], err = s.conns[i].request(signIn, "")
					return err
				})
			}
		})
		return failed
	}
	out.do = func(client, _ int) (err error) {
		jar[client], err = s.conns[client].request(paths[c.op], jar[client])
		return err
	}
	out.after = nil
	return out, ok
}

func (s *served) dial() error {
	conn, err := new(net.Dialer).DialContext(s.ctx, "tcp", s.addr)
	if err == nil {
		s.conns = append(s.conns, &connection{Conn: conn, in: bufio.NewReader(conn)})
	}
	return err
}

// connection is a client that does no more than it must: it runs on the processors
// of the server, and what it costs would hide what contestants differ by.
type connection struct {
	net.Conn
	in  *bufio.Reader
	out []byte
}

// request is program.request over the connection.
func (c *connection) request(path, cookie string) (string, error) {
	c.out = append(append(append(c.out[:0], "GET "...), path...), " HTTP/1.1\r\nHost: localhost\r\n"...)
	if cookie != "" {
		c.out = append(append(append(c.out, "Cookie: "...), cookie...), "\r\n"...)
	}
	if _, err := c.Write(append(c.out, "\r\n"...)); err != nil {
		return "", err
	}
	status, err := c.line()
	if err != nil {
		return "", err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return "", fmt.Errorf("%s is answered with %s", path, status)
	}
	length := -1
	for {
		line, err := c.line()
		if err != nil {
			return "", err
		}
		if len(line) == 0 {
			break
		}
		if set, ok := bytes.CutPrefix(line, []byte("Set-Cookie: ")); ok {
			pair, _, _ := strings.Cut(string(set), ";")
			cookie = pair
		} else if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(n)); err != nil {
				return "", err
			}
		}
	}
	if length < 0 {
		return "", fmt.Errorf("%s: the answer has no length", path)
	}
	_, err = c.in.Discard(length)
	return cookie, err
}

func (c *connection) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}
