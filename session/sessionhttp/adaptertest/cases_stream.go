package adaptertest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/sojourn-go/sojourn/session"
)

// streamCases are about answers that are sent in parts.
func streamCases() []testCase {
	return []testCase{{"Stream", stream}, {"Flush", flushes}, {"SSE", sse}, {"Hijack", hijack}}
}

// parts answers with the parts. It flushes each and waits for the client before
// the next one. It then changes the session, which is too late.
func (w *world) parts(header, value string, goOn <-chan struct{}, late chan<- error, list ...string) func(Exchange) error {
	return func(e Exchange) error {
		ctx := e.Context()
		if _, err := next(ctx); err != nil {
			return err
		}
		if header != "" {
			e.SetHeader(header, value)
		}
		return e.Stream(func(out io.Writer, flush func() error) {
			for _, part := range list {
				if err := w.part(out, flush, part, goOn); err != nil {
					late <- err
					return
				}
			}
			late <- count.Set(ctx, 100)
		})
	}
}

// part sends one part and waits for the client. An empty one is a flush before
// any byte.
func (w *world) part(out io.Writer, flush func() error, text string, goOn <-chan struct{}) error {
	if text != "" {
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return w.await(goOn, "the client read the part before")
}

// readParts reads the parts of a stream while its handler waits, and looks after
// the first that the session is stored.
func (w *world) readParts(contentType string, list ...string) error {
	goOn, late := make(chan struct{}), make(chan error, 1)
	header := ""
	if contentType != "" {
		header = "Content-Type"
	}
	b := w.browser(w.serve(Route{Path: "/parts", Handle: w.parts(header, contentType, goOn, late, list...)}))
	res, err := b.send(http.MethodGet, "/parts", nil)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if err := wantCookie(res, 1); err != nil {
		return err
	}
	if got := res.Header.Get("Content-Type"); !strings.HasPrefix(got, contentType) {
		return fmt.Errorf("the stream has the type %q, want %q", got, contentType)
	}
	for i, part := range list {
		buf := make([]byte, len(part))
		if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != part {
			return fmt.Errorf("part %d is %q and %w, want %q", i, buf, err, part)
		}
		if i == 0 {
			if err := b.visit("/count", http.StatusOK, "1"); err != nil {
				return fmt.Errorf("after the first part: %w", err)
			}
		}
		select {
		case goOn <- struct{}{}:
		case err := <-late:
			return fmt.Errorf("the handler ended at part %d: %w", i, err)
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		return fmt.Errorf("behind the parts came %q and %w", rest, err)
	}
	select {
	case err := <-late:
		if !errors.Is(err, session.ErrCommitted) {
			return fmt.Errorf("a change after the first byte returned %w, want %w", err, session.ErrCommitted)
		}
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
	return b.visit("/count", http.StatusOK, "1")
}

// stream: each part arrives when it is flushed. The first has the cookie, and the
// session is stored by then.
func stream(w *world) error { return w.readParts("", "one", "two", "three") }

// sse: the same for server-sent events.
func sse(w *world) error {
	return w.readParts("text/event-stream", "data: 1\n\n", "data: 2\n\n")
}

// flushes: headers that are flushed before any byte have the cookie.
func flushes(w *world) error {
	goOn, late := make(chan struct{}), make(chan error, 1)
	b := w.browser(w.serve(Route{Path: "/flush", Handle: w.parts("", "", goOn, late, "", "rest")}))
	res, err := b.send(http.MethodGet, "/flush", nil)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if err := errors.Join(wantCookie(res, 1), b.visit("/count", http.StatusOK, "1")); err != nil {
		return err
	}
	close(goOn)
	rest, err := io.ReadAll(res.Body)
	if err != nil || string(rest) != "rest" {
		return fmt.Errorf("behind the headers came %q and %w", rest, err)
	}
	return nil
}

// hijack: the answer that gives up the connection has the cookie, and the session
// is stored by then.
func hijack(w *world) error {
	url := w.serve(Route{Path: "/echo", Handle: func(e Exchange) error {
		if _, err := next(e.Context()); err != nil {
			return err
		}
		return e.Hijack(func(c net.Conn) { _, _ = io.Copy(c, c) })
	}})
	var d net.Dialer
	conn, err := d.DialContext(w.ctx, "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-w.ctx.Done():
			_ = conn.Close()
		case <-stop:
		}
	}()
	if _, err := io.WriteString(conn, "GET /echo HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	r, err := http.NewRequestWithContext(w.ctx, http.MethodGet, url+"/echo", nil)
	if err != nil {
		return err
	}
	res, err := http.ReadResponse(in, r)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Upgrade") != "echo" {
		return fmt.Errorf("the hijack was answered with %d, %v", res.StatusCode, res.Header)
	}
	if err := wantCookie(res, 1); err != nil {
		return err
	}
	b := w.browser(url)
	b.Jar.SetCookies(r.URL, res.Cookies())
	if err := b.visit("/count", http.StatusOK, "1"); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		return err
	}
	if line, err := in.ReadString('\n'); err != nil || line != "hello\n" {
		return fmt.Errorf("the hijacked connection echoed %q and %w", line, err)
	}
	return nil
}
