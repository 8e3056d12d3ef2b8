package driverkit

import (
	"errors"

	"github.com/sojourn-go/sojourn/model"
)

// Race calls do(0) to do(n-1) at the same time, and returns the numbers of those
// that won, in order. It is for a Check that tries whether conditional writes are
// atomic: of calls that write one record under the same condition, exactly one may
// win. A call that loses returns false and no error. After an error the numbers
// prove nothing. The error is the first one, or ErrUnknown if there is one.
func Race(n int, do func(i int) (won bool, err error)) (winners []int, err error) {
	won, errs := make([]bool, n), make([]error, n)
	Parallel(n, n, func(i int) { won[i], errs[i] = do(i) })
	for i := range n {
		if won[i] {
			winners = append(winners, i)
		}
		if err == nil || errors.Is(errs[i], model.ErrUnknown) && !errors.Is(err, model.ErrUnknown) {
			err = errs[i]
		}
	}
	return winners, err
}
