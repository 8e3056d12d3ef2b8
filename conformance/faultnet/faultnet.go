// Package faultnet puts network faults between a client and its server, for
// tests of backends: it loses requests and answers, and records what was sent.
//
// [HTTPProxy] and [TCPProxy] stand in front of a server and understand its
// requests, so that a test can choose the request that meets a fault and count
// round trips. [Dialer] needs no knowledge of the protocol: it loses the next
// answer on any connection, which is enough for Harness.LoseNext of package
// conformance. [Steps] interrupts one request of a client, over HTTP or on any
// connection, which is what Harness.Interrupt needs.
package faultnet

import (
	"slices"
	"sync"
)

// Fault is what happens to a request or its answer. The zero Fault is Pass.
type Fault uint8

// The faults.
const (
	Pass        Fault = iota // passes on the request and its answer
	LoseAnswer               // the server carries out the request, then the connection is closed
	LoseRequest              // the connection is closed before the request is passed on
	CutRequest               // half of the request is passed on, then the connection is closed
	CutAnswer                // half of the answer is passed on, then the connection is closed
	HoldAnswer               // the server carries out the request, and no answer is passed on
)

// String returns a name for subtests and messages, such as "answer lost".
func (f Fault) String() string {
	switch f {
	case Pass:
		return "pass"
	case LoseAnswer:
		return "answer lost"
	case LoseRequest:
		return "request lost"
	case CutRequest:
		return "request cut"
	case CutAnswer:
		return "answer cut"
	case HoldAnswer:
		return "answer held"
	}
	return "invalid"
}

// Plan says which requests meet a fault.
type Plan struct {
	Fault Fault
	// Times is the number of requests that meet it. Zero means one.
	Times int
	// Match chooses requests by name. Nil means every request.
	Match func(name string) bool
	// Then is called when the server has carried out a request that met the
	// fault, before the client can notice.
	Then func()
}

// Script holds the plan of a proxy and the names of the requests that it
// passed on. It is safe for concurrent use.
type Script struct {
	mu       sync.Mutex
	plan     Plan
	requests []string
}

// Set replaces the plan.
func (s *Script) Set(p Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan = p
	s.plan.Times = max(p.Times, 1)
}

// Next gives the fault to the next request.
func (s *Script) Next(f Fault) { s.Set(Plan{Fault: f}) }

// Requests returns the names of the requests since its last call, in order.
func (s *Script) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

// meet records the requests of one message and returns what happens to it.
func (s *Script) meet(names []string) (Fault, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, names...)
	p := s.plan
	if p.Times == 0 || p.Match != nil && !slices.ContainsFunc(names, p.Match) {
		return Pass, nil
	}
	if s.plan.Times--; s.plan.Times == 0 {
		s.plan = Plan{}
	}
	return p.Fault, p.Then
}
