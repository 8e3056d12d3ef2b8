// Package sessionhttp puts package session behind a cookie.
//
//	http.ListenAndServe(addr, sessionhttp.Handler(svc, mux))
//
// A request's context carries its session, loaded when the handler first uses
// it and committed before the response's first byte, so that no answer leaves
// that the store has not heard of. That holds for Write, WriteHeader, Flush,
// Hijack and ReadFrom, for a handler that writes nothing and for one that
// panics. Interim responses (1xx) pass. A request that never looks at its
// session makes no store call, and is no use that keeps it from going idle.
//
// # The cookie
//
// It is __Host-id, Secure, HttpOnly, SameSite=Lax, Path=/, and lives no longer
// than the session's row. Browsers take localhost over plain http for secure,
// Safari does not: for it, and for any other host without https, set
// Options.Insecure. A response that sets the cookie carries Cache-Control:
// private, no-store; one that depends on the session, Vary: Cookie.
//
// # When the store fails
//
// A request without a token makes no store call until something is written to
// its session, and so is served while the store is down. Where the session
// cannot be loaded, the handler's calls return the store's error; a handler
// that answers as if nothing had happened has its answer replaced by 503, one
// that answers with a 5xx of its own keeps it. Where the session cannot be
// committed the answer is 500, and 409 where it was ended meanwhile or others
// kept changing it. Options.OnError writes other answers.
//
// # Other transports
//
// Options.Transport says how the token travels: Cookie, Bearer, Header, or Both
// of two. Answers to a token in a header carry Cache-Control: private,
// no-store.
//
// # Cross-site requests
//
// SameSite=Lax keeps the cookie from most of them; http.CrossOriginProtection,
// part of Wrap, refuses the rest that would change something. Neither looks at
// the GET of a WebSocket: its library checks the Origin, or the program does.
// Middleware.RequireCSRF adds a token for browsers without Fetch metadata.
package sessionhttp
