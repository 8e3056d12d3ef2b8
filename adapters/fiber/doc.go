// Package sessionfiber mounts the middlewares of package sessionhttp in fiber v3.
//
//	app.Use(recoverer.New(), sessionfiber.New(m.Wrap))
//
// A handler finds the session in c.Context(). Fiber is not on net/http: its handlers
// fill an answer that is sent when they have returned. So the session is stored
// between the two. A stream (SendStreamWriter) and a hijacker run after that, and a
// change of the session there is session.ErrCommitted.
//
// The adapter gives the middleware a copy of the request, without what fasthttp uses
// again later. An error of a handler is answered by the app's ErrorHandler inside of
// the middleware, as fiber's own logger does. The request's context does not end if
// the client hangs up, because fasthttp does not tell.
package sessionfiber
