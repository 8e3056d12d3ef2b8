//go:build race

package cli

// raceEnabled: the detector multiplies the memory.
const raceEnabled = true
