//go:build !race

package disktest

// Race says that the race detector is on.
const Race = false
