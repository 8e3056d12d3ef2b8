package sessiontest

import (
	"slices"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn/model"
)

// Down is a Hook for a store that cannot be reached.
func Down(Op, string, func() error) error {
	return model.NewError(model.ErrUnavailable, "the store is down", nil)
}

// Fail returns a Hook that fails every call of those methods with the error,
// before it reaches the store: model.ErrNotFound for what is gone,
// model.ErrConflict for what others change.
func Fail(err error, ops ...Op) Hook {
	return func(op Op, _ string, next func() error) error {
		if slices.Contains(ops, op) {
			return err
		}
		return next()
	}
}

// LoseFirst returns a Hook that carries out the first call of the method and
// loses its answer.
func LoseFirst(op Op) Hook {
	var once sync.Once
	return func(o Op, _ string, next func() error) error {
		err := next()
		if o == op {
			once.Do(func() { err = model.NewError(model.ErrUnknown, "the answer was lost", nil) })
		}
		return err
	}
}

// Before returns a Hook that runs do before the first call of the method, for a
// race at that very point. Calls that do makes itself pass.
func Before(op Op, do func()) Hook {
	var mu sync.Mutex
	done := false
	return func(o Op, _ string, next func() error) error {
		mu.Lock()
		first := o == op && !done
		done = done || first
		mu.Unlock()
		if first {
			do()
		}
		return next()
	}
}

// Hold returns a Hook that holds the first call of the method: entered is
// closed when it waits, and it goes on when release is closed.
func Hold(op Op) (h Hook, entered <-chan struct{}, release chan<- struct{}) {
	in, out := make(chan struct{}), make(chan struct{})
	return Before(op, func() { close(in); <-out }), in, out
}

// Torn is for SetTamper: a record cut in the middle of its value.
func Torn(rec *model.Record) { rec.Value = rec.Value[:len(rec.Value)/2] }

// SetTamper changes every record that Get and Page return from now on; nil ends
// it.
func (b *Backend) SetTamper(change func(*model.Record)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tamper = change
}

func (b *Backend) tampered(recs ...*model.Record) {
	b.mu.Lock()
	change := b.tamper
	b.mu.Unlock()
	if change == nil {
		return
	}
	for _, r := range recs {
		change(r)
	}
}

// Assert fails the test unless exactly those driver calls were made since the
// last Calls or Assert, in the form of Calls.
func (b *Backend) Assert(t testing.TB, want, what string) {
	t.Helper()
	if got := b.Calls(); got != want {
		t.Errorf("driver calls of %s: %s, want %s", what, got, want)
	}
}
