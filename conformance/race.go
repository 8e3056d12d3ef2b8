package conformance

import (
	"errors"
	"sync"
)

// together runs n functions at once, released by one barrier, and returns
// their errors in order.
func (c *C) concurrently(n int, do func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// race counts the functions that succeed; the others must fail with one of the
// losers' errors.
func (c *C) race(n int, do func(i int) error, losers ...error) int {
	c.Helper()
	wins := 0
	for i, err := range c.concurrently(n, do) {
		if err == nil {
			wins++
			continue
		}
		lawful := false
		for _, l := range losers {
			lawful = lawful || errors.Is(err, l)
		}
		if !lawful {
			c.fail("contender %d: %v", i, err)
		}
	}
	return wins
}

// pair runs two functions at once. Which of them is released first changes
// with the round, since a scheduler may favour one of them each time.
func (c *C) pair(round int, first, second func() error) (error, error) {
	do := []func() error{first, second}
	errs := c.concurrently(2, func(i int) error { return do[(i+round)%2]() })
	return errs[round%2], errs[(1+round)%2]
}
