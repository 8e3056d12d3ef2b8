package sessionhttp

import (
	"bufio"
	"net"
	"net/http"
)

// The optional interfaces of a writer that handlers assert.
type (
	flushing  struct{ w *writer }
	hijacking struct{ w *writer }
	closing   struct{ w *writer }
	pushing   struct{ w *writer }
)

func (f flushing) Flush() { _ = f.w.FlushError() }

func (h hijacking) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.w.hijack() }

// CloseNotify serves frameworks that still call it, such as gin's Stream.
func (c closing) CloseNotify() <-chan bool {
	n, _ := below[closeNotifier](c.w.ResponseWriter)
	return n.CloseNotify()
}

func (p pushing) Push(target string, opts *http.PushOptions) error {
	n, _ := below[http.Pusher](p.w.ResponseWriter)
	return n.Push(target, opts)
}

// closeNotifier is http.CloseNotifier, which is deprecated.
type closeNotifier interface{ CloseNotify() <-chan bool }

// below finds an optional interface. It unwraps writers as
// http.ResponseController does.
func below[T any](w http.ResponseWriter) (T, bool) {
	for w != nil {
		if t, ok := w.(T); ok {
			return t, true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	var none T
	return none, false
}

// asserted returns the writer with exactly the optional interfaces of the
// writers below it, so that type assertions are right. Only a connection of
// HTTP/2 pushes, and it can flush and notify.
func (w *writer) asserted() http.ResponseWriter {
	f, h, c := flushing{w}, hijacking{w}, closing{w}
	flushes, hijacks, notifies, pushes := abilities(w.ResponseWriter)
	switch {
	case flushes && notifies && pushes && !hijacks:
		return struct {
			*writer
			flushing
			closing
			pushing
		}{w, f, c, pushing{w}}
	case flushes && hijacks && notifies:
		return struct {
			*writer
			flushing
			hijacking
			closing
		}{w, f, h, c}
	case flushes && hijacks:
		return struct {
			*writer
			flushing
			hijacking
		}{w, f, h}
	case flushes && notifies:
		return struct {
			*writer
			flushing
			closing
		}{w, f, c}
	case hijacks && notifies:
		return struct {
			*writer
			hijacking
			closing
		}{w, h, c}
	case flushes:
		return struct {
			*writer
			flushing
		}{w, f}
	case hijacks:
		return struct {
			*writer
			hijacking
		}{w, h}
	case notifies:
		return struct {
			*writer
			closing
		}{w, c}
	}
	return w
}

// abilities reports the optional interfaces of a writer and those below it.
func abilities(w http.ResponseWriter) (flushes, hijacks, notifies, pushes bool) {
	for w != nil {
		switch w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			flushes = true
		}
		if _, ok := w.(http.Hijacker); ok {
			hijacks = true
		}
		if _, ok := w.(closeNotifier); ok {
			notifies = true
		}
		if _, ok := w.(http.Pusher); ok {
			pushes = true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	return flushes, hijacks, notifies, pushes
}

// written reports whether a writer says that its headers were sent: those of
// gin, negroni and chi do. The writers of net/http do not say so.
func written(w http.ResponseWriter) bool {
	if g, ok := below[interface{ Written() bool }](w); ok {
		return g.Written()
	}
	if c, ok := below[interface {
		Status() int
		BytesWritten() int
	}](w); ok {
		return c.Status() != 0
	}
	return false
}
