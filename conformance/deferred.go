package conformance

import (
	"sync"
	"testing"
)

// deferred is a testing.TB whose cleanups run when run is called, not at the
// end of the case.
type deferred struct {
	testing.TB
	mu       sync.Mutex
	cleanups []func()
}

// Cleanup registers f for run.
func (s *deferred) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

// run calls the cleanups, last registered first.
func (s *deferred) run() {
	for {
		s.mu.Lock()
		n := len(s.cleanups)
		if n == 0 {
			s.mu.Unlock()
			return
		}
		f := s.cleanups[n-1]
		s.cleanups = s.cleanups[:n-1]
		s.mu.Unlock()
		f()
	}
}
