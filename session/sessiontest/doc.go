// Package sessiontest helps to test programs with sessions. It has a clock that
// moves when told, requests with a session, and a backend that counts, holds,
// fails and changes calls.
//
//	r := sessiontest.Request(t, r, sessiontest.As("alice"), sessiontest.With(Cart, c))
package sessiontest
