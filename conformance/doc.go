// Package conformance tests that a backend keeps the contract of
// [driver.ModelExpirySupport]. It is for authors of backends:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{
//			Open: func(t testing.TB, name string) driver.ModelExpirySupport {
//				return mybackend.New(server, name) // the same name opens the same data
//			},
//		})
//	}
//
// Every numbered rule of the contract has cases. A failure prints the rules of
// the case, their texts and the place of the case. Time is an argument of
// every call, so no case sleeps. The suite's clock starts 24 hours from now
// and only moves forward, so that the server's own expiry removes nothing. The
// cases run in parallel, each on a store of its own. Cases that count
// goroutines run alone, after all others.
//
// A backend declares in its Description what it cannot do, and why. The suite
// then checks that the backend returns ErrUnsupported. An absence that
// Harness.Allow does not list is a failure.
//
// What the harness cannot do leaves cases that do not run. The [Report] names
// them by rule. It also names the parts of a stored record that no checksum
// covers, as Harness.Stored states them.
//
// [All] is the Harness.Cases of a backend that proves every case.
// docs/write-a-backend.md shows how to write a backend and its harness.
//
// [Check] runs the same cases without a *testing.T and returns the failures as
// an error.
package conformance
