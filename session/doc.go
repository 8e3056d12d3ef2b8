// Package session keeps web sessions in any backend of this module. It works
// without HTTP. Package sessionhttp connects it to HTTP by a cookie or a header.
//
//	svc, err := session.New(backend, nil)
//	go svc.Run(ctx) // removes expired sessions
//	http.ListenAndServe(addr, sessionhttp.Handler(svc, mux))
//
// A handler uses typed keys and the session in the context of its request:
//
//	var Cart = session.NewKey[cart]("cart")
//
//	c, ok, err := Cart.Get(ctx)
//	err = Cart.Update(ctx, func(c *cart) error { c.Items++; return nil })
//	s, ok := session.From(ctx)
//	err = s.SignIn(ctx, "alice", nil)
//
// Without HTTP a program opens a session, changes it and persists it:
//
//	s := svc.Open(token)
//	err := Cart.Set(session.NewContext(ctx, s), c)
//	credential, err := s.Persist(ctx)
//
// # What is stored
//
// A client's token is "handle.secret". The handle has 128 random bits. It is
// the id of the session's row in the store, and it is public. The secret has 256
// random bits. The row keeps a hash of it, from which nobody can make a token.
// The row of a signed-in session has the label "principal". An anonymous row has
// no label.
//
// A session is stored when the first value is written to it. A session that was
// only read has no row and no cookie.
//
// # Guarantees
//
// Package conformance/sessions has cases for each, which run on every backend. One
// of them is named after each guarantee.
//
//  1. No update is lost: two requests that change different keys both succeed.
//     Merge/TwentySixParallelRequestsSetTwentySixKeys
//  2. A session that ended never comes back, whoever writes to it.
//     SignOut/WinsOverManyWriters
//  3. An expired session is never served, even if its row is still stored.
//     Life/IdleEndsAtTheExactMillisecond
//  4. Each sign-in has a new handle and a new token, and the old token is dead
//     when SignIn returns.
//     SignIn/CarriesAnonymousDataInThreeCalls
//  5. A client keeps its session whatever a late request does: a request under a
//     token that was replaced gets no token, and none is cleared.
//     Straggler/OfASignInGetsNoSession
//  6. A lost answer of a periodic rotation does not sign anybody out.
//     Straggler/RotationThatIsLostIsOfferedAgain
//  7. A node that cannot read a session does not replace it.
//     Fleet/RowOfANewerVersionIsNotReplaced
//  8. A store that is down is an error, never a visitor who is not signed in.
//     Store/DownIsAnErrorAndNotAnonymous
//  9. Without a change nothing is written, but for a deadline or a rotation that
//     is due.
//     Load/UnchangedValueIsNotWritten
//  10. With a Keyring, a row that was changed in the store is not served.
//     Fleet/RowThatWasChangedInTheStoreIsNotServed
//  11. What an error leaves behind is listed for each call of each method in
//     docs/session-faults.md.
//     Doubt/SignInKeepsTheDataAndOneSessionWhichWasStored
//
// # Lifetimes
//
// A row expires at the earlier of two deadlines. The idle deadline slides: a use
// moves it if Policy.TouchEvery has passed since it last moved. The absolute
// deadline counts from the sign-in, and only Reauthenticate moves it. The client
// keeps its token until the absolute deadline, 400 days at most: the row alone
// decides when the session is idle. What is written after an expiry goes to a
// new session.
//
// SetIdle, SetLifetime and SignInOptions give one session its own lifetimes. The
// latest call wins. Policy has lifetimes and a bound on data for anonymous
// sessions, since any bot can make them.
// SignInOptions.NotAfter, the limit of an identity provider, caps all of them.
// SignInOptions.Persistence is for "remember me".
//
// # Two requests at the same time
//
// Changes are written by compare-and-set and merged key by key. If two requests
// set the same key, the last one wins. Key.Update runs again on the fresh value.
// A request that writes to a session that was ended elsewhere gets ErrGone.
//
// A key can have another rule. Key.FailingOnConflict returns ErrKeyConflict to
// the later request, and Key.Merging joins the two values.
//
// Key.Refresh is for what only one of many requests may do, such as renewing OAuth
// tokens: the others wait for it.
//
// A browser has one cookie for all its requests, and their answers arrive in any
// order. So a request is told apart that was under way when its token was
// replaced: it is anonymous, Why says WhyReplaced or WhyEnded, its writes are
// ErrGone, and it gets no token. The row keeps the hash of a secret that a verb
// replaced, and a session that ended leaves a marker: a few bytes without
// personal data, which are not listed, counted or found by label.
//
// After the periodic rotation the old secret stays valid until the client
// presents the new one, and for Policy.Overlap after that. Every answer until
// then offers the same new one.
//
// # People and powers
//
// User returns who is signed in. Service.Sessions lists a principal's devices, and
// Options.Limit bounds their number. Elevate raises the level for a time, and RequireRecent checks it.
// Impersonate lets an administrator act as another principal, visibly and for an
// hour at most. DestroyPrincipal, DestroyByLabel and DestroyAll end sessions, and
// Erase leaves nothing of a principal's in the store.
// Options.NotBefore also ends those whose sign-in is still under way.
//
// # Tokens that open nothing
//
// A session is anonymous, and Options.OnEvent gets an event, if its token is
// malformed, names no row or has the wrong secret. The same happens if the row
// cannot be read: foreign bytes, a wrong MAC or a missing seal key. Such a row
// stays as it is, and what is written goes to another row. A row that a newer
// version has written is anonymous too, but writes are ErrNewer. Session.Why
// tells the cases apart. A store that is down is an error, unless
// Options.StoreDown decides otherwise.
//
// # Secrets at rest
//
// Options.Keyring encrypts the data of rows with AES-256-GCM. Each write derives
// a new key from the seal key and 192 random bits. The data is bound to the id
// of the seal key and to the row's handle. A MAC covers the whole row with its
// handle and labels, so who can write to the store alone can change no session
// and make none. They can still put back an earlier state of a row. Seal keys
// are added, used and removed while the service runs. Options.Pepper turns the
// hash of the secret into an HMAC under a seal key of the same ring. If a seal
// key is lost, the sessions under it become anonymous.
//
// # Limits
//
// Browsers and stores leave some things that no code here can change.
//
// A credential is right when it is made, and its answer can be late. The store is
// asked again before an old offer of a rotated token is sent, but not while the
// answer travels. So beside a sign-in in another tab it can put the old cookie
// back, and the user signs in again. The same goes for an answer that clears a
// dead cookie: see package sessionhttp.
//
// Rotate, Reauthenticate and Elevate have no overlap. If their answer is lost and
// the store stays away until the request ends, the client has a token that opens
// nothing, and it signs in again. The other cases are in docs/session-faults.md.
//
// A load of an impersonation checks the actor's session, and a write does not.
//
// A row that is gone does not say which deadline it reached: see WhyIdle. A row
// knows a few of its replaced secrets: see Options.OnReuse. Sessions of OpenFor
// are outside of Options.Limit, since their authenticator decides how many there
// are. Key.Refresh asks a provider twice if fetch ignores its context.
//
// # Calls of the store
//
//	no token, or a session that nothing reads       0
//	reads only                                      1
//	reads, and the idle deadline is due             2; 1 more if another request has written
//	changes                                         2
//	changes that race with another request          3 if the store returns the winner, else 4;
//	                                                2 for each further race
//	changes after a sign-out elsewhere              2 or 3
//	first value of a new session                    1
//	first value of an identity without a row        2
//	sign-in over an anonymous session               3
//	sign-out                                        2
//	rotation, and the first use of a new secret     2
//	each token more that the client sends           1 more
//	Rotate, Reauthenticate, Elevate                 2
//	Impersonate                                     3
//	EndImpersonation                                5
//	a load while impersonating                      2
//	a sign-out while impersonating                  4
//	the end of an impersonation by a Destroy method 2 more
//	an offer of a rotated token, in an answer
//	that takes longer than a second                 1 more
//	a sign-in with a limit                          1 more, and one batch of evictions;
//	                                                3 more if another session is as new
//	a sign-in with OnLimitReject                    2 more; 1 in all if refused
//	reads, and SeenEvery is due                     2
//	Key.Refresh of a stale value                    3 for one request; 0 for those that wait on its node
//	Service.Count                                   17, at once
//
// Encryption, pepper, events, the binder and a session's own lifetimes add no
// calls.
package session
