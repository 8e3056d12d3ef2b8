package sessiongin

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
)

// New returns a middleware of gin from one of net/http: Middleware.Wrap of package
// sessionhttp, its RequireSignIn, or another guard. Wrap goes outside of the guards
// and inside of gin's Recovery. It may be used with Use of an Engine or a group, and
// for one route.
func New(wrap func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		outer := c.Writer
		passed := false
		defer func() {
			c.Writer = outer // what is outside writes its answer past the session, after a panic too
			if !passed {
				c.Abort()
			}
		}()
		wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
			inner := &writer{outer, w, outer.Status()}
			c.Writer = inner
			c.Next()
			if !outer.Written() {
				w.WriteHeader(inner.status) // gin sends it later
			}
		})).ServeHTTP(outer, c.Request)
	}
}

// writer sends through the middleware's writer. It keeps the handler's status from
// gin's writer until then: an answer in the handler's place has its own. Its other
// methods are gin's.
type writer struct {
	gin.ResponseWriter
	w      http.ResponseWriter
	status int
}

// Unwrap serves http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.w }

func (w *writer) WriteHeader(code int) {
	if code > 0 && !w.Written() {
		w.status = code
	}
}

func (w *writer) Status() int {
	if w.Written() {
		return w.ResponseWriter.Status()
	}
	return w.status
}

func (w *writer) WriteHeaderNow() {
	if !w.Written() {
		w.w.WriteHeader(w.status)
		w.ResponseWriter.WriteHeaderNow()
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeaderNow()
	return w.w.Write(p)
}

func (w *writer) WriteString(s string) (int, error) {
	w.WriteHeaderNow()
	return io.WriteString(w.w, s)
}

func (w *writer) Flush() {
	w.WriteHeaderNow()
	_ = http.NewResponseController(w.w).Flush() // gin's own says nothing either
}

func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.w).Hijack()
}
