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
// Use the session before the first byte. A handler that first reads it later gets
// no headers for caches, and a change is session.ErrCommitted. The first is
// logged, and so is a cookie that could not be sent.
//
// # The cookie
//
// The cookie is __Host-id with Secure, HttpOnly, SameSite=Lax and Path=/. It
// lives to the absolute deadline of the session, 400 days at most. Only the store
// decides when a session is idle. Most browsers accept Secure cookies from
// localhost over plain http. Set Options.Insecure for Safari on localhost, and for
// any other host without https.
//
// Cookies are read as browsers write them. Only spaces and tabs are removed around
// a name, so no cookie of a subdomain passes for this one. Of several cookies, the
// one that opens a session is served: see Cookie. A cookie that opens nothing is
// cleared in the next answer to a navigation that used the session, but not in a
// redirect. A background request clears none, since a sign-in may overtake it. Of
// several cookies that are not named __Host-, none is cleared before a sign-in or a
// sign-out: the one that stays could be another person's.
// SignOut clears the cookie with and without Domain, Path and Partitioned.
//
// An answer cannot name the value of the cookie that it clears. So a navigation with
// a dead cookie, if it is slower than a sign-in in another tab, clears the new one
// too. The same goes for a page with two live cookies of a name with __Host-, which
// clears both. Their users sign in again.
//
// # Caches
//
// A response that sets the cookie has Cache-Control: private, no-store. So has one
// that used the session of somebody who is signed in, if the handler set no
// Cache-Control: see Options.CacheControl. A response that depends on the session
// has Vary: Cookie. SignOutOptions.ClearSiteData "cache" also removes what the
// browser kept before.
//
// # When the store fails
//
// A request without a token makes no call of the store until something is
// written to its session. So it is served while the store is down. If the
// session cannot be loaded, the handler's calls return the store's error. An
// answer below 500 is then replaced by 503, because the handler did not notice.
// The handler's own 5xx answer is sent.
//
// If the session cannot be committed, or refused a change that the handler did not
// notice, the answer has the status of the error: see Status. It is 503 if the
// store is down, and 409 if the session was ended meanwhile or other requests kept
// changing it. Options.OnError writes other answers.
//
// # Other transports
//
// Options.Transport says how the token travels: Cookie, Bearer, Header, or Both
// of two. Answers to a token in a header have Cache-Control: private, no-store.
// Options.AnswerBy chooses between two for a sign-in, and Token is for a handler
// that puts the token into its answer.
//
// # Cross-site requests
//
// SameSite=Lax keeps the cookie out of most cross-site requests. Wrap uses
// http.CrossOriginProtection, which refuses the others if they can change
// something. Neither checks the GET of a WebSocket: its library or the program
// has to check the Origin. Middleware.RequireCSRF adds a token, for browsers
// without Fetch metadata.
//
// A request of another site may come without the cookie although its browser has
// one, for example the form of an identity provider. A new cookie would replace
// it. So what creates a session there returns session.ErrCrossSite, and the answer
// is 403. Middleware.Repost lets the browser send such a form again with its
// cookie.
//
// # Frameworks and proxies
//
// Below adapters are those for Echo, gin and fiber. Frameworks on net/http need none.
// A framework has to pass on the writer of Wrap as well as the request. The writer
// has the optional interfaces of the one below it. After a panic the session is
// committed, and an outer recovery can answer through the writer. Behind a proxy,
// set Options.TrustedProxies. If the program is a proxy itself, StripCookie keeps
// the token from the servers behind it.
//
// A second Wrap of one service does nothing. The Wraps of two services give a
// request two sessions: see Wrap.
package sessionhttp
