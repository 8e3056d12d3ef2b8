package file

import "syscall"

// memoryPlace is Linux's place for a file system in memory; empty where there
// is none or too little room. Containers have 64 MB by default.
func memoryPlace() string {
	const place, enough = "/dev/shm", 512 << 20
	var st syscall.Statfs_t
	if err := syscall.Statfs(place, &st); err != nil || float64(st.Bavail)*float64(st.Bsize) < enough {
		return ""
	}
	return place
}
