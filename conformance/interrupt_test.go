package conformance_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
)

// TestStepsThatAreInterrupted has calls of all lengths. Their first and last steps are
// interrupted one by one, and not too many of the others.
func TestStepsThatAreInterrupted(t *testing.T) {
	for _, each := range []int{5, 60} {
		for n := 1; n <= 1000; n++ {
			met := map[int]bool{}
			tries := 0
			(&conformance.Interrupt{Each: each}).Visit(n, func(step int) bool {
				tries++
				if step <= n {
					met[step] = true
				}
				return step <= n
			})
			for step := 1; step <= n; step++ {
				if (step <= each || step > n-each/4 || step == n) && !met[step] {
					t.Errorf("Each %d: step %d of %d was not interrupted", each, step, n)
				}
			}
			if most := each + each/4 + 60; tries > most {
				t.Errorf("Each %d: %d tries for %d steps, want at most %d", each, tries, n, most)
			}
		}
	}
}
