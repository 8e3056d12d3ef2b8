package foreign

import (
	"context"
	"strings"
	"sync"

	"github.com/sojourn-go/sojourn/model"
)

// names knows the names of sessions by their ids, if these are hashes. It takes
// about 150 bytes a session.
type names struct {
	mu     sync.Mutex
	byID   map[string]string
	filled bool // all sessions were listed in this process
}

const (
	listed = 1000
	hashed = "sha256-" // begins ids that are hashes: see expiry.SafeID
)

func (n *names) add(id, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byID == nil {
		n.byID = map[string]string{}
	}
	n.byID[id] = name
}

// name returns the library's name of a session. A run that goes on in the middle
// lists the names first.
func (s *Source) name(ctx context.Context, id string) (string, error) {
	if !strings.HasPrefix(id, hashed) {
		return id, nil
	}
	n := &s.names
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byID == nil {
		n.byID = map[string]string{}
	}
	if name, ok := n.byID[id]; ok || n.filled {
		return name, found(ok)
	}
	for after := ""; ; {
		entries, next, err := s.server.list(ctx, after, listed)
		if err != nil {
			return "", err
		}
		for i := range entries {
			n.byID[s.kind.id(entries[i].name)] = entries[i].name
		}
		if after = next; next == "" {
			break
		}
	}
	n.filled = true
	name, ok := n.byID[id]
	return name, found(ok)
}

func found(ok bool) error {
	if ok {
		return nil
	}
	return model.ErrNotFound
}
