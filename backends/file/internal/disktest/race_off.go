//go:build !race

package disktest

// Race reports whether the race detector is on.
const Race = false
