package sessiontest

import (
	"slices"
	"sync"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Down is a Hook for a store that cannot be reached. Every call returns
// model.ErrUnavailable.
func Down(Op, string, func() error) error {
	return model.NewError(model.ErrUnavailable, "the store is down", nil)
}

// Fail returns a Hook that fails every call of the methods with err, before it
// reaches the store. Use model.ErrNotFound for an absent record and
// model.ErrConflict for one that changed.
func Fail(err error, ops ...Op) Hook {
	return func(op Op, _ string, next func() error) error {
		if slices.Contains(ops, op) {
			return err
		}
		return next()
	}
}

// LoseFirst returns a Hook that makes the first call of the method and loses its
// answer: the call returns model.ErrUnknown.
func LoseFirst(op Op) Hook { return LoseNth(op, 1) }

// LoseNth is LoseFirst for the call of the method with the number n, from 1.
func LoseNth(op Op, n int) Hook {
	nth := counter(op, n)
	return func(o Op, _ string, next func() error) error {
		lose := nth(o)
		err := next()
		if lose {
			err = model.NewError(model.ErrUnknown, "the answer was lost", nil)
		}
		return err
	}
}

// Late returns a Hook for a write that arrives late. The Write with the number n,
// from 1, returns model.ErrUnknown and does nothing yet. It reaches the store just
// before the Write with the number before, or never if that is zero.
func Late(n, before int) Hook {
	var mu sync.Mutex
	var late func() error
	seen := 0
	return func(op Op, _ string, next func() error) error {
		if op != OpWrite {
			return next()
		}
		mu.Lock()
		defer mu.Unlock()
		switch seen++; seen {
		case n:
			late = next
			// The mark keeps expiry.Store from looking and sending it again.
			return driver.MarkUndecidable(model.NewError(model.ErrUnknown, "the answer was lost", nil))
		case before:
			_ = late()
		}
		return next()
	}
}

// Before returns a Hook that runs do before the first call of the method, for a
// race at that point. It lets the calls that do makes pass.
func Before(op Op, do func()) Hook { return BeforeNth(op, 1, do) }

// BeforeNth is Before for the call of the method with the number n, from 1.
func BeforeNth(op Op, n int, do func()) Hook {
	nth := counter(op, n)
	return func(o Op, _ string, next func() error) error {
		if nth(o) {
			do()
		}
		return next()
	}
}

// counter returns a function that reports whether a call is the one with the
// number n of the method.
func counter(op Op, n int) func(Op) bool {
	var mu sync.Mutex
	seen := 0
	return func(o Op) bool {
		mu.Lock()
		defer mu.Unlock()
		if o == op {
			seen++
		}
		return o == op && seen == n
	}
}

// Hold returns a Hook that holds the first call of the method. Entered is closed
// when the call waits. The call goes on when the test closes release.
func Hold(op Op) (h Hook, entered <-chan struct{}, release chan<- struct{}) {
	in, out := make(chan struct{}), make(chan struct{})
	return Before(op, func() { close(in); <-out }), in, out
}

// Torn cuts a record in the middle of its value, for SetTamper.
func Torn(rec *model.Record) { rec.Value = rec.Value[:len(rec.Value)/2] }
