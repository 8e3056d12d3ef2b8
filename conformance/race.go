package conformance

import (
	"errors"
	"sync"
)

// concurrently starts do(0) to do(n-1) at the same time and returns their
// errors in order. Their calls are not noted, because that would order them.
func (c *C) concurrently(n int, do func(i int) error) []error {
	c.log.off.Add(1)
	defer c.log.off.Add(-1)
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

// race starts do(0) to do(n-1) at the same time and returns how many succeed.
// The others must fail with one of the losers' errors.
func (c *C) race(n int, do func(i int) error, losers ...error) int {
	c.Helper()
	wins := 0
	for i, err := range c.concurrently(n, do) {
		if err == nil {
			wins++
			continue
		}
		allowed := false
		for _, l := range losers {
			allowed = allowed || errors.Is(err, l)
		}
		if !allowed {
			c.fail("contender %d: got %v, want one of %v", i, err, losers)
		}
	}
	return wins
}

// pair starts two functions at the same time. The order in which they start
// changes with the round, because a scheduler may favour one of them.
func (c *C) pair(round int, first, second func() error) (error, error) {
	do := []func() error{first, second}
	errs := c.concurrently(2, func(i int) error { return do[(i+round)%2]() })
	return errs[round%2], errs[(1+round)%2]
}
