// Package sessiongin mounts the middlewares of package sessionhttp in gin.
//
//	r.Use(gin.Recovery(), sessiongin.New(m.Wrap))
//
// Gin has a writer of its own, which keeps the status until the first byte. The
// adapter puts one between that and the handlers, so the session is stored before any
// of them reaches the client: by Write, Flush, Hijack, WriteHeaderNow and the end of
// the handlers.
package sessiongin
