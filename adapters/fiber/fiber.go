package sessionfiber

import (
	"bytes"
	"io"
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
		w := &writer{c: c, header: http.Header{}}
		w.load()
		defer w.apply() // after a panic too
		wrap(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			c.SetContext(r.Context())
			w.apply()
			if err = c.Next(); err != nil && c.RequestCtx().LastTimeoutErrorResponse() == nil {
				err = c.App().ErrorHandler(c, err)
			}
			w.load()
			status := w.answer().StatusCode()
			w.answer().SetStatusCode(http.StatusOK) // of an OnError that sets none
			out.WriteHeader(status)
			_, dropped := out.Write(nil)
			w.passed = dropped == nil
		})).ServeHTTP(w, request(c))
		if !w.passed {
			w.answer().SetBodyRaw(w.body)
		}
		return err
	}
}

// request returns a copy of fiber's request. A body that is streamed stays with the
// handler.
func request(c fiber.Ctx) *http.Request {
	f := c.RequestCtx()
	r := &http.Request{
		Method: string(f.Method()), URL: &url.URL{Path: string(f.Path()), RawQuery: string(f.URI().QueryString())}, Host: string(f.Host()),
		RequestURI: string(f.RequestURI()), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, TLS: f.TLSConnectionState(),
		RemoteAddr: f.RemoteAddr().String(), Body: http.NoBody, ContentLength: int64(f.Request.Header.ContentLength()),
	}
	if !f.Request.IsBodyStream() {
		r.Body = io.NopCloser(bytes.NewReader(f.PostBody()))
	}
	for name, value := range f.Request.Header.All() {
		r.Header.Add(string(name), string(value))
	}
	return r.WithContext(c.Context())
}

// writer is what the middleware writes to. Its headers are those of fiber's answer.
type writer struct {
	c           fiber.Ctx
	header, was http.Header
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
		was := w.was[name]
		if len(values) < len(was) || !slices.Equal(values[:len(was)], was) {
			h.Del(name)
			was = nil
		}
		for _, v := range values[len(was):] {
			h.Add(name, v)
		}
	}
	w.was = w.header.Clone()
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
