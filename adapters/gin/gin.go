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
			c.Writer = &writer{outer, w}
			c.Next()
			if !outer.Written() {
				w.WriteHeader(outer.Status()) // gin sends it later
			}
		})).ServeHTTP(outer, c.Request)
	}
}

// writer sends through the middleware's writer. Its other methods are gin's.
type writer struct {
	gin.ResponseWriter
	w http.ResponseWriter
}

// Unwrap serves http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.w }

func (w *writer) WriteHeaderNow() {
	if !w.Written() {
		w.w.WriteHeader(w.Status())
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
