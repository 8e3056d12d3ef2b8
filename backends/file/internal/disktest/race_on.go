//go:build race

package disktest

// Race reports whether the race detector is on. It makes code several times
// slower and finds nothing in tests that run on one goroutine.
const Race = true
