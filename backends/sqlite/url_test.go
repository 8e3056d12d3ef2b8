package sqlite

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// urlOf returns the URL of a file, with forward slashes on every system.
func urlOf(path string) string { return backendName + ":" + filepath.ToSlash(path) }

func TestURL(t *testing.T) {
	other, _ := fresh(t)
	dir := memoryDir(t)
	path := filepath.Join(dir, "app.db")
	drivertest.OpenURL(t, urlOf(path)+"?table=carts", other)
	drivertest.TakesParams(t, urlOf(path), nil)
	drivertest.RefuseURLs(t, "hunter2", "sqlite:", "sqlite://u:hunter2@/data.db", "sqlite://hunter2/data.db", urlOf(path)+"?tabel=hunter2", "sqlite:%zz",
		urlOf(path)+"?labels=No", urlOf(path)+"?table=sqlite_hunter2", urlOf(path)+"/below", urlOf(dir)+"/nosuch/app.db")
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the mode of a new file is %v", info.Mode())
	}
}

// TestURLOfARelativePath changes the working directory between two connections:
// they have the same file.
func TestURLOfARelativePath(t *testing.T) {
	t.Chdir(memoryDir(t))
	opened, err := backends.Open(t.Context(), "sqlite:a%3Fb%23.db")
	must(t, err)
	b := opened.(*Backend)
	must(t, b.CreateStorage(t.Context()))
	_, err = os.Stat("a?b#.db")
	must(t, err)
	t.Chdir(memoryDir(t))
	held, err := b.DB().Conn(t.Context())
	must(t, err)
	drivertest.SeedCalls(t, b)
	must(t, held.Close())
	if b.table != backends.DefaultName {
		t.Errorf("opened the table %q", b.table)
	}
	checks, err := b.Check(t.Context())
	must(t, err)
	for _, f := range checks {
		if f.Level != 0 || f.Fix != "" {
			t.Errorf("%+v", f)
		}
	}
	must(t, b.Close())
}
