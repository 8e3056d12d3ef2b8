package file

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// TestCheckNamesWhatIsWrong plants one fault after the other.
func TestCheckNamesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	levels := func(b *Backend) map[string]driver.CheckLevel {
		t.Helper()
		checks, err := b.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]driver.CheckLevel{}
		for _, one := range checks {
			out[one.Name] = one.Level
			if one.Name == "" || one.Seen == "" || one.Need == "" || (one.Fix == "") != (one.Level == driver.CheckRight) {
				t.Errorf("the finding is not complete: %+v", one)
			}
		}
		return out
	}
	open := func(opts *Options) *Backend {
		t.Helper()
		b, err := New(dir, "store", opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	b := open(nil)
	if got := levels(b); got["folder"] != driver.CheckWarning || got["permissions"] != driver.CheckRight {
		t.Errorf("before CreateStorage: %v", got)
	}
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, level := range levels(b) {
		if level != driver.CheckRight {
			t.Errorf("%s is %v after CreateStorage", name, level)
		}
	}
	if got := levels(open(&Options{NoSync: true})); got["sync"] != driver.CheckWarning {
		t.Errorf("with NoSync: %v", got)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(b.Path(), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := levels(b); got["permissions"] != driver.CheckWarning {
			t.Errorf("readable by others: %v", got)
		}
		if got := levels(open(&Options{DirMode: 0o755})); got["permissions"] != driver.CheckRight {
			t.Errorf("with DirMode 0755: %v", got)
		}
	}
	if err := os.WriteFile(filepath.Join(b.Path(), "theirs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := levels(b); got["folder"] != driver.CheckUnsafe {
		t.Errorf("with a foreign file: %v", got)
	}
}

// TestClock has a file system whose clock differs from this one, as on a network
// mount.
func TestClock(t *testing.T) {
	dir := t.TempDir()
	b, spy := spied(t, dir, nil)
	if err := b.CreateStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		off   time.Duration
		level driver.CheckLevel
		words string
	}{
		{0, driver.CheckRight, "the same"},
		{10 * time.Second, driver.CheckWarning, "ahead by"},
		{-10 * time.Second, driver.CheckWarning, "behind by"},
		{time.Hour, driver.CheckUnsafe, "NTP"},
		{-time.Hour, driver.CheckUnsafe, "NTP"},
	} {
		set := false
		spy.On("close", func(path string) {
			if i := strings.Index(path, tmpDir+"/"); i >= 0 {
				at := time.Now().Add(test.off)
				if err := os.Chtimes(filepath.Join(b.Path(), path[i:]), at, at); err != nil {
					t.Error(err)
				}
				set = true
			}
		})
		checks, err := b.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		one := checks[len(checks)-1]
		if !set || one.Name != "clock" || one.Level != test.level || !strings.Contains(one.Seen+one.Fix, test.words) {
			t.Errorf("%v: %+v, want %v and %q", test.off, one, test.level, test.words)
		}
		left, err := os.ReadDir(filepath.Join(b.Path(), tmpDir))
		if err != nil || len(left) > 0 {
			t.Errorf("left %v, %v", left, err)
		}
	}
	spy.Set(func(op, path string) error {
		if op == "create" {
			return os.ErrPermission
		}
		return nil
	})
	checks, err := b.Check(t.Context())
	if one := checks[len(checks)-1]; err != nil || one.Level != driver.CheckUnknown {
		t.Errorf("no file can be written: %+v, %v", one, err)
	}
}
