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
// at the same time can count as one for the limiter. Package session has none of these limits,
// and adapters/fiber mounts it in fiber.
//
// The store has a hash of each key, since the key of a session is its cookie. Errors
// and observations name that hash too.
package fiberstorage
