// Package fiberstorage puts any backend of Sojourn behind the interface Storage of
// gofiber, which fiber's middlewares for sessions, CSRF, limits, caches and idempotency
// use.
//
//	storage, err := fiberstorage.New(backend, nil)
//	app.Use(fibersession.New(fibersession.Config{Storage: storage}))
//
// So a program gets other stores, an exact expiry, sealed values and durable writes
// without another change. The package itself does not need fiber.
//
// # What the interface cannot keep
//
// Fiber writes whole values, without a condition. Of two requests that change a session
// at the same time, the later one overwrites what the earlier one stored. A request
// that is still running when its user signs out stores the session again. Two requests
// at the same time can count as one for the limiter. The keys are ids in the store as
// they are, and a session's key is its cookie: set StoreOptions.SecretIDs to store a
// hash instead. Package session has none of these limits, and adapters/fiber mounts
// it in fiber.
package fiberstorage
