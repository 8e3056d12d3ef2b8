package bbolt

import (
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestCheck(t *testing.T) {
	for _, noSync := range []bool{false, true} {
		b := newOn(t, openDB(t, filepath.Join(t.TempDir(), "db"), &bbolt.Options{NoSync: noSync}), "store")
		must(t, b.CreateStorage(t.Context()))
		checks, err := b.Check(t.Context())
		must(t, err)
		for _, f := range checks {
			want := driver.CheckRight
			if f.Name == "sync" && noSync {
				want = driver.CheckWarning
			}
			if f.Level != want || f.Seen == "" || f.Need == "" || (f.Fix == "") != (want == driver.CheckRight) {
				t.Errorf("NoSync %v: %+v, want the level %s", noSync, f, want)
			}
		}
		if len(checks) != 3 {
			t.Errorf("%d checks, want 3", len(checks))
		}
	}
}
