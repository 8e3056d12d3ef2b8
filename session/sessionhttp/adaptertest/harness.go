package adaptertest

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// Harness says how to build an App in a framework. One of Handler and Serve is set.
type Harness struct {
	// Handler returns the App, for frameworks on net/http.
	Handler func(t testing.TB, app App) http.Handler
	// Serve serves the App on the listener until the test ends, for all others.
	Serve func(t testing.TB, l net.Listener, app App)
	// Unsupported has a reason for each case that the framework cannot pass. The
	// case is skipped with it. A name that is not a case fails the test.
	Unsupported map[string]string
}

// App is a program that the harness builds.
type App struct {
	// Wraps are middlewares of net/http, the outermost first. The adapter mounts
	// each of them, outside of all routes and inside of the framework's recovery.
	Wraps []func(http.Handler) http.Handler
	// Routes answer GET and POST.
	Routes []Route
}

// Route is one path of an App.
type Route struct {
	Path string
	// Handle answers. The framework answers an error that it returns: those of
	// Exchange.Fail with their status, any other one with 500.
	Handle func(Exchange) error
	// Timeout is the limit of the framework's own middleware for it, inside of the
	// adapter. The context of the Exchange ends then. Zero means no limit.
	Timeout time.Duration
}

// Exchange is a request and its answer, as the framework shows them to a handler.
type Exchange interface {
	// Context returns the request's context. It has the session.
	Context() context.Context
	Body() io.Reader
	SetHeader(name, value string)
	// Text answers with a text.
	Text(status int, text string) error
	// Redirect answers with a redirect.
	Redirect(status int, to string) error
	// Fail returns the framework's own error with a status.
	Fail(status int, text string) error
	// Stream answers with 200 and what write writes. Its flush sends what was
	// written so far. Write may run after the handler has returned.
	Stream(write func(w io.Writer, flush func() error)) error
	// Hijack answers with 101 and the header Upgrade: echo, and then gives the
	// connection to use. Use may run after the handler has returned.
	Hijack(use func(net.Conn)) error
	// Abort cuts the connection. It may panic.
	Abort() error
}
