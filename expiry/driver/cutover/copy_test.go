package cutover_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/cutover"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func rec(id, value string) model.Record {
	return model.Record{ID: id, Revision: model.NewRevision(), ExpiresAt: now().Add(time.Hour), Labels: map[string]string{"principal": "ann"}, Value: []byte(value), Encoding: "json"}
}

func put(t testing.TB, b driver.ModelExpirySupport, id, value string) model.Record {
	t.Helper()
	r := rec(id, value)
	if _, err := b.Write(t.Context(), now(), driver.Write{Record: r, Cond: driver.IfAny}); err != nil {
		t.Fatal(err)
	}
	return r
}

// all returns all live records by id.
func all(t testing.TB, b driver.ModelExpirySupport) map[string]model.Record {
	t.Helper()
	out := map[string]model.Record{}
	q := driver.Query{Limit: 500}
	for {
		page, err := b.Page(t.Context(), now(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			out[r.ID] = r
		}
		if q.After = page.Next; page.Next == "" {
			return out
		}
	}
}

func wantEqual(t testing.TB, a, b driver.ModelExpirySupport) {
	t.Helper()
	have, there := all(t, a), all(t, b)
	if !maps.EqualFunc(have, there, func(x, y model.Record) bool {
		return x.Revision == y.Revision && x.ExpiresAt.Equal(y.ExpiresAt) && maps.Equal(x.Labels, y.Labels) && bytes.Equal(x.Value, y.Value) && x.Encoding == y.Encoding
	}) {
		t.Fatalf("the stores differ:\n%v\n%v", have, there)
	}
}

func TestCopyEndsWithAPassThatFindsBothEqual(t *testing.T) {
	from, to := open(t, nil, "from"), open(t, nil, "to")
	for i := range 1200 {
		put(t, from, fmt.Sprint("r", i), "v")
	}
	put(t, to, "extra", "v")
	put(t, to, "r7", "another value")
	state, err := cutover.Copy(t.Context(), from, to, nil)
	if err != nil || !state.Equal || state.Copied != 1201 {
		t.Fatalf("%+v %v", state, err)
	}
	wantEqual(t, from, to)
	put(t, to, "extra", "v")
	if state, err = cutover.Copy(t.Context(), from, to, &cutover.CopyOptions{KeepExtra: true}); err != nil || !state.Equal {
		t.Fatalf("%+v %v", state, err)
	}
	if n := len(all(t, to)); n != 1201 {
		t.Errorf("%d records, want 1201 with the extra one", n)
	}
}

// TestCopyGoesOnWhereItStopped ends each Copy after one page, by an error of
// Save, and begins the next one there.
func TestCopyGoesOnWhereItStopped(t *testing.T) {
	from, to := open(t, nil, "from"), open(t, nil, "to")
	for i := range 100 {
		put(t, from, fmt.Sprint("r", i), "v")
	}
	stop := errors.New("stop")
	var state cutover.State
	for runs := 1; ; runs++ {
		_, err := cutover.Copy(t.Context(), from, to, &cutover.CopyOptions{PageSize: 9, Start: state, Save: func(s cutover.State) error { state = s; return stop }})
		if !errors.Is(err, stop) {
			t.Fatalf("run %d: %+v %v", runs, state, err)
		}
		if state.Equal {
			if runs < 30 || state.Copied != 100 {
				t.Errorf("%d runs copied %d records", runs, state.Copied)
			}
			break
		}
	}
	wantEqual(t, from, to)
}

// TestCopyKeepsItsRate has the clock of a bubble.
func TestCopyKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := open(t, nil, "from"), open(t, nil, "to")
		for i := range 100 {
			put(t, from, fmt.Sprint("r", i), "v")
		}
		begin := time.Now()
		if _, err := cutover.Copy(t.Context(), from, to, &cutover.CopyOptions{PageSize: 10, Rate: 5}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 50*time.Second || took > 70*time.Second {
			t.Errorf("three listings of 100 records at 5 a second took %v", took)
		}
	})
}

func TestCopyCountsWhatItCannotCopy(t *testing.T) {
	from := open(t, nil, "from")
	put(t, from, "small", "v")
	put(t, from, "large", "a value that is too large")
	to := limited{driverkit.Wrap(open(t, nil, "to"))}
	state, err := cutover.Copy(t.Context(), from, to, nil)
	var of *cutover.RecordError
	if !errors.As(err, &of) || of.ID != "large" || !errors.Is(err, model.ErrTooLarge) || state.Failed != 1 || state.Equal {
		t.Fatalf("%+v %v", state, err)
	}
	if n := len(all(t, to)); n != 1 {
		t.Errorf("%d records, want the small one", n)
	}
	few, err := memory.New(nil, "few", &memory.Options{Labels: []string{"principal"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cutover.Copy(t.Context(), from, few, nil); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("to a store without a label: %v", err)
	}
}

// limited takes values of ten bytes at most.
type limited struct{ driverkit.Wrapper }

func (l limited) Write(ctx context.Context, now time.Time, w driver.Write) (model.Record, error) {
	if err := driver.CheckValue(w.Record.Value, 10); err != nil {
		return model.Record{}, err
	}
	return l.ModelExpirySupport.Write(ctx, now, w)
}

func (l limited) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out := make([]driver.BatchResult, len(ops))
	for i := range ops {
		out[i].Record, out[i].Err = l.Write(ctx, now, *ops[i].Write)
	}
	return out
}

// TestBothAreEqualAfterManyWriters has writers on the same few records through
// two nodes of a DualWrite, while a Copy is under way.
func TestBothAreEqualAfterManyWriters(t *testing.T) {
	oldSpace, newSpace := memory.NewSpace(), memory.NewSpace()
	main, other := open(t, oldSpace, "s"), open(t, newSpace, "s")
	for i := range 40 {
		put(t, main, fmt.Sprint("r", i), "v")
	}
	nodes := make([]driver.ModelExpirySupport, 2)
	for i := range nodes {
		b, err := cutover.NewDualWrite(open(t, oldSpace, "s"), open(t, newSpace, "s"), &cutover.Options{
			Timeout: time.Minute, OnLag: func(_ context.Context, id string, err error) { t.Errorf("%s lags: %v", id, err) },
		})
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = b
	}
	var wg sync.WaitGroup
	for writer := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(writer), 1))
			for range 300 {
				change(t.Context(), nodes[writer%2], random)
			}
		})
	}
	wg.Go(func() {
		if _, err := cutover.Copy(t.Context(), main, other, &cutover.CopyOptions{PageSize: 7, Passes: 3}); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	state, err := cutover.Copy(t.Context(), main, other, nil)
	if err != nil || !state.Equal {
		t.Fatalf("%+v %v", state, err)
	}
	wantEqual(t, main, other)
}

// change makes one random change to one of 40 records. Which of them fail does not
// matter.
func change(ctx context.Context, b driver.ModelExpirySupport, random *rand.Rand) {
	id := fmt.Sprint("r", random.IntN(40))
	switch random.IntN(5) {
	case 0:
		_ = b.Delete(ctx, now(), driver.Delete{ID: id, Cond: driver.IfPresent})
	case 1:
		_, _ = b.Touch(ctx, now(), driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: now().Add(time.Duration(random.IntN(9)+1) * time.Hour)})
	case 2:
		_, _ = b.Write(ctx, now(), driver.Write{Record: rec(id, "update"), Cond: driver.IfPresent})
	case 3:
		driver.WriteMany(ctx, b, now(), []driver.BatchOp{{Write: &driver.Write{Record: rec(id, "batch"), Cond: driver.IfAny}}})
	default:
		_, _ = b.Write(ctx, now(), driver.Write{Record: rec(id, "create"), Cond: driver.IfAbsent})
	}
}
