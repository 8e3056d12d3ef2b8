//go:build !linux

package bbolt

// holder names the process that has locked the file, which only Linux tells.
func holder(string) string { return "another process" }
