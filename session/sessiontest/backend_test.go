package sessiontest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// plain hides every optional interface of a backend.
type plain struct{ driver.ModelExpirySupport }

// native has every optional interface, records their calls, and fails what can
// fail.
type native struct {
	driver.ModelExpirySupport
	seen []string
}

var errNative = errors.New("native")

func (n *native) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	n.seen = append(n.seen, "GetMany")
	return driver.GetMany(ctx, n.ModelExpirySupport, now, gets)
}

func (n *native) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	n.seen = append(n.seen, "WriteMany")
	return driver.WriteMany(ctx, n.ModelExpirySupport, now, ops)
}

func (n *native) Count(context.Context, time.Time, driver.Query) (int, error) {
	n.seen = append(n.seen, "Count")
	return 42, errNative
}

func (n *native) CreateStorage(context.Context) error {
	n.seen = append(n.seen, "CreateStorage")
	return errNative
}

func (n *native) DeleteStorage(context.Context) error {
	n.seen = append(n.seen, "DeleteStorage")
	return errNative
}

func (n *native) Ping(context.Context) error {
	n.seen = append(n.seen, "Ping")
	return errNative
}

func newMemory(t *testing.T) driver.ModelExpirySupport {
	t.Helper()
	b, err := memory.New(memory.NewSpace(), "s", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(id string) driver.BatchOp {
	return driver.BatchOp{Write: &driver.Write{Record: model.Record{ID: id, Revision: model.NewRevision(), Value: []byte("v")}, Cond: driver.IfAbsent}}
}

func TestBackendForwardsEveryOptionalInterface(t *testing.T) {
	inner := &native{ModelExpirySupport: newMemory(t)}
	b := sessiontest.Wrap(inner)
	var outer driver.ModelExpirySupport = b
	ctx := t.Context()
	for _, res := range driver.WriteMany(ctx, outer, now, []driver.BatchOp{write("a"), write("b")}) {
		if res.Err != nil {
			t.Error(res.Err)
		}
	}
	for i, res := range driver.GetMany(ctx, outer, now, driver.Gets("a", "missing")) {
		if want := []error{nil, model.ErrNotFound}[i]; !errors.Is(res.Err, want) {
			t.Errorf("GetMany %d: %v, want %v", i, res.Err, want)
		}
	}
	if n, err := driver.Count(ctx, outer, now, driver.Query{}); n != 42 || !errors.Is(err, errNative) {
		t.Error("Count:", n, err)
	}
	for name, err := range map[string]error{
		"CreateStorage": driver.CreateStorage(ctx, outer), "DeleteStorage": driver.DeleteStorage(ctx, outer), "Ping": driver.Ping(ctx, outer, now),
	} {
		if !errors.Is(err, errNative) {
			t.Errorf("%s: %v", name, err)
		}
	}
	slices.Sort(inner.seen)
	if want := []string{"Count", "CreateStorage", "DeleteStorage", "GetMany", "Ping", "WriteMany"}; !slices.Equal(inner.seen, want) {
		t.Errorf("the wrapped backend saw %v, want %v", inner.seen, want)
	}
	if u, ok := outer.(driver.Unwrapper); !ok || u.Unwrap() != driver.ModelExpirySupport(inner) {
		t.Error("Unwrap does not return the wrapped backend")
	}
	b.Assert(t, "GetMany 1, WriteMany 1", "batches")
}

// Without the optional interfaces the wrapper behaves as the wrapped backend
// does, and each operation of a batch counts.
func TestBackendFallsBackAsTheWrappedBackend(t *testing.T) {
	inner := plain{newMemory(t)}
	b := sessiontest.Wrap(inner)
	ctx := t.Context()
	for _, res := range driver.WriteMany(ctx, b, now, []driver.BatchOp{write("a"), write("b"), {Delete: &driver.Delete{ID: "b", Cond: driver.IfPresent}}}) {
		if res.Err != nil {
			t.Error(res.Err)
		}
	}
	driver.GetMany(ctx, b, now, driver.Gets("a", "b"))
	b.Assert(t, "Get 2, Write 2, Delete 1", "batches without native ones")
	for _, outer := range []driver.ModelExpirySupport{inner, b} {
		if n, err := driver.Count(ctx, outer, now, driver.Query{}); n != 1 || err != nil {
			t.Errorf("Count of %T: %d, %v", outer, n, err)
		}
		if err := errors.Join(driver.CreateStorage(ctx, outer), driver.DeleteStorage(ctx, outer), driver.Ping(ctx, outer, now)); err != nil {
			t.Errorf("%T: %v", outer, err)
		}
	}
}

func TestBackendFailsAndChangesBatches(t *testing.T) {
	b := sessiontest.Wrap(&native{ModelExpirySupport: newMemory(t)})
	ctx := t.Context()
	b.WriteMany(ctx, now, []driver.BatchOp{write("a")})
	b.SetTamper(func(rec *model.Record) { rec.Value = []byte("changed") })
	if res := b.GetMany(ctx, now, driver.Gets("a")); res[0].Err != nil || string(res[0].Record.Value) != "changed" {
		t.Errorf("%q, %v", res[0].Record.Value, res[0].Err)
	}
	b.SetHook(sessiontest.Down)
	for _, res := range append(b.GetMany(ctx, now, driver.Gets("a")), b.WriteMany(ctx, now, []driver.BatchOp{write("b")})...) {
		if !errors.Is(res.Err, model.ErrUnavailable) {
			t.Error(res.Err)
		}
	}
}

var _ interface {
	driver.BatchGetter
	driver.BatchWriter
	driver.Counter
	driver.StorageManager
	driver.Pinger
	driver.Unwrapper
} = (*sessiontest.Backend)(nil)
