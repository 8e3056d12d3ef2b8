package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Check looks at the store's folder: what is in it, whose permissions it has, and
// whether writes are synced. It compares the file system's clock, which is another
// one on a network mount, by an empty temporary file.
func (b *Backend) Check(ctx context.Context) (driver.Checks, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	folder := driverkit.Finding("folder", "the store's own folder", b.path, true, 0, "")
	err := foreignPlace(b.withTree(ctx, false, func(t *tree) error { return inspect(t.root, true) }))
	switch {
	case errors.Is(err, errNoStore):
		folder = driverkit.Finding(folder.Name, folder.Need, "none at "+b.path, false, driver.CheckWarning, "call CreateStorage, or leave it to the first write")
	case errors.Is(err, model.ErrCorrupt):
		folder = driverkit.Finding(folder.Name, folder.Need, err.Error(), false, driver.CheckUnsafe, "move it away, or give the store another name or directory")
	case err != nil:
		return nil, err
	}
	synced, locks := "each write is synced", "they hold between processes"
	if b.noSync {
		synced = "NoSync: a power cut may lose or damage the writes of the last seconds"
	}
	if !disk.BetweenProcesses {
		locks = "this system has none between processes"
	}
	checks := driver.Checks{
		folder, b.checkPermissions(),
		driverkit.Finding("sync", "synced writes", synced, !b.noSync, driver.CheckWarning, "open it without NoSync"),
		driverkit.Finding("locks", "locks between processes", locks, disk.BetweenProcesses, driver.CheckWarning, "let one process alone use the store"),
	}
	if folder.Level == driver.CheckRight {
		checks = append(checks, b.checkClock(ctx))
	}
	return checks, nil
}

// checkClock reads the time of the file system off a temporary file.
func (b *Backend) checkClock(ctx context.Context) driver.Finding {
	clock := driverkit.Clock{Step: time.Second} // some file systems round that far
	_ = b.withTree(ctx, false, func(t *tree) error {
		clock.Sent = time.Now()
		path, file, err := t.writeTmp(0, nil)
		if err != nil {
			return err
		}
		defer func() { _ = t.root.Remove(path) }()
		if err := file.close(); err != nil {
			return err
		}
		info, err := os.Stat(filepath.Join(b.path, filepath.FromSlash(path)))
		if clock.Got = time.Now(); err == nil {
			clock.Server = info.ModTime()
		}
		return err
	})
	return clock.Finding()
}

// checkPermissions compares the permissions of the store's folder with those that
// Options.DirMode gives to a new one. Windows has none.
func (b *Backend) checkPermissions() driver.Finding {
	const fix = "chmod -R go-rwx %s, or set Options.DirMode to what is meant"
	want := b.dirMode
	if want == 0 {
		want = disk.FolderMode
	}
	one := driverkit.Finding("permissions", fmt.Sprintf("%v at most, as Options.DirMode says", want), "none yet", true, 0, "")
	info, err := os.Stat(b.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || runtime.GOOS == "windows":
		return one
	case err != nil:
		one.Seen = "they cannot be seen"
		one.Level, one.Fix = driver.CheckUnknown, "run it as the user of the program"
		return one
	}
	mode := info.Mode().Perm()
	return driverkit.Finding(one.Name, one.Need, mode.String(), mode&^want == 0, driver.CheckWarning, fmt.Sprintf(fix, b.path))
}
