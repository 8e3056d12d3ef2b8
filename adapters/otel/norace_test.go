//go:build !race

package otelsojourn_test

// raceDetector reports whether the tests run with it.
const raceDetector = false
