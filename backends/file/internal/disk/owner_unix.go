//go:build unix

package disk

import (
	"os"
	"sync"
	"syscall"
)

// isRoot reports whether the process may give files away.
func isRoot() bool { return os.Geteuid() == 0 }

// owner is who owns the folder that files are made in.
type owner struct {
	once     sync.Once
	uid, gid int
}

// inherit gives a new file to the owner and group of its folder, if root made
// it: a job of root must not leave files that the program itself may not write.
// If files cannot be given away, they stay root's.
func (o *owner) inherit(in *os.Root, file *os.File) {
	if !isRoot() {
		return
	}
	o.once.Do(func() {
		info, err := in.Stat(".")
		if err != nil {
			return
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			o.uid, o.gid = int(st.Uid), int(st.Gid)
		}
	})
	if o.uid != 0 || o.gid != 0 {
		_ = file.Chown(o.uid, o.gid)
	}
}
