//go:build unix

package file

import (
	"net"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestSocketUnderARecordsName checks that a socket is a corrupt record, that
// listings go on after it, and that an upsert replaces it.
func TestSocketUnderARecordsName(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, "s", nil)
	must(t, b.CreateStorage(t.Context()))
	other := create(t, b, newRecord("other", "", time.Time{}))
	t.Chdir(b.Path()) // a socket's path is short
	p := placeOf("id")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.path(), Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	drivertest.WantKind(t, onlyErr(b.Get(t.Context(), now, driver.Get{ID: "id"})), model.ErrCorrupt)
	page, err := b.Page(t.Context(), now, driver.Query{Limit: 10})
	if err != nil || len(page.Corrupt) != 1 || page.Corrupt[0] != "id" || len(page.Records) != 1 || page.Records[0].ID != other.ID {
		t.Errorf("page: %+v, %v", page, err)
	}
	rec := newRecord("id", "", time.Time{})
	drivertest.Seed(t, b, rec)
	holds(t, b, rec)
}
