package sessionecho

import (
	"net/http"

	"github.com/labstack/echo/v5"
)

// New returns a middleware of Echo from one of net/http: Middleware.Wrap of package
// sessionhttp, its RequireSignIn, or another guard. Wrap goes outside of the guards
// and inside of Echo's Recover. It may be used with Use of an Echo or a Group, and for
// one route.
func New(wrap func(http.Handler) http.Handler) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) (err error) {
			outer := c.Response()
			defer c.SetResponse(outer) // what is outside writes its answer past the session, after a panic too
			wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c.SetRequest(r)
				c.SetResponse(echo.NewResponse(w, c.Logger()))
				if err = next(c); err != nil {
					c.Echo().HTTPErrorHandler(c, err)
				}
			})).ServeHTTP(outer, c.Request())
			return err
		}
	}
}
