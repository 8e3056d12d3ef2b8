package bbolt

import (
	"context"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Check looks at the database and at the store's bucket, and changes nothing.
func (b *Backend) Check(ctx context.Context) (driver.Checks, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	mode, sync := "it takes writes", "each commit is synced"
	if b.db.IsReadOnly() {
		mode = "it is open for reading only"
	}
	if b.db.NoSync {
		sync = "NoSync: a power cut may damage the whole file"
	}
	bucket, err := view(ctx, b, func(s *store) (driver.Finding, error) {
		seen, fix := "it exists", ""
		if err := s.refuse(); err != nil {
			seen, fix = err.Error(), "give the store a bucket of its own"
		} else if s.top == nil {
			seen, fix = "none", "call CreateStorage"
		}
		found := driverkit.Finding("bucket", "a bucket of the store's own", seen, fix == "", driver.CheckUnsafe, fix)
		found.Missing = seen == "none"
		return found, nil
	})
	if err != nil {
		return nil, err
	}
	return driver.Checks{
		driverkit.Finding("mode", "a database that takes writes", mode, !b.db.IsReadOnly(), driver.CheckUnsafe, "open it without ReadOnly"),
		driverkit.Finding("sync", "synced commits, so that a power cut loses nothing", sync, !b.db.NoSync, driver.CheckWarning, "open it without NoSync"),
		bucket,
	}, nil
}
