// Package ratio measures what a call costs as a multiple of its floor: the least
// code that does the same work.
//
// All sides run in one process, interleaved in random order, over many short
// rounds. Each round gives a ratio, and the result is the median of them. On a
// small noisy machine times jump, but such ratios repeat. Pass the floor a second
// time as a further side to see the noise that is left.
package ratio

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// Rounds is the number of measured rounds. One more round warms up.
const Rounds = 31

// Side is one of the implementations that are compared.
type Side struct {
	Name string
	// Do makes call number i. The number counts from zero through all rounds, so
	// that every call can have an id of its own.
	Do func(i int) error
}

// Result is the time of one side as a multiple of the floor's time.
type Result struct {
	Name                                 string
	LowerQuartile, Median, UpperQuartile float64       // of the ratios of all rounds
	PerCall                              time.Duration // median time of one call
}

// String returns the result as a row of a table.
func (r Result) String() string {
	return fmt.Sprintf("%-28s %6.2f  (%.2f to %.2f)  %12v", r.Name, r.Median, r.LowerQuartile, r.UpperQuartile, r.PerCall)
}

// Measure makes the given number of calls of every side in each round. The first
// side is the floor. Measure returns a result for each side, in the same order,
// or the first error of a call.
func Measure(calls int, sides ...Side) ([]Result, error) {
	times := make([][]float64, len(sides))
	order := make([]int, len(sides))
	for i := range order {
		order[i] = i
	}
	for round := range Rounds + 1 {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] }) //nolint:gosec // the order is no secret
		for _, s := range order {
			runtime.GC() // each side pays for its own garbage
			start := time.Now()
			for i := range calls {
				if err := sides[s].Do(round*calls + i); err != nil {
					return nil, fmt.Errorf("%s: %w", sides[s].Name, err)
				}
			}
			if round > 0 { // round 0 warms up
				times[s] = append(times[s], float64(time.Since(start))/float64(calls))
			}
		}
	}
	out := make([]Result, len(sides))
	for s, side := range sides {
		ratios := make([]float64, Rounds)
		for i := range ratios {
			ratios[i] = times[s][i] / times[0][i]
		}
		out[s] = result(side.Name, ratios, times[s])
	}
	return out, nil
}

// result sorts the ratios and times of one side and summarizes them.
func result(name string, ratios, times []float64) Result {
	slices.Sort(ratios)
	slices.Sort(times)
	return Result{
		Name:          name,
		LowerQuartile: ratios[Rounds/4],
		Median:        ratios[Rounds/2],
		UpperQuartile: ratios[Rounds*3/4],
		PerCall:       time.Duration(times[Rounds/2]),
	}
}

// Report measures the sides as a benchmark; run it with -benchtime=1x. It logs
// every result and reports the median ratio of every side but the floor.
func Report(b *testing.B, calls int, sides ...Side) {
	b.Helper()
	results, err := Measure(calls, sides...)
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range results {
		b.Log(r)
	}
	for _, r := range results[1:] {
		b.ReportMetric(r.Median, r.Name)
	}
	b.ReportMetric(0, "ns/op") // the time of one iteration of the whole means nothing
}
