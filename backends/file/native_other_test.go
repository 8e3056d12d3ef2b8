//go:build !linux

package file

// memoryPlace is empty: there is no well-known one.
func memoryPlace() string { return "" }
