package bbolt

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// holder names the process that has locked the file, as /proc/locks tells.
func holder(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return anotherProcess
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	locks, err := os.ReadFile("/proc/locks")
	if !ok || err != nil {
		return anotherProcess
	}
	inode := ":" + strconv.FormatUint(stat.Ino, 10)
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK  ADVISORY  WRITE 4711 fd:01:7340061 0 EOF
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || !strings.HasSuffix(f[5], inode) {
			continue
		}
		pid, err := strconv.Atoi(f[4])
		switch {
		case err != nil || pid <= 0:
			return anotherProcess
		case pid == os.Getpid():
			return "this process itself"
		}
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return strings.TrimSpace(fmt.Sprintf("process %d %s", pid, name))
	}
	return anotherProcess
}

const anotherProcess = "another process"
