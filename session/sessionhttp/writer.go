package sessionhttp

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"

	"github.com/sojourn-go/sojourn/session"
)

// errDropped is the error of a handler's writes after its answer was replaced.
var errDropped = errors.New("sessionhttp: the answer was dropped, the session could not be stored")

// writer commits the session before the first final byte.
type writer struct {
	http.ResponseWriter
	m      *Middleware
	r      *http.Request
	s      *session.Session
	via    Transport   // of the token, in both directions
	before http.Header // the headers before the handler ran

	once    sync.Once
	dropped error // errDropped if the handler's answer was replaced
}

// Unwrap serves http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// commit commits the session, the first time. It returns errDropped if the
// handler's answer must not be sent. Code is the status of that answer.
func (w *writer) commit(code int) error {
	w.once.Do(func() {
		if err := w.s.Err(); err == nil {
			w.store()
		} else if err = (&LoadError{Err: err}); code < http.StatusInternalServerError {
			w.replace(err, session.Credential{})
		} else {
			w.logf("session failed", err)
		}
	})
	return w.dropped
}

// store commits the session and sets the headers.
func (w *writer) store() {
	changed := w.s.Changed()
	c, err := w.s.Commit(w.r.Context())
	if err != nil && changed {
		w.replace(err, c)
		return
	}
	// Without a change of the handler nothing is lost: the next request moves
	// the deadline.
	if err != nil && !errors.Is(err, session.ErrGone) {
		w.logf("session housekeeping failed", err)
	}
	w.apply(c)
	if !w.s.Used() {
		return
	}
	h := w.Header()
	for _, name := range w.m.opts.Transport.vary() {
		if !hasVary(h, name) {
			h.Add("Vary", name)
		}
	}
	if !w.via.ambient() {
		// Caches know that cookies are private, but not that this header is.
		h.Set("Cache-Control", "private, no-store")
	}
}

func hasVary(h http.Header, name string) bool {
	for _, v := range h["Vary"] {
		if v == name || v == "*" {
			return true
		}
	}
	return false
}

// replace answers in the handler's place, with the headers from before the
// handler. It still sends a credential that the store has already.
func (w *writer) replace(err error, c session.Credential) {
	w.dropped = errDropped
	w.logf("session failed", err)
	h := w.Header()
	clear(h)
	maps.Copy(h, w.before)
	w.apply(c)
	answer := w.m.opts.OnError
	if answer == nil {
		answer = onError
	}
	answer(w.ResponseWriter, w.r, err)
}

// apply writes the credential to the headers.
func (w *writer) apply(c session.Credential) {
	if c.Action == session.ActionLeave {
		return
	}
	w.via.give(&w.m.cookie, w.Header(), c)
	w.Header().Set("Cache-Control", "private, no-store")
}

func (w *writer) logf(text string, err error) {
	w.m.log.LogAttrs(w.r.Context(), slog.LevelError, text, slog.String("error", err.Error()))
}

// finish commits after the handler has returned.
func (w *writer) finish() { _ = w.commit(http.StatusOK) }

// abandon commits after the handler has panicked. It sets the headers too, in
// case an outer handler recovers and answers.
func (w *writer) abandon() {
	w.once.Do(func() {
		w.dropped = errDropped
		c, err := w.s.Commit(w.r.Context())
		if err != nil {
			w.logf("session failed after a panic", err)
			return
		}
		w.apply(c)
	})
}

// WriteHeader commits before any final status. Interim responses pass: every 1xx
// but 101.
func (w *writer) WriteHeader(code int) {
	if code >= 100 && code < 200 && code != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(code)
		return
	}
	if w.commit(code) == nil {
		w.ResponseWriter.WriteHeader(code)
	}
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.commit(http.StatusOK); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

// WriteString saves a copy if the server can.
func (w *writer) WriteString(s string) (int, error) {
	if err := w.commit(http.StatusOK); err != nil {
		return 0, err
	}
	return io.WriteString(w.ResponseWriter, s)
}

// ReadFrom lets the server send a file without a copy.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	if err := w.commit(http.StatusOK); err != nil {
		return 0, err
	}
	return io.Copy(w.ResponseWriter, src)
}

// FlushError serves http.ResponseController.
func (w *writer) FlushError() error {
	if err := w.commit(http.StatusOK); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// hijack commits and returns the connection. The server then sends no headers:
// the caller sends the writer's, with the cookie.
func (w *writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.commit(http.StatusSwitchingProtocols); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// asserted returns the writer with exactly the optional interfaces of the
// writers below it, so that type assertions are right.
func (w *writer) asserted() http.ResponseWriter {
	flusher, hijacker := abilities(w.ResponseWriter)
	switch {
	case flusher && hijacker:
		return struct {
			*writer
			flushing
			hijacking
		}{w, flushing{w}, hijacking{w}}
	case flusher:
		return struct {
			*writer
			flushing
		}{w, flushing{w}}
	case hijacker:
		return struct {
			*writer
			hijacking
		}{w, hijacking{w}}
	}
	return w
}

// abilities reports the optional interfaces of a writer. It unwraps writers as
// http.ResponseController does.
func abilities(w http.ResponseWriter) (flusher, hijacker bool) {
	for w != nil {
		switch w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			flusher = true
		}
		if _, ok := w.(http.Hijacker); ok {
			hijacker = true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	return flusher, hijacker
}

type flushing struct{ w *writer }

func (f flushing) Flush() { _ = f.w.FlushError() }

type hijacking struct{ w *writer }

func (h hijacking) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.w.hijack() }
