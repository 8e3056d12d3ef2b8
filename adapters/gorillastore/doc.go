// Package gorillastore keeps the sessions of gorilla/sessions in any backend of
// Sojourn.
//
//	store, err := gorillastore.New(backend, nil)
//	session, err := store.Get(r, "session")
//
// So a program gets other stores, an exact expiry, sealed values and durable writes
// without another change. The cookie has a random id, and the store has only its hash.
// So it needs no key pairs. Values are encoded with gob: types of your own must be
// registered, as for gorilla's stores.
//
// Save of a session that was loaded is an update: it does not bring back a session that
// ended meanwhile, by a sign-out in another tab or by its expiry. It returns an error
// that matches expiry.ErrNotFound then.
//
// # What the interface cannot keep
//
// Gorilla writes whole sessions. Of two requests that change a session at the same
// time, the later one overwrites what the earlier one stored. A sign-in keeps the id,
// unless the program saves the session with a MaxAge of -1 first and then saves it
// again. Package session has none of these limits.
package gorillastore
