// Package expiry keeps records that expire.
//
// It has two faces. Programs use [Store], generic and concrete:
//
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	item, err := store.Create(ctx, "cart-1", Cart{}, nil)
//	item, err = store.Mutate(ctx, "cart-1", func(c *Cart) error { c.Items++; return nil }, nil)
//
// A backend implements [ModelExpirySupport], eight methods without generics,
// and package conformance tests it. What every backend would repeat is done
// once in Store: encoding, validation, the clock, lost answers, errors,
// observation, and fall-backs for what a backend does not do by itself.
//
// # Time
//
// One clock decides what is visible: the Store's, in whole milliseconds. An
// expired record is gone for every operation, whether a sweep has removed it
// or not; a server's own expiry only collects garbage later. A clock that runs
// fast hides records early; within the grace it cannot make a sweep destroy
// them.
//
// # Lost answers
//
// A write is sent once. Where its answer is lost, the Store looks once at the
// record to learn what happened, and returns ErrUnknown where it cannot tell.
package expiry
