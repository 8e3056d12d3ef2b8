package frameworks

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// browser is a client with cookies.
type browser struct {
	t   testing.TB
	c   *http.Client
	url string
}

func newBrowser(t testing.TB, srv *httptest.Server) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := *srv.Client()
	c.Jar = jar
	return &browser{t, &c, srv.URL}
}

// visit stops the test unless the answer has the status and contains the text.
func (b *browser) visit(path string, status int, text string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if res.StatusCode != status || !strings.Contains(string(body), text) {
		b.t.Fatalf("%s: %d %q, want %d %q", path, res.StatusCode, body, status, text)
	}
}

func serve(t testing.TB, h http.Handler) *httptest.Server {
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func TestSessionsBehindFrameworks(t *testing.T) {
	for _, a := range apps() {
		t.Run(a.name, func(t *testing.T) {
			m, err := sessionhttp.New(sessiontest.New(t, nil).Service, &sessionhttp.Options{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			srv := serve(t, a.new(m))
			b := newBrowser(t, srv)
			b.visit("/next", http.StatusOK, "1")
			b.visit("/next", http.StatusOK, "2")
			b.visit("/stream", http.StatusOK, "3 and the rest")
			b.visit("/refuse", http.StatusTeapot, "no")
			b.visit("/next", http.StatusOK, "5")
			// After a panic the recovery's answer arrives, and the session is stored.
			b.visit("/fall", http.StatusInternalServerError, recovered(a.name))
			b.visit("/next", http.StatusOK, "101")
			b = newBrowser(t, srv)
			b.visit("/fall", http.StatusInternalServerError, recovered(a.name))
			b.visit("/next", http.StatusOK, "101")
			b = newBrowser(t, srv)
			b.visit("/stream", http.StatusOK, "1 and the rest")
			b.visit("/next", http.StatusOK, "2")
		})
	}
}

// recovered returns what the framework's recovery answers.
func recovered(name string) string {
	if strings.Contains(name, "Echo") {
		return "Internal Server Error"
	}
	return ""
}

// A middleware of gin that passes only the request on loses the cookie. It says so.
func TestWriterThatIsNotPassedOnIsLogged(t *testing.T) {
	var log bytes.Buffer
	m, err := sessionhttp.New(sessiontest.New(t, nil).Service, &sessionhttp.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(func(c *gin.Context) {
		m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { c.Request = r; c.Next() })).ServeHTTP(c.Writer, c.Request)
	})
	r.GET("/next", func(c *gin.Context) {
		text, _ := next(c.Request.Context())
		c.String(http.StatusOK, text)
	})
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/next", nil))
	res := w.Result()
	defer func() { _ = res.Body.Close() }()
	if len(res.Cookies()) != 0 || !strings.Contains(log.String(), "session token not sent") {
		t.Fatalf("the cookies %v were sent, and logged was %q", res.Cookies(), log.String())
	}
}
