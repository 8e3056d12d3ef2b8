package bbolt

import (
	"context"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Check looks at the database and at the store's bucket, and changes nothing.
func (b *Backend) Check(ctx context.Context) (driver.Checks, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	mode := driver.Finding{Name: "mode", Seen: "it takes writes", Need: "a database that takes writes"}
	if b.db.IsReadOnly() {
		mode.Level, mode.Seen, mode.Fix = driver.CheckUnsafe, "it is open for reading only", "open it without ReadOnly"
	}
	sync := driver.Finding{Name: "sync", Seen: "each commit is synced", Need: "synced commits, so that a power cut loses nothing"}
	if b.db.NoSync {
		sync.Level, sync.Seen, sync.Fix = driver.CheckWarning, "NoSync: a power cut may damage the whole file", "open it without NoSync"
	}
	place, err := view(ctx, b, func(s *store) (driver.Finding, error) {
		f := driver.Finding{Name: "bucket", Seen: "it exists", Need: "a bucket of the store's own"}
		if err := s.refuse(); err != nil {
			f.Level, f.Seen, f.Fix = driver.CheckUnsafe, err.Error(), "give the store a bucket of its own"
		} else if s.top == nil {
			f.Level, f.Seen, f.Fix = driver.CheckUnsafe, "none", "call CreateStorage"
		}
		return f, nil
	})
	if err != nil {
		return nil, err
	}
	return driver.Checks{mode, sync, place}, nil
}
