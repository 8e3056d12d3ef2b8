// Package scsstore keeps the sessions of scs in any backend of Sojourn, and moves
// them to package session.
//
//	store, err := scsstore.New(backend, nil)
//	manager := scs.New()
//	manager.Store = store
//	manager.HashTokenInStore = true
//
// The store has the interfaces Store, CtxStore, IterableStore and IterableCtxStore of
// scs. So a program gets other stores, an exact expiry, sealed values and durable
// writes without another change.
//
// # What the interface cannot keep
//
// Scs writes whole records, without a condition. Of two requests that change a session
// at the same time, the later one overwrites what the earlier one stored. A request
// that is still running when its user signs out stores the session again. The tokens
// are the ids in the store and in observations, unless HashTokenInStore is set. Package session has none
// of these limits, and Move leads there without signing anybody out.
package scsstore
