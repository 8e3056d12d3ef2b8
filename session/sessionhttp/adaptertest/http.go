package adaptertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Error is the error of the Exchange that HTTP makes.
type Error struct {
	Status int
	Text   string
}

func (e *Error) Error() string { return e.Text }

// HTTP returns an Exchange on a writer and a request of net/http. The harness of a
// framework embeds it, and replaces what the framework has of its own.
func HTTP(w http.ResponseWriter, r *http.Request) Exchange { return exchange{w, r} }

type exchange struct {
	w http.ResponseWriter
	r *http.Request
}

func (e exchange) Context() context.Context     { return e.r.Context() }
func (e exchange) Body() io.Reader              { return e.r.Body }
func (e exchange) SetHeader(name, value string) { e.w.Header().Set(name, value) }

func (e exchange) Text(status int, text string) error {
	e.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	e.w.WriteHeader(status)
	_, err := io.WriteString(e.w, text)
	return err
}

func (e exchange) Redirect(status int, to string) error {
	http.Redirect(e.w, e.r, to, status)
	return nil
}

func (exchange) Fail(status int, text string) error { return &Error{status, text} }

func (e exchange) Stream(write func(w io.Writer, flush func() error)) error {
	write(e.w, http.NewResponseController(e.w).Flush)
	return nil
}

func (e exchange) Hijack(use func(net.Conn)) error {
	conn, buf, err := http.NewResponseController(e.w).Hijack()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprint(buf, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"); err != nil {
		return err
	}
	if err := e.w.Header().Write(buf); err != nil {
		return err
	}
	if _, err := buf.WriteString("\r\n"); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	use(buffered{conn, buf.Reader})
	return nil
}

func (exchange) Abort() error { panic(http.ErrAbortHandler) }

// buffered reads what the server had read already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }
