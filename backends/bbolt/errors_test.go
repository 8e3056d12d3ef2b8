package bbolt

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestCommitErrors checks the kinds of failed commits, and whether a read may
// decide the outcome.
func TestCommitErrors(t *testing.T) {
	for _, tt := range []struct {
		err         error
		kind        error
		undecidable bool
	}{
		{&fs.PathError{Op: "write", Path: "db", Err: syscall.EIO}, model.ErrUnknown, false},
		{syscall.EIO, model.ErrUnknown, true}, // of a sync
		{errors.New("something else"), model.ErrUnknown, false},
	} {
		b := fresh(t)
		loseCommit(b, tt.err)
		_, err := b.Write(t.Context(), now, create("a"))
		drivertest.WantKind(t, err, tt.kind)
		if driver.IsUndecidable(err) != tt.undecidable || strings.Contains(err.Error(), "db") {
			t.Errorf("%v: %v, undecidable %v", tt.err, err, driver.IsUndecidable(err))
		}
		loseCommit(b, tt.err)
		swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: now.Add(time.Hour), Limit: 1})
		drivertest.WantKind(t, err, tt.kind)
		if unknown := errors.Is(tt.kind, model.ErrUnknown); swept.Removed != 0 || swept.Unknown == 1 != unknown {
			t.Errorf("%v: swept %+v", tt.err, swept)
		}
	}
}

// TestAFullFile stores values until the file has its largest size: the last one
// is certainly not stored.
func TestAFullFile(t *testing.T) {
	db := openDB(t, filepath.Join(memoryDir(t), "db"), &bbolt.Options{NoSync: true, MaxSize: 1 << 20})
	b := newOn(t, db, "store")
	must(t, b.CreateStorage(t.Context()))
	w := driver.Write{Record: drivertest.Record("large", "", 0), Cond: driver.IfAbsent}
	w.Record.Value = make([]byte, 2<<20)
	_, err := b.Write(t.Context(), now, w)
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if !strings.Contains(err.Error(), "largest size") {
		t.Error(err)
	}
	drivertest.Gone(t, b, "large")
	drivertest.Seed(t, b, drivertest.Record("small", "", 0))
}

// TestAFileThatCannotGrow has commits that fail before they write: the call is
// certainly not carried out, and the error says what the system said.
func TestAFileThatCannotGrow(t *testing.T) {
	large := create("large")
	large.Record.Value = make([]byte, 2<<20)
	refused := func(b *Backend, w driver.Write, want string) {
		t.Helper()
		_, err := b.Write(t.Context(), now, w)
		drivertest.WantKind(t, err, model.ErrUnavailable)
		if text := err.Error(); !strings.Contains(text, "cannot grow: "+want) || strings.Contains(text, b.db.Path()) {
			t.Errorf("%v, want %q", err, want)
		}
		drivertest.Gone(t, b, w.Record.ID)
	}

	b := fresh(t)
	if runtime.GOOS == "windows" {
		t.Log("on Windows the file grows only when it is mapped")
	} else {
		size := b.db.AllocSize
		b.db.AllocSize = -1 << 30 // the next size is below zero
		refused(b, large, syscall.EINVAL.Error())
		b.db.AllocSize = size
	}
	drivertest.Seed(t, b, large.Record)

	var file *os.File
	db, err := bbolt.Open(filepath.Join(memoryDir(t), "db"), 0o600, &bbolt.Options{
		NoSync: true, InitialMmapSize: 1 << 20, // room to map, but not in the file
		OpenFile: func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	})
	must(t, err)
	db.AllocSize = 1
	t.Cleanup(func() { _ = db.Close() }) // its file is closed
	b = newOn(t, db, "store")
	must(t, b.CreateStorage(t.Context()))
	must(t, file.Close())
	large.Record.Labels = nil
	refused(b, large, os.ErrClosed.Error()) // it cannot be mapped
	small := driver.Write{Record: drivertest.Record("small", "", 0), Cond: driver.IfAbsent}
	small.Record.Value = make([]byte, 128<<10)
	refused(b, small, os.ErrClosed.Error()) // its size cannot be read
}

// TestClosedAndReadOnly has databases that the program closed or opened for
// reading only.
func TestClosedAndReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	b := newOn(t, db, "store", "principal")
	must(t, b.CreateStorage(t.Context()))
	base := drivertest.SeedCalls(t, b)
	must(t, db.Close())
	for _, c := range append(drivertest.Writes(base), drivertest.Reads()...) {
		err := c.Do(t.Context(), b)
		drivertest.WantKind(t, err, model.ErrUnavailable)
		if !strings.Contains(err.Error(), "closed") {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	must(t, b.Close())
	drivertest.WantKind(t, onlyErr(b.Get(t.Context(), now, driver.Get{ID: "id"})), model.ErrClosed)

	b = newOn(t, openDB(t, path, &bbolt.Options{ReadOnly: true}), "store", "principal")
	drivertest.Get(t, b, "id")
	_, err = b.Write(t.Context(), now, create("new"))
	drivertest.WantKind(t, err, model.ErrUnavailable)
	drivertest.WantKind(t, b.CreateStorage(t.Context()), model.ErrUnsupported)
}

// TestAnOpenTransactionIsWaitedForBriefly ends the context of a call whose
// commit does not end.
func TestAnOpenTransactionIsWaitedForBriefly(t *testing.T) {
	b := fresh(t)
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	b.answer = func(err error) error {
		cancel()
		<-release
		return err
	}
	_, err := b.Write(ctx, now, create("a"))
	close(release)
	if drivertest.WantKind(t, err, model.ErrUnknown); !errors.Is(err, context.Canceled) {
		t.Errorf("%v is not %v", err, context.Canceled)
	}
	drivertest.Get(t, b, "a")
}
