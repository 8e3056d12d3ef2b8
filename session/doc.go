// Package session keeps web sessions in any backend of this module. It works
// without HTTP; package sessionhttp puts it behind a cookie.
//
//	svc, err := session.New(backend, nil)
//	go svc.Run(ctx) // removes expired sessions
//	http.ListenAndServe(addr, sessionhttp.Handler(svc, mux))
//
// A handler uses typed keys and the session of its request's context:
//
//	var Cart = session.NewKey[cart]("cart")
//
//	c, ok, err := Cart.Get(ctx)
//	err = Cart.Update(ctx, func(c *cart) error { c.Items++; return nil })
//	s, ok := session.From(ctx)
//	err = s.SignIn(ctx, "alice", nil)
//
// Without HTTP the same is load, change, persist:
//
//	s := svc.Open(token)
//	err := Cart.Set(session.NewContext(ctx, s), c)
//	credential, err := s.Persist(ctx)
//
// # What is stored
//
// A client's token is "handle.secret". The handle, 128 random bits, is the id
// of the session's row and public; the row keeps a hash of the secret, 256
// random bits, and nothing from which a token could be made. A row that has a
// principal bears it as the label "principal"; an anonymous one bears none.
//
// A session exists in the store from the first value written to it. One that
// was only read leaves no row and no cookie.
//
// # Lifetimes
//
// The expiry of the row is the earlier of two deadlines. The idle deadline
// slides: a use moves it once Policy.TouchEvery has passed since it last moved.
// The absolute deadline counts from the sign-in and nothing but Reauthenticate
// moves it. A session that has expired is no session, whether its row was
// removed yet or not; what is then written goes to a fresh one.
//
// SetIdle, SetLifetime and SignInOptions give one session lifetimes of its own;
// SignInOptions.NotAfter, what an identity provider said, caps them all.
//
// # Two requests at once
//
// Changes are written by compare-and-set and merged key by key: two requests
// that change different keys both succeed, of two that set one key the last
// wins, and Key.Update runs again on the fresh value. A session that was ended
// elsewhere is never brought back; the request that wanted to write to it gets
// ErrGone.
//
// A browser has one cookie for all its requests. Where a request has moved the
// idle deadline just before another one changes the secret by Rotate,
// Reauthenticate or SignIn, and its answer arrives last, the browser keeps the
// old token and its user has to sign in again. After the
// periodic rotation the secret before it stays valid until the new one has been
// seen and for Policy.Overlap longer, so only an answer that is delayed beyond
// that could do the same.
//
// A key may ask for another rule: Key.Rejecting refuses the later of two, and
// Key.Merging joins them.
//
// # People and powers
//
// Service.Sessions is the list of one's own devices, and Options.Limit bounds
// it. Elevate raises the level for a time, RequireRecent asks for it, and
// Impersonate lets an administrator act as somebody else, visibly and for an
// hour at most. DestroyPrincipal, DestroyByLabel and DestroyAll end sessions;
// Options.NotBefore makes sure that a sign-in under way is not missed.
//
// # What is not served
//
// A token that is none, that names no row, whose secret is wrong or whose row
// cannot be read (foreign bytes, a newer format, a key that is not in the ring)
// is an anonymous session and an event; the row is left alone, and what is
// written goes to another. A store that is down is an error, unless
// Options.StoreDown says otherwise.
//
// # Secrets at rest
//
// With Options.Keyring the data of a row is sealed by AES-256-GCM, each time
// under a key of its own that is derived from the ring's and 192 random bits,
// and bound to the key's id and the row's handle. Keys are added, used and
// removed while the service runs. With Options.Pepper the hash of the secret is
// an HMAC under a key of the same ring. A key that is lost makes the sessions
// under it anonymous.
//
// # Driver calls
//
//	no token, or a session that nothing looks at    0
//	reads only                                      1
//	reads, and the idle deadline is due             2
//	changes                                         2
//	changes beside another request's                3 where the store tells the winner, else 4;
//	                                                2 for each further one
//	changes after a sign-out elsewhere              2 or 3
//	first value of a new session                    1
//	sign-in over an anonymous session               3
//	sign-out                                        2
//	rotation, and the first use of a new secret     2
//	Rotate, Reauthenticate, Elevate                 2
//	Impersonate                                     3
//	EndImpersonation                                5
//	a load while impersonating                      2
//	a sign-in with a limit                          1 more, 1 for each eviction
//	a sign-in with a limit that rejects             2 more; 1 in all where refused
//
// Sealing, peppering, events, binding and deadlines of one's own add none.
package session
