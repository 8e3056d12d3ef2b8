// Package sessionhttp connects package session to HTTP, with a cookie or a
// header.
//
//	http.ListenAndServe(addr, sessionhttp.Handler(svc, mux))
//
// The context of each request has its session. The session is loaded when the
// handler first uses it. It is committed before the first byte of the response,
// so the store has every change that an answer shows. That applies to Write,
// WriteHeader, Flush, Hijack and ReadFrom, to a handler that writes nothing, and
// to one that panics. Interim responses (1xx) pass. If a request does not use its
// session, it makes no call of the store and does not move the idle deadline.
//
// # The cookie
//
// The cookie is __Host-id with Secure, HttpOnly, SameSite=Lax and Path=/. It
// expires no later than the session's row. Most browsers accept Secure cookies
// from localhost over plain http. Set Options.Insecure for Safari on localhost,
// and for any other host without https. A response that sets the cookie has
// Cache-Control: private, no-store. A response that depends on the session has
// Vary: Cookie.
//
// # When the store fails
//
// A request without a token makes no call of the store until something is
// written to its session. So it is served while the store is down. If the
// session cannot be loaded, the handler's calls return the store's error. An
// answer below 500 is then replaced by 503, because the handler did not notice.
// The handler's own 5xx answer is sent.
//
// If the session cannot be committed, the answer is 500. It is 409 if the
// session was ended meanwhile or other requests kept changing it.
// Options.OnError writes other answers.
//
// # Other transports
//
// Options.Transport says how the token travels: Cookie, Bearer, Header, or Both
// of two. Answers to a token in a header have Cache-Control: private, no-store.
//
// # Cross-site requests
//
// SameSite=Lax keeps the cookie out of most cross-site requests. Wrap uses
// http.CrossOriginProtection, which refuses the others if they can change
// something. Neither checks the GET of a WebSocket: its library or the program
// has to check the Origin. Middleware.RequireCSRF adds a token, for browsers
// without Fetch metadata.
package sessionhttp
