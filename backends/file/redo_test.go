package file

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// logsOn returns the logs of the store on a disk in memory.
func logsOn(power *disktest.Power) []string {
	return slices.DeleteFunc(power.Files(), func(p string) bool { return !strings.HasSuffix(p, logSuffix) })
}

// TestLogsAreBounded checks that a log is folded when it is large, that Close folds,
// and that a fold removes the log of a dead process.
func TestLogsAreBounded(t *testing.T) {
	power := disktest.NewPower()
	a, _ := onPower(t, power, nil)
	dead, _ := onPower(t, power, nil)
	create(t, dead, big("dead", "ann", inHour))
	must(t, dead.tree.logged.log.file.Unlock()) // as if the process had ended
	for i := range 100 {
		create(t, a, big(fmt.Sprint(i), "ann", inHour))
		if n := a.tree.logged.log.size(); n > a.foldAt+2*valueBytes {
			t.Fatalf("the log has %d bytes", n)
		}
	}
	if left := logsOn(power); len(left) != 1 {
		t.Errorf("the logs are %v, want one", left)
	}
	must(t, a.Close())
	if left := logsOn(power); len(left) != 0 {
		t.Errorf("the logs %v are left", left)
	}
}

// TestFailedSyncOfTheLog makes the sync of the log fail. The write is unknown and not
// visible. The next ones need no log, and then there is another one.
func TestFailedSyncOfTheLog(t *testing.T) {
	power := disktest.NewPower()
	b, s := onPower(t, power, nil)
	old := create(t, b, newRecord("a", "ann", inHour))
	s.Set(func(op, path string) error {
		if op == "fsync" && strings.HasSuffix(path, logSuffix) {
			return syscall.EIO
		}
		return nil
	})
	err := onlyErr(b.Write(t.Context(), now, driver.Write{Record: newRecord("a", "bob", inDay), Cond: driver.IfAny}))
	checkKind(t, "upsert", err, model.ErrUnknown, syscall.EIO)
	s.Set(nil)
	holds(t, b, old)
	next := write(t, b, driver.IfAny, newRecord("a", "bob", inHour))
	after := power.Cut(always, always)
	c, _ := onPower(t, after, nil)
	holds(t, c, next)
}

// TestFullDiskStillDeletes has a disk whose files cannot grow. Creates are
// ErrUnavailable, and deletes and sweeps go on, durably.
func TestFullDiskStillDeletes(t *testing.T) {
	power := disktest.NewPower()
	b, s := onPower(t, power, nil)
	for i := range 3 {
		create(t, b, newRecord(fmt.Sprint(i), "ann", inHour.Add(time.Duration(i)*time.Hour)))
	}
	s.Set(func(op, path string) error {
		switch {
		case op == "write", op == "writeat" && strings.HasSuffix(path, logSuffix), op == "touch", op == "create":
			return syscall.ENOSPC
		}
		return nil
	})
	drivertest.WantKind(t, onlyErr(b.Write(t.Context(), now, driver.Write{Record: newRecord("new", "", time.Time{}), Cond: driver.IfAny})), model.ErrUnavailable)
	must(t, remove(t.Context(), b, "1"))
	sweeps(t, b, inHour, 1)
	after := power.Cut(always, always)
	c, _ := onPower(t, after, nil)
	if all, err := list(c, "", ""); err != nil || len(all) != 1 || all["2"] == "" {
		t.Errorf("after the cut: %v, %v; want the record 2 alone", all, err)
	}
}

// TestFailedFoldIsNotForgotten makes the sync of a fold fail: the system may have
// dropped what it could not write. Nobody folds until a recovery has written it again.
func TestFailedFoldIsNotForgotten(t *testing.T) {
	power := disktest.NewPower()
	b, s := onPower(t, power, nil)
	rec := create(t, b, big("a", "ann", inHour))
	s.Set(func(op, path string) error {
		if op == "fsync" && path == "store" {
			return syscall.EIO
		}
		return nil
	})
	drivertest.WantKind(t, b.tree.fold(t.Context(), true), model.ErrUnavailable)
	s.Set(nil)
	drivertest.WantKind(t, b.tree.fold(t.Context(), true), model.ErrUnavailable)
	must(t, b.Close())
	if len(logsOn(power)) == 0 {
		t.Fatal("Close forgot the log")
	}
	c, _ := onPower(t, power, nil)
	holds(t, c, rec)
	must(t, c.Close())
	if left := logsOn(power); len(left) != 0 {
		t.Errorf("the logs %v are left after the recovery", left)
	}
}

// TestNoSyncBesideALog replaces a logged record without a sync. A recovery that
// follows does not bring the older one back.
func TestNoSyncBesideALog(t *testing.T) {
	power := disktest.NewPower()
	a, _ := onPower(t, power, nil)
	b, s := onPower(t, power, &Options{NoSync: true})
	create(t, a, newRecord("a", "ann", inHour))
	s.Take()
	next := write(t, b, driver.IfAny, newRecord("a", "bob", inDay))
	if log := b.tree.logged.log; log == nil || log.size() == 0 {
		t.Error("the write is in no log")
	}
	for _, x := range []*Backend{a, b} {
		must(t, x.tree.logged.log.file.Unlock()) // as if the processes had ended
	}
	c, _ := onPower(t, power, nil)
	holds(t, c, next)
	if len(logsOn(power)) != 0 {
		t.Error("there was no recovery")
	}
}

// TestFirstWriteDuringARecovery lets a first write begin while a recovery waits for the
// write's lock. The write lets go of the lock before it makes its log.
func TestFirstWriteDuringARecovery(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	power := disktest.NewPower()
	dead, _ := onPower(t, power, nil)
	rec := create(t, dead, newRecord("a", "ann", inHour))
	writer, w := onPower(t, power, nil)
	holds(t, writer, rec)
	must(t, dead.tree.logged.log.file.Unlock()) // as if the process had ended

	p := placeOf("a")
	waits, wrote := make(chan struct{}), make(chan error, 1)
	tried := sync.OnceFunc(func() { close(waits) })
	w.On("trylock", func(path string) {
		if strings.HasSuffix(path, redoDir+"/"+openLock) {
			tried()
		}
	})
	opener, o := onPower(t, power, nil)
	begin := sync.OnceFunc(func() {
		go func() {
			next := newRecord("a", "bob", inDay)
			wrote <- onlyErr(writer.Write(ctx, now, driver.Write{Record: next, Cond: driver.IfPresent}))
		}()
		select {
		case <-waits:
		case <-ctx.Done():
			t.Error("the write made no log")
		}
	})
	o.On("trylock", func(path string) {
		if strings.HasSuffix(path, lockName(p.stripe())) {
			begin()
		}
	})
	must(t, onlyErr(opener.Get(ctx, now, driver.Get{ID: "a"})))
	must(t, <-wrote)
	if got := drivertest.Get(t, opener, "a"); got.Labels["principal"] != "bob" {
		t.Errorf("the recovery undid the write: %v", got.Labels)
	}
}
