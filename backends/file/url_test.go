package file

import (
	"path/filepath"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

func TestURL(t *testing.T) {
	here, err := filepath.Abs(".")
	must(t, err)
	for rawURL, want := range map[string]string{
		"file:data":                 filepath.Join(here, "data", "sojourn"),
		"file:./data?name=carts":    filepath.Join(here, "data", "carts"),
		"file:a%20b":                filepath.Join(here, "a b", "sojourn"),
		"file:/var/lib/app":         "/var/lib/app/sojourn",
		"file:///var/lib/app?name=": "/var/lib/app/sojourn",
	} {
		b, err := backends.Open(t.Context(), rawURL)
		must(t, err)
		want, err = filepath.Abs(filepath.FromSlash(want))
		must(t, err)
		if got := b.(*Backend).Path(); got != want {
			t.Errorf("%q opens the store %s, want %s", rawURL, got, want)
		}
	}
	drivertest.OpenURL(t, "file:"+filepath.ToSlash(t.TempDir()), open(t, t.TempDir(), "other", nil))
	drivertest.TakesParams(t, "file:"+filepath.ToSlash(t.TempDir()), nil)
	drivertest.RefuseURLs(t, "hunter2", "file://u:hunter2@/data", "file:", "file://hunter2/dir", "file:data?nane=hunter2", "file:data?name=../hunter2", "file:%zz")
}
