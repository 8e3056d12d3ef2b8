package sessiongin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gin-gonic/gin"

	sessiongin "github.com/sojourn-go/sojourn/adapters/gin"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

var visits = session.NewKey[int]("visits")

func Example() {
	backend, _ := memory.New(nil, "gin", nil)
	svc, _ := session.New(backend, nil)
	m, err := sessionhttp.New(svc, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.Recovery(), sessiongin.New(m.Wrap)) // in this order
	r.GET("/", func(c *gin.Context) {
		ctx := c.Request.Context()
		if err := visits.Update(ctx, func(n *int) error { *n++; return nil }); err != nil {
			_ = c.AbortWithError(sessionhttp.Status(err), err)
			return
		}
		n, _, _ := visits.Get(ctx)
		c.String(http.StatusOK, "visit %d", n)
	})
	r.GET("/account", sessiongin.New(sessionhttp.RequireSignIn(nil)), func(c *gin.Context) { c.String(http.StatusOK, "yours") })

	for _, path := range []string{"/", "/account"} {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://shop.example"+path, nil))
		fmt.Println(w.Code, w.Body, len(w.Result().Cookies()))
	}
	// Output:
	// 200 visit 1 1
	// 401 Please sign in.
	//  0
}
