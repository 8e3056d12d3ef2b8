package conformance

import (
	"cmp"
	"slices"
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Way is what an interruption does.
type Way string

const (
	// Fail makes one step return an error. The node goes on.
	Fail Way = "a failed step"
	// Kill ends the node: that step and all later ones of it do nothing and
	// return an error. What it did before stays. The system has let go of its
	// locks when the suite has closed it.
	Kill Way = "a kill"
	// PowerCut ends all nodes, and what was not made durable may be gone.
	PowerCut Way = "a power cut"
)

// Interruption is what goes wrong with the calls on one node.
type Interruption struct {
	Way Way
	// Step counts the steps from now on: 1 is the next one. At 0 it happens at
	// once, without a call.
	Step int
	// Seed makes interruptions of the same step differ. At a power cut it chooses
	// what is gone: with 0, everything that was not made durable. A failed step
	// may have several errors.
	Seed uint64
	// Lasts means that a failed step fails again and again, as on a disk that is
	// full: the later ones of its kind fail too, until b is disarmed. The suite asks
	// for it only with a power cut behind it.
	Lasts bool
}

// Interrupt says how the suite interrupts calls. A step is whatever can go wrong
// alone: a request to a server, or a call to the file system. Arm is required.
type Interrupt struct {
	// Ways are those that the harness has.
	Ways []Way

	// Open returns a backend whose steps can be interrupted, as Harness.Open does.
	// It makes no step. The suite opens several for each step of each call, so it
	// closes them itself. Nil means Harness.Open.
	Open func(t testing.TB, name string) driver.ModelExpirySupport

	// Arm makes a step of the next calls on b go wrong. Its result disarms b and
	// reports whether the step was reached. After a kill or a power cut nothing of
	// b does anything again, also when it is disarmed. Nodes that are opened after
	// a power cut find what is left.
	Arm func(t testing.TB, b driver.ModelExpirySupport, in Interruption) (disarm func() (reached bool))

	// Each is the number of steps of a call that are interrupted one by one. Of the
	// steps after them, the next one that is interrupted is a fifth further on. Of the
	// last steps of a call, a quarter as many are again interrupted one by one. Zero
	// means 60.
	Each int
}

// mostSteps bounds the steps of one call.
const mostSteps = 20_000

// visit calls at for the steps of a call that are interrupted. At reports whether the
// call has the step. Calls begin alike, and their turns differ: together they are
// interrupted at more steps than each is.
func (i *Interrupt) visit(turn int, at func(step int) bool) {
	each := max(cmp.Or(i.Each, 60), 5)
	reached, step := 0, 1
	for at(step) {
		reached = step
		switch {
		case step < each:
			step++
		case step == each:
			step += 1 + turn%(each/5+1)
		default:
			step += step / 5
		}
	}
	// What a call does once for all, it does at its end.
	for step-reached > 1 {
		if middle := (reached + step) / 2; at(middle) {
			reached = middle
		} else {
			step = middle
		}
	}
	for last := 1; last < each/4 && reached-last > each; last++ {
		at(reached - last)
	}
}

// has reports whether the harness has the way.
func (i *Interrupt) has(w Way) bool { return i != nil && slices.Contains(i.Ways, w) }
