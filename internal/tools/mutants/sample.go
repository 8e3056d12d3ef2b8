package main

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// sampled returns the mutants that the seed chooses. The choice is by their
// names, so that it stays nearly the same while the code changes.
func (o *options) sampled(all []*mutant) []*mutant {
	if o.sample <= 0 || o.sample >= len(all) {
		return all
	}
	place := func(m *mutant) string {
		seed := binary.BigEndian.AppendUint64(nil, o.seed)
		sum := sha256.Sum256([]byte(string(seed) + m.File + "\t" + m.Function + "\t" + m.Operator + "\t" + m.Change))
		return string(sum[:])
	}
	by := make(map[*mutant]string, len(all))
	for _, m := range all {
		by[m] = place(m)
	}
	chosen := slices.SortedFunc(slices.Values(all), func(a, b *mutant) int { return strings.Compare(by[a], by[b]) })[:o.sample]
	return slices.DeleteFunc(all, func(m *mutant) bool { return !slices.Contains(chosen, m) })
}

// beat is how often a run looks at the time, and pause how late it may come.
const (
	beat  = 100 * time.Millisecond
	pause = 2 * time.Second
)

// pulse counts the time in which this program runs. A machine that pauses
// programs ends no mutant, and the suite fails after a pause for no fault.
type pulse struct {
	quit, ended chan struct{}
	paused      bool
	over        bool
}

// startPulse calls expire after the limit. Pauses do not count.
func startPulse(limit time.Duration, expire func()) *pulse {
	p := &pulse{quit: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		tick := time.NewTicker(beat)
		defer tick.Stop()
		last, ran := time.Now(), time.Duration(0)
		for {
			select {
			case <-p.quit:
				p.step(time.Since(last))
				return
			case now := <-tick.C:
				ran += p.step(now.Sub(last))
				last = now
				if limit > 0 && ran > limit && !p.over {
					p.over = true
					expire()
				}
			}
		}
	}()
	return p
}

// step returns how much of the time since the last beat counts.
func (p *pulse) step(since time.Duration) time.Duration {
	if since > pause {
		p.paused = true
		return beat
	}
	return since
}

// stop ends the pulse. Then paused and over are known.
func (p *pulse) stop() {
	close(p.quit)
	<-p.ended
}
