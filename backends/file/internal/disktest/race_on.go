//go:build race

package disktest

// Race says that the race detector is on: what runs on one goroutine then is
// several times slower and shows it nothing.
const Race = true
