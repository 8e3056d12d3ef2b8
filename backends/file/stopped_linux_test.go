package file

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// stopRequest stops a file system at once: EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN.
// With withoutJournal it drops everything that is not on the device yet, also its own
// journal, as a power cut does.
const (
	stopRequest    = 0x8004587d
	withoutJournal = 2
	stopRounds     = 10
)

// mounted is a file system of its own in a file.
type mounted struct{ image, at string }

// run runs a command of the system. The error has what it printed.
func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %q: %w: %s", name, args, err, out)
	}
	return nil
}

// mountNew makes a file system of that kind, on a loop device. It skips the test, and
// says why, if the system does not let it.
func mountNew(t *testing.T, kind string) *mounted {
	t.Helper()
	dir := t.TempDir()
	m := &mounted{image: filepath.Join(dir, "image"), at: filepath.Join(dir, "at")}
	must(t, os.Mkdir(m.at, 0o700))
	writeFile(t, m.image, nil)
	must(t, os.Truncate(m.image, 320<<20)) // XFS wants 300 MiB; most of it is a hole
	if err := run("mkfs."+kind, "-q", m.image); err != nil {
		t.Skipf("no %s can be made here: %v", kind, err)
	}
	if err := m.mount(); err != nil {
		t.Skipf("no loop device with %s can be mounted here: %v", kind, err)
	}
	t.Cleanup(func() { _ = run("umount", m.at) })
	return m
}

func (m *mounted) mount() error { return run("mount", "-o", "loop", m.image, m.at) }

// stop drops what is not on the device. Calls fail from then on.
func (m *mounted) stop() error {
	f, err := os.Open(m.at)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	flags := uint32(withoutJournal)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), stopRequest, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return errno
	}
	return nil
}

// again mounts what reached the device. The journal of the file system is replayed.
func (m *mounted) again() error {
	if err := run("umount", m.at); err != nil {
		return err
	}
	return m.mount()
}

// ownMounts says that a process has mounts of its own.
const ownMounts = "SOJOURN_OWN_MOUNTS"

// inOwnMounts runs the test in a process that has mounts of its own, and reports whether
// this is that process. A container that starts has copies of all other mounts for an
// instant. A file system that is unmounted then is still there, and stays stopped when it
// is mounted again.
func inOwnMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownMounts) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	cmd := child(t, "", "") // no job: it runs tests
	cmd.Args = append(cmd.Args, "-test.v", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	cmd.Env = append(cmd.Env, ownMounts+"=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	said := string(out)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		t.Errorf("%v:\n%s", err, said)
	case err != nil:
		t.Skipf("no process can have mounts of its own here: %v", err)
	case strings.Contains(said, "--- SKIP: "+t.Name()+" "):
		_, why, _ := strings.Cut(said, "_test.go:")
		why, _, _ = strings.Cut(why, "\n")
		t.Skip(why)
	default:
		t.Log(said)
	}
	return false
}

// TestStoppedFileSystem has four processes write to a store on a file system that drops,
// at a random instant, all that is not on its device yet. In every second round that
// happens again at a random call of the recovery. Afterwards every record is as its last
// acknowledged write left it, and its labels find it.
func TestStoppedFileSystem(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			if !inOwnMounts(t) {
				return
			}
			m := mountNew(t, kind)
			k := kills{dir: m.at, truth: map[string]state{}, shared: map[string]map[state]bool{}}
			recoveries := 0
			for round := range stopRounds {
				k.untilStopped(t, m)
				must(t, m.again())
				if round%2 == 1 && stopRecovery(t, m) {
					recoveries++
				}
				b := open(t, m.at, "store", &Options{Labels: twoLabels})
				must(t, k.takeShared(b))
				must(t, audit(b, k.truth, k.pending))
				if round%5 == 4 {
					must(t, onlyErr(b.DeleteExpired(t.Context(), driver.Sweep{Before: now, Limit: 100})))
					must(t, audit(b, k.truth, nil))
					noTmp(t, m.at)
				}
				must(t, b.Close())
			}
			if k.done != stopRounds || recoveries == 0 {
				t.Errorf("stopped %d times among writes and %d times in a recovery, want %d and some", k.done, recoveries, stopRounds)
			}
			t.Logf("stopped %d times among writes and %d times in a recovery, %d acknowledged writes", k.done, recoveries, k.acks)
		})
	}
}

// untilStopped starts the processes and stops the file system after a random number of
// acknowledged writes. The processes end, because every call fails then.
func (k *kills) untilStopped(t *testing.T, m *mounted) {
	t.Helper()
	_, reports := k.start(t, nil)
	n, last := 0, 1+rand.IntN(150)
	for r := range reports {
		if !k.take(r) {
			continue
		}
		if n++; n == last {
			if err := m.stop(); err != nil {
				t.Errorf("the file system was not stopped: %v", err)
			}
			k.done++
		}
	}
}

// stopRecovery opens the store and stops the file system at a random call. It reports
// whether the recovery was under way then.
func stopRecovery(t *testing.T, m *mounted) bool {
	t.Helper()
	b, s := spied(t, m.at, &Options{Labels: twoLabels})
	n, last := 0, rand.IntN(200)
	s.Set(func(string, string) error {
		if n++; n == last {
			return m.stop()
		}
		return nil
	})
	_, err := b.Get(context.Background(), now, driver.Get{ID: "any"})
	s.Set(nil)
	_ = b.Close()
	must(t, m.again())
	return n >= last && err != nil
}
