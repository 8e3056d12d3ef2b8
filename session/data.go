package session

import (
	"context"
	"strings"
)

// leasePrefix begins the names of the values that Key.Refresh keeps in a session.
// No Key of a program can have such a name.
const leasePrefix = "_lease:"

// Keys returns the names of the values that the context's session has, sorted. It
// returns ErrNoSession if the context has none, and the store's error if the
// session could not be loaded. An empty list means a session without data.
func Keys(ctx context.Context) ([]string, error) {
	s, err := Require(ctx)
	if err == nil {
		err = s.ensure(ctx)
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names(), nil
}

// names returns the names of the program's values.
func (l *lifecycle) names() []string {
	out := make([]string, 0, len(l.data))
	for _, v := range l.data {
		if !strings.HasPrefix(v.Key, leasePrefix) {
			out = append(out, v.Key)
		}
	}
	return out
}

// Clear removes all values of the context's session with its next Persist. The
// session goes on, and whoever is signed in stays signed in. What another
// request changes meanwhile is decided key by key: a value that it adds stays,
// and one that both change is removed, unless a later Persist sets it. Clear
// returns ErrNoSession if the context has no session, and ErrCommitted after the
// commit.
func Clear(ctx context.Context) error {
	s, err := Require(ctx)
	if err != nil {
		return err
	}
	if err := s.hold(ctx); err != nil {
		return err
	}
	defer s.release()
	for _, name := range s.names() {
		s.record(op{key: name}, nil)
	}
	return nil
}
