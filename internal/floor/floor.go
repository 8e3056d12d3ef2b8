// Package floor measures what an operation costs beside the least that could
// do the same: both sides in one process, interleaved in random order, many
// short rounds, and the median of the ratios of each round. On a small noisy
// machine times jump; such ratios repeat. The floor runs against itself too,
// which shows the noise that is left.
package floor

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// Rounds is how often each comparison is repeated.
const Rounds = 31

// Side is one contestant.
type Side struct {
	Name string
	// Do carries out the operation number i: all rounds together count from
	// zero on, so that every operation can have an id of its own.
	Do func(i int) error
}

// Ratio is what a side took, as a multiple of the first side's time.
type Ratio struct {
	Name              string
	Low, Median, High float64 // quartiles over the rounds
	PerOp             time.Duration
}

// String is a row of a table.
func (r Ratio) String() string {
	return fmt.Sprintf("%-28s %6.2f  (%.2f to %.2f)  %12v", r.Name, r.Median, r.Low, r.High, r.PerOp)
}

// Compare runs every side in each round, so many operations each, and returns
// a row for each; the first side is the floor.
func Compare(ops int, sides ...Side) ([]Ratio, error) {
	times := make([][]float64, len(sides))
	order := make([]int, len(sides))
	for i := range order {
		order[i] = i
	}
	for round := range Rounds + 1 {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] }) //nolint:gosec // any order will do
		for _, s := range order {
			runtime.GC() // each side pays for its own garbage
			start := time.Now()
			for i := range ops {
				if err := sides[s].Do(round*ops + i); err != nil {
					return nil, fmt.Errorf("%s: %w", sides[s].Name, err)
				}
			}
			if round > 0 { // the first one warms up
				times[s] = append(times[s], float64(time.Since(start))/float64(ops))
			}
		}
	}
	out := make([]Ratio, len(sides))
	for s, side := range sides {
		ratios := make([]float64, Rounds)
		for i := range ratios {
			ratios[i] = times[s][i] / times[0][i]
		}
		slices.Sort(ratios)
		slices.Sort(times[s])
		out[s] = Ratio{
			Name: side.Name,
			Low:  ratios[Rounds/4], Median: ratios[Rounds/2], High: ratios[Rounds*3/4],
			PerOp: time.Duration(times[s][Rounds/2]),
		}
	}
	return out, nil
}

// Report compares as a benchmark: run it with -benchtime=1x. It logs the rows
// and reports the median ratio of every side.
func Report(b *testing.B, ops int, sides ...Side) {
	b.Helper()
	rows, err := Compare(ops, sides...)
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range rows {
		b.Log(r)
	}
	for _, r := range rows[1:] {
		b.ReportMetric(r.Median, r.Name)
	}
	b.ReportMetric(0, "ns/op") // what one iteration of the whole took says nothing
}
