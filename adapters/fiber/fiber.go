package sessionfiber

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
)

// New returns a middleware of fiber from one of net/http: Middleware.Wrap of package
// sessionhttp, its RequireSignIn, or another guard. Wrap goes outside of the guards
// and inside of fiber's recover. It may be used with Use of an App or a Group, and for
// one route.
func New(wrap func(http.Handler) http.Handler) fiber.Handler {
	return func(c fiber.Ctx) (err error) {
		w := &writer{c: c}
		w.load()
		defer w.apply() // after a panic too
		wrap(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			c.SetContext(r.Context())
			w.apply()
			if err = c.Next(); err != nil && c.RequestCtx().LastTimeoutErrorResponse() == nil {
				if err = c.App().ErrorHandler(c, err); err != nil {
					err = c.SendStatus(http.StatusInternalServerError)
				}
			}
			w.load()
			w.status = w.answer().StatusCode()
			out.WriteHeader(w.status)
			_, dropped := out.Write(nil)
			w.passed = dropped == nil
		})).ServeHTTP(w, request(c))
		if !w.passed {
			w.answer().ResetBody()
			w.answer().SetBodyRaw(w.body)
		}
		return err
	}
}

// request returns a copy of fiber's request. Its body is read only on demand.
func request(c fiber.Ctx) *http.Request {
	f := c.RequestCtx()
	r := &http.Request{
		Method: string(f.Method()), RequestURI: string(f.RequestURI()), Host: string(f.Host()), RemoteAddr: f.RemoteAddr().String(),
		TLS: f.TLSConnectionState(), Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(f.Request.Header.ContentLength()), Body: io.NopCloser(&body{f: f}),
	}
	var err error
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		r.URL = &url.URL{Path: string(f.Path())}
	}
	for name, value := range f.Request.Header.All() {
		r.Header.Add(string(name), string(value))
	}
	r.Header.Del("Host")
	return r.WithContext(c.Context())
}

type body struct {
	f *fasthttp.RequestCtx
	r io.Reader
}

func (b *body) Read(p []byte) (int, error) {
	if b.r == nil {
		b.r = bytes.NewReader(b.f.PostBody())
	}
	return b.r.Read(p)
}

// writer is what the middleware writes to. Its headers are those of fiber's answer.
type writer struct {
	c           fiber.Ctx
	header, was http.Header
	status      int
	body        []byte
	passed      bool // fiber's own body is sent
}

// answer returns what fasthttp sends.
func (w *writer) answer() *fasthttp.Response {
	if late := w.c.RequestCtx().LastTimeoutErrorResponse(); late != nil {
		return late
	}
	return w.c.Response()
}

// load takes the headers of fiber's answer.
func (w *writer) load() {
	if w.header == nil {
		w.header = http.Header{}
	}
	clear(w.header)
	for name, value := range w.answer().Header.All() {
		w.header.Add(string(name), string(value))
	}
	w.was = w.header.Clone()
}

// apply gives fiber's answer the headers that have changed since load.
func (w *writer) apply() {
	h := &w.answer().Header
	for name := range w.was {
		if _, there := w.header[name]; !there {
			h.Del(name)
		}
	}
	for name, values := range w.header {
		if !slices.Equal(values, w.was[name]) {
			h.Del(name)
			for _, v := range values {
				h.Add(name, v)
			}
		}
	}
	w.was = maps.Clone(w.header)
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(code int) {
	if code >= http.StatusOK || code == http.StatusSwitchingProtocols {
		w.answer().SetStatusCode(code)
		w.apply()
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}
