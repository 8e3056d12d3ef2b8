package conformance

import (
	"sync"
	"testing"
)

// scope is a testing.TB whose cleanups run when told, not at the end of the
// case.
type deferred struct {
	testing.TB
	mu       sync.Mutex
	cleanups []func()
}

// Cleanup registers f for end.
func (s *deferred) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

// end runs the cleanups, last registered first.
func (s *deferred) end() {
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
