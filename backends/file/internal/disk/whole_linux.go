package disk

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// syncsWhole reports whether the kernel is 5.8 or newer: older ones do not report
// the errors of a syncfs.
var syncsWhole = sync.OnceValue(func() bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	major, rest, _ := strings.Cut(unix.ByteSliceToString(name.Release[:]), ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return errA == nil && errB == nil && (a > 5 || a == 5 && b >= 8)
})

// wholeTypes are the file systems whose syncfs is known to make all files and names
// durable, and to report what could not be written. On FUSE it may do nothing, on a
// network it leaves out what other machines hold, and an overlay hides errors.
var wholeTypes = []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC}

func isWhole(dir *os.File) (bool, error) {
	var st unix.Statfs_t
	err := again(func() error { return unix.Fstatfs(int(dir.Fd()), &st) })
	return slices.Contains(wholeTypes, int64(st.Type)), err //nolint:unconvert // the types differ between architectures
}

func syncWhole(dir *os.File) error {
	return again(func() error { return unix.Syncfs(int(dir.Fd())) })
}

// syncData leaves out what is not needed to read the contents, such as times.
func syncData(f *os.File) error {
	return again(func() error { return unix.Fdatasync(int(f.Fd())) })
}

func again(do func() error) error {
	for {
		if err := do(); err != unix.EINTR { //nolint:errorlint // a system call returns it as it is
			return err
		}
	}
}
