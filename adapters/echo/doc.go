// Package sessionecho mounts the middlewares of package sessionhttp in Echo v5.
//
//	e.Use(middleware.Recover(), sessionecho.New(m.Wrap))
//
// The adapter passes on the writer and the request, and answers an error of a handler
// by Echo's HTTPErrorHandler inside of the middleware. So the session sees the status
// of every answer before it is sent. It returns the error too, as Echo's own logger
// does, so a handler of yours for errors has to look at Response.Committed.
package sessionecho
