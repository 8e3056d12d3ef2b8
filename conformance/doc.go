// Package conformance proves that a backend keeps the contract of
// [expiry.ModelExpirySupport]. It is for anyone who writes a backend:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{
//			Open: func(t testing.TB, name string) expiry.ModelExpirySupport {
//				return mybackend.New(server, name) // the same name is the same data
//			},
//		})
//	}
//
// Every numbered rule of the contract has cases; a failure names the rule, its
// text and where the case is written. Time is an argument of every call, so
// nothing waits or sleeps. The suite's clock starts 24 hours from now and only
// moves forward, so that no server's own expiry meddles. The cases run in
// parallel, each on a store of its own; those that count goroutines run alone,
// after all others.
//
// What a backend cannot do it declares in its Description with a reason, and
// the suite asserts that it answers ErrUnsupported: nothing is skipped in
// silence. An absence fails unless Harness.Allow lists it.
//
// [Check] runs the same cases without a *testing.T and returns the failures as
// an error.
package conformance
