package sessionhttp

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/sojourn-go/sojourn/session"
)

// errDropped is the error of a handler's writes after its answer was replaced.
var errDropped = errors.New("sessionhttp: the answer was dropped, the session could not be stored")

// writer commits the session before the first final byte.
type writer struct {
	http.ResponseWriter
	m       *Middleware
	r       *http.Request // as the handler has it
	s       *session.Session
	cookie  *cookieForm
	via     Transport // of a new token
	several *found    // nil unless the request brought several tokens
	cookies int       // the session's cookies that the request brought
	before  http.Header
	outer   *writer     // of another service around this one, or nil
	beside  http.Header // tokens of services inside, which their stores have already
	ctx     requestContext

	once       sync.Once
	dropped    error // errDropped if the handler's answer was replaced
	used       bool  // before the first byte
	identified bool  // by Options.Identity
	refusing   bool  // a new session is session.ErrCrossSite
	passed     bool  // something was written through this writer
	gave       bool  // the headers have a new token
}

// prepare tells the session what kind of request it serves.
func (w *writer) prepare(r *http.Request, f *found, identified bool) {
	w.identified = identified
	if f.n > 1 {
		all := *f
		w.several = &all
	}
	if w.m.passive(r) {
		w.s.SetPassive()
	}
	for i := range f.n {
		if !f.by[i].ambient() {
			w.s.SetNoRotation()
		}
	}
	if !identified && (f.n == 0 || f.ambient()) && w.via.ambient() && withoutCookie(w.cookie, r) {
		w.refusing = true
		w.s.RefuseNew(session.ErrCrossSite)
	}
}

// self finds a writer below others. See around.
func (w *writer) self() *writer { return w }

// around returns the writer of another service to which w writes. The context of a
// request that a handler makes by itself has one too, and is not answered by it.
func around(w http.ResponseWriter) *writer {
	if o, ok := below[interface{ self() *writer }](w); ok {
		return o.self()
	}
	return nil
}

// Unwrap serves http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// commit commits the session, the first time. It returns errDropped if the
// handler's answer must not be sent. Code is the status of that answer.
func (w *writer) commit(code int) error {
	w.once.Do(func() {
		w.passed = true
		w.used = w.s.Used()
		if err := loadFailed(w.s, w.s.Err()); err != nil {
			w.failed(err, code)
		} else {
			w.store(code)
		}
	})
	return w.dropped
}

// failed handles a session that could not be loaded or has refused a change. It
// replaces an answer that does not show that.
func (w *writer) failed(err error, code int) {
	// A redirect is how handlers send people to sign in again.
	noticed := code >= http.StatusBadRequest || code >= http.StatusMultipleChoices && errors.Is(err, session.ErrGone)
	var load *LoadError
	switch {
	case errors.As(err, &load) && code >= http.StatusInternalServerError:
		w.logf("session failed", err) // and the handler has noticed
	case load != nil:
		w.replace(err, session.Credential{})
	case noticed:
		w.store(code)
	default:
		c, _ := w.s.Commit(w.r.Context())
		w.replace(err, c)
	}
}

// store commits the session and sets the headers of an answer with the status.
func (w *writer) store(code int) {
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
	if code >= 300 && code < 400 {
		c.Stale = false // the next page can still say why the session has ended
	}
	w.apply(c)
	if w.s.Used() {
		w.private()
	}
}

// private sets the headers of an answer that depends on the session.
func (w *writer) private() {
	h := w.Header()
	for _, name := range w.m.opts.Transport.vary() {
		if !listed(h["Vary"], name) {
			h["Vary"] = append(h["Vary"], name)
		}
	}
	if w.identified || !w.via.ambient() {
		// Caches know that cookies are private, but not what else says who the
		// client is.
		h.Set("Cache-Control", noStore)
		return
	}
	if len(h["Cache-Control"]) > 0 || w.m.opts.CacheControl == "-" {
		return
	}
	if w.s.Personal() {
		h["Cache-Control"] = []string{w.m.opts.CacheControl}
	}
}

// listed reports whether a list in a header has a name or "*".
func listed(lines []string, name string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if part = trim(part); part == "*" || strings.EqualFold(part, name) {
				return true
			}
		}
	}
	return false
}

// replace answers in the handler's place, with the headers from before the
// handler. It still sends the credentials that the stores have already.
func (w *writer) replace(err error, c session.Credential) {
	w.dropped = errDropped
	w.logf("session failed", err)
	if Status(err) >= http.StatusInternalServerError {
		c.Stale = false // an outage proves nothing
	}
	h := w.Header()
	clear(h)
	maps.Copy(h, w.before)
	w.send(w.beside)
	w.apply(c)
	answer := w.m.opts.OnError
	if answer == nil {
		answer = onError
	}
	answer(w.ResponseWriter, w.r, err)
}

// apply writes the credential to the headers.
func (w *writer) apply(c session.Credential) {
	w.settle()
	if c.Action == session.ActionLeave && !c.Stale {
		return
	}
	if w.outer == nil {
		if h := w.Header(); w.write(h, c) {
			h.Set("Cache-Control", noStore)
		}
		return
	}
	h := make(http.Header, 1)
	w.write(h, c)
	w.send(h)
	for o := w.outer; o != nil; o = o.outer {
		o.beside = merge(o.beside, h)
	}
}

// send adds tokens to the headers of the answer. No cache may keep it then.
func (w *writer) send(tokens http.Header) {
	if len(tokens) > 0 {
		merge(w.Header(), tokens).Set("Cache-Control", noStore)
	}
}

// merge adds cookies and sets other headers. It returns the first argument, or a
// new one for nil.
func merge(h, tokens http.Header) http.Header {
	if h == nil && len(tokens) > 0 {
		h = http.Header{}
	}
	for name, lines := range tokens {
		if name == "Set-Cookie" {
			lines = append(slices.Clip(h[name]), lines...)
		}
		h[name] = lines
	}
	return h
}

// write adds the credential to headers. It returns false if that needs none.
func (w *writer) write(h http.Header, c session.Credential) bool {
	switch {
	case c.Action != session.ActionLeave:
		if w.via.ambient() && w.cookies > 1 && c.Action == session.ActionGive {
			w.cookie.clear(h, false) // the browser keeps the new one alone
		}
		w.gave = c.Action == session.ActionGive
		w.via.give(w.cookie, h, c)
		if c.Action == session.ActionClear && w.cookies > 0 && !w.via.ambient() {
			w.cookie.clear(h, true) // a sign-out ends all that the request brought
		}
	case c.Stale && w.clearable():
		w.cookie.clear(h, true)
	default:
		return false
	}
	return true
}

// clearable reports whether the answer may end a cookie that opens nothing. A
// background request may be answered after a sign-in. Of several cookies without
// the prefix, one may be set by a subdomain and would stay alone. If a header has
// another token, the cookie alone may open a session.
func (w *writer) clearable() bool {
	if w.cookies == 0 || !navigation(w.r) {
		return false
	}
	if f := w.several; f != nil {
		for i := range f.n {
			if !f.by[i].ambient() {
				return false
			}
		}
		return hasPrefix(w.cookie.Name, "__Host-")
	}
	return true
}

// settle answers by the transport of the token that opened the session.
func (w *writer) settle() {
	if f := w.several; f != nil {
		for i := range f.n {
			if w.s.Presented(f.texts[i]) {
				w.via = f.by[i]
			}
		}
	}
}

func (w *writer) logf(text string, err error) {
	w.m.logf(w.r.Context(), slog.LevelError, text, errAttr(err))
}

// lost logs a token that did not reach the client.
func (w *writer) lost(why string) {
	w.m.logf(w.r.Context(), slog.LevelWarn, "session token not sent: "+why, slog.Any("session", w.s))
}

// finish commits after the handler has returned.
func (w *writer) finish() {
	passed := w.passed
	if w.commit(http.StatusOK) != nil {
		return
	}
	switch {
	case !passed && w.gave && written(w.ResponseWriter):
		w.lost("the handler wrote past this writer: pass on the writer of Wrap as well as the request")
	case passed && !w.used && w.s.Used():
		w.m.logf(w.r.Context(), slog.LevelWarn, "session first used after the first byte: the answer has no headers for it", slog.Any("session", w.s))
	}
}

// abandon commits after the handler has panicked. An outer handler that recovers
// then writes its answer through this writer or past it.
func (w *writer) abandon() {
	w.once.Do(func() {
		c, err := w.s.Commit(w.r.Context())
		if err != nil {
			w.logf("session failed after a panic", err)
			c.Stale = false // an outage proves nothing
		}
		if w.apply(c); w.gave {
			w.lost("the handler panicked, unless an outer handler answers")
		}
	})
}

// WriteHeader commits before any final status. Interim responses pass: every 1xx
// but 101.
func (w *writer) WriteHeader(code int) {
	if code >= 100 && code < 200 && code != http.StatusSwitchingProtocols {
		w.interim(code)
		return
	}
	if w.commit(code) == nil {
		w.ResponseWriter.WriteHeader(code)
	}
}

// interim sends an interim response without what would set or clear the session's
// token. Only the final one has that, after the commit. A proxy passes on here
// what its server says.
func (w *writer) interim(code int) {
	h := w.Header()
	all := maps.Clone(h)
	w.m.stripSet(w.cookie, h)
	w.ResponseWriter.WriteHeader(code)
	maps.Copy(h, all)
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
	w.used = true // no cache sees what follows
	return http.NewResponseController(w.ResponseWriter).Hijack()
}
