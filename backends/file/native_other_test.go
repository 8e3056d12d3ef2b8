//go:build !linux

package file

// memoryPlace returns the empty string: no file system in memory has a well-known
// place.
func memoryPlace() string { return "" }
