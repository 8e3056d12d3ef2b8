package drivertest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance/faultnet"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Wire is a proxy of faultnet in front of a backend's server.
type Wire interface {
	Next(faultnet.Fault)
	Set(faultnet.Plan)
	Requests() []string
}

// Opener opens a backend on a store of its own, behind a proxy.
type Opener func(t testing.TB) (driver.ModelExpirySupport, Wire)

// Lost is a table of writes whose answers are lost.
type Lost struct {
	Open   Opener
	Faults []faultnet.Fault
	// Calls chooses the calls, given the seeded record. Nil means Writes.
	Calls func(t testing.TB, base model.Record) []Call
	// IsWrite reports whether a request on the wire writes; the fault is given
	// to the first one that does. Nil means that every request does.
	IsWrite func(name string) bool
	// Sent has the requests that a call sends, by its name, as IsWrite sees
	// them. A call without an entry sends one.
	Sent map[string][]string
}

// LostWrites gives every fault to every write: the backend returns ErrUnknown,
// and the write was sent once. After a lost answer it was applied once.
func LostWrites(t *testing.T, l Lost) {
	t.Helper()
	calls := l.Calls
	if calls == nil {
		calls = func(_ testing.TB, base model.Record) []Call { return Writes(base) }
	}
	for i, c := range calls(t, Record("id", "ann", time.Hour)) {
		for _, fault := range l.Faults {
			t.Run(c.Name+"/"+fault.String(), func(t *testing.T) {
				b, wire := l.Open(t)
				c := calls(t, SeedCalls(t, b))[i]
				wire.Requests()
				wire.Set(faultnet.Plan{Fault: fault, Match: l.IsWrite})
				WantKind(t, c.Do(t.Context(), b), model.ErrUnknown)
				wantSent(t, wire.Requests(), l.IsWrite, l.Sent[c.Name])
				if fault == faultnet.LoseAnswer || fault == faultnet.CutAnswer {
					c.Done(t, b)
				}
			})
		}
	}
}

func wantSent(t testing.TB, requests []string, isWrite func(string) bool, want []string) {
	t.Helper()
	if isWrite != nil {
		requests = slices.DeleteFunc(requests, func(name string) bool { return !isWrite(name) })
	}
	if want == nil && len(requests) == 1 || want != nil && slices.Equal(requests, want) {
		return
	}
	t.Fatalf("sent the writes %v, want %v", requests, want)
}

// LostReads gives every fault to every read: the backend returns
// ErrUnavailable, and the next read works. If retrying is not nil, a backend
// whose client sends reads again, the same read on it returns no error.
func LostReads(t *testing.T, b, retrying driver.ModelExpirySupport, wire Wire, calls []Call, faults ...faultnet.Fault) {
	t.Helper()
	for _, c := range calls {
		for _, fault := range faults {
			t.Run(c.Name+"/"+fault.String(), func(t *testing.T) {
				wire.Next(fault)
				WantKind(t, c.Do(t.Context(), b), model.ErrUnavailable)
				if retrying != nil {
					wire.Next(fault)
					if err := c.Do(t.Context(), retrying); err != nil {
						t.Fatalf("with retries: %s", Causes(err))
					}
				}
				if err := c.Do(t.Context(), b); err != nil {
					t.Fatalf("after the lost answer: %s", Causes(err))
				}
			})
		}
	}
}

// LostSweep loses the answer of the first removal of a sweep that keeps one of
// two records: it is counted as unknown, and the next sweep removes what is
// left.
func LostSweep(t *testing.T, b driver.ModelExpirySupport, wire Wire, isWrite func(name string) bool) {
	t.Helper()
	Seed(t, b, Record("a", "ann", time.Hour), Record("b", "ann", time.Hour))
	wire.Set(faultnet.Plan{Fault: faultnet.LoseAnswer, Match: isWrite})
	later := Now.Add(time.Hour)
	swept, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 10, OnExpire: func(r model.Record) error {
		if r.ID == "a" {
			return errors.New("stays")
		}
		if isWrite == nil { // the reads of the sweep are over
			wire.Next(faultnet.LoseAnswer)
		}
		return nil
	}})
	WantKind(t, err, model.ErrUnknown)
	if swept.Removed != 0 || swept.Unknown != 1 {
		t.Fatalf("swept %+v, want one unknown", swept)
	}
	swept, err = b.DeleteExpired(t.Context(), driver.Sweep{Before: later, Limit: 10})
	if err != nil || swept.Removed != 1 {
		t.Fatalf("swept %+v, %v; want the record that stayed", swept, err)
	}
}

// OwnSuccess writes through expiry.Store, which recognises a write whose
// answer was lost as its own. NotApplied is a fault after which the server has
// not carried out the write.
func OwnSuccess(t *testing.T, b driver.ModelExpirySupport, wire Wire, isWrite func(name string) bool, notApplied faultnet.Fault) {
	t.Helper()
	s, err := expiry.NewStore[string](b, &expiry.StoreOptions{Clock: expiry.ClockFunc(func() time.Time { return Now })})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	play := func(f faultnet.Fault) { wire.Set(faultnet.Plan{Fault: f, Match: isWrite}) }
	play(faultnet.LoseAnswer)
	it, err := s.Create(ctx, "id", "one", &expiry.WriteOptions{Labels: map[string]string{"principal": "ann"}})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	play(faultnet.LoseAnswer)
	if it, err = s.Update(ctx, "id", "two", &expiry.WriteOptions{IfMatch: it.Known()}); err != nil {
		t.Fatalf("update: %v", err)
	}
	play(notApplied) // the store reads the known revision and sends the write again
	if it, err = s.Update(ctx, "id", "three", &expiry.WriteOptions{IfMatch: it.Known()}); err != nil {
		t.Fatalf("update that was not applied: %v", err)
	}
	play(faultnet.LoseAnswer)
	if _, err := s.Touch(ctx, "id", expiry.After(time.Hour), nil); err != nil {
		t.Fatalf("touch: %v", err)
	}
	got, err := s.Get(ctx, "id")
	if err != nil || got.Value != "three" || got.Revision != it.Revision || !got.ExpiresAt.Equal(Now.Add(time.Hour)) {
		t.Fatalf("got %+v, %v", got, err)
	}
	play(faultnet.LoseAnswer)
	WantKind(t, s.Delete(ctx, "id", &expiry.DeleteOptions{IfMatch: got.Known()}), model.ErrUnknown)
}

// CallLoser wraps a backend of which the answer to a whole call can be lost:
// to each write that it sends, and to no other call under way. Of a sweep it
// loses the next removal, also if it is told so while the sweep runs. The
// backend's transport asks Loses about each request that writes.
type CallLoser struct {
	driverkit.Wrapper
	stall func()
	armed atomic.Bool
}

type loseKey struct{}

// NewCallLoser returns a CallLoser around b.
func NewCallLoser(b driver.ModelExpirySupport) *CallLoser {
	return &CallLoser{Wrapper: driverkit.Wrap(b)}
}

// StalledBy says what makes the server of this backend stop answering.
func (l *CallLoser) StalledBy(stall func()) *CallLoser { l.stall = stall; return l }

// Stall fits conformance.Harness, for a CallLoser with StalledBy.
func Stall(t testing.TB, b driver.ModelExpirySupport) (resume func()) {
	t.Helper()
	l, ok := b.(*CallLoser)
	if !ok || l.stall == nil {
		t.Fatalf("%T is not a *drivertest.CallLoser with StalledBy", b)
	}
	l.stall()
	return func() {}
}

// Loses reports whether the answer to a write request of that context is lost.
func Loses(ctx context.Context) bool {
	lose, _ := ctx.Value(loseKey{}).(func() bool)
	return lose != nil && lose()
}

// LoseNext loses the answer of the next call. It fits conformance.Harness.
func LoseNext(t testing.TB, b driver.ModelExpirySupport) {
	t.Helper()
	l, ok := b.(*CallLoser)
	if !ok {
		t.Fatalf("%T is not a *drivertest.CallLoser", b)
	}
	l.armed.Store(true)
}

func (l *CallLoser) disarm() bool { return l.armed.CompareAndSwap(true, false) }

func (l *CallLoser) context(ctx context.Context) context.Context {
	if l.disarm() {
		return context.WithValue(ctx, loseKey{}, func() bool { return true })
	}
	return ctx
}

// Write forwards to the backend.
func (l *CallLoser) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	return l.ModelExpirySupport.Write(l.context(ctx), now, w)
}

// Touch forwards to the backend.
func (l *CallLoser) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	return l.ModelExpirySupport.Touch(l.context(ctx), now, t)
}

// Delete forwards to the backend.
func (l *CallLoser) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	return l.ModelExpirySupport.Delete(l.context(ctx), now, d)
}

// WriteMany forwards to the backend.
func (l *CallLoser) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	return driver.WriteMany(l.context(ctx), l.ModelExpirySupport, now, ops)
}

// DeleteExpired forwards to the backend.
func (l *CallLoser) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	return l.ModelExpirySupport.DeleteExpired(context.WithValue(ctx, loseKey{}, l.disarm), s)
}
