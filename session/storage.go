package session

import "context"

// CreateStorage creates what the sessions need on the backend's server, such as
// a table or an index. It may be repeated, and sessions stay. Call it before the
// first request, or create the storage by other means: without it some backends
// fail each request.
func (s *Service) CreateStorage(ctx context.Context) error { return s.store.CreateStorage(ctx) }

// Ping returns nil if the backend's server answers. It serves health checks.
func (s *Service) Ping(ctx context.Context) error { return s.store.Ping(ctx) }
