// Package expiry keeps records that expire.
//
// A program opens a backend, such as redis.New or file.New, and a [Store] on
// it:
//
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	item, err := store.Create(ctx, "cart-1", Cart{}, nil)
//	item, err = store.Mutate(ctx, "cart-1", func(c *Cart) error { c.Items++; return nil }, nil)
//
// Store does what every backend needs, once: encoding, validation, the clock,
// lost answers, errors and observation. A backend implements
// [ModelExpirySupport]; package driver documents it for authors of backends,
// and package conformance tests it.
//
// # Time
//
// The Store's clock decides which records are live, in whole milliseconds. An
// expired record is gone for every operation, even if no sweep has removed it
// yet. The server's own expiry only removes what is expired, later. A clock
// that runs fast hides records early. Within the grace it cannot make a sweep
// destroy them.
//
// # Lost answers
//
// A write is sent once. If its answer is lost, the Store reads the record to
// learn the outcome, and returns ErrUnknown if that does not prove it.
package expiry
