// Package sessions is the part of the conformance suite that runs sessions on a
// backend. It tests what can differ between backends, above all races.
//
//	func TestSessions(t *testing.T) { sessions.Run(t, harness) }
//
// The cases use package session, count the calls of the backend, and move time
// by a clock of their own: nothing sleeps.
package sessions
