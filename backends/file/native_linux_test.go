package file

import (
	"os"
	"syscall"
)

// memoryPlace returns a folder on a file system in memory. It returns the empty
// string if there is none or it has too little room: containers have 64 MB by
// default. What ends this program early, such as internal/tools/mutants, names
// the folder, to remove it.
func memoryPlace() string {
	if place := os.Getenv("SOJOURN_TEST_PLACE"); place != "" {
		return place
	}
	const place, enough = "/dev/shm", 512 << 20
	var st syscall.Statfs_t
	if err := syscall.Statfs(place, &st); err != nil || float64(st.Bavail)*float64(st.Bsize) < enough {
		return ""
	}
	return place
}
