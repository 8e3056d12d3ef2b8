package cutover_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/cutover"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// asked counts the ids that a Copy gets from a store one by one, and calls listed
// after each page.
type asked struct {
	driverkit.Wrapper
	gets   int
	listed func()
}

func (a *asked) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	a.gets += len(gets)
	return driver.GetMany(ctx, a.ModelExpirySupport, now, gets)
}

func (a *asked) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	defer a.listed()
	return a.ModelExpirySupport.Page(ctx, now, q)
}

// TestCopyAsksTheSourceForWhatItDidNotList: what a pass has listed in the source is
// not read there a second time.
func TestCopyAsksTheSourceForWhatItDidNotList(t *testing.T) {
	from, to := &asked{Wrapper: driverkit.Wrap(open(t, nil, "from")), listed: func() {}}, open(t, nil, "to")
	for i := range 1200 {
		put(t, from, fmt.Sprint("r", i), "v")
	}
	for i := range 3 {
		put(t, to, fmt.Sprint("extra", i), "v")
	}
	state, err := cutover.Copy(t.Context(), from, to, nil)
	if err != nil || !state.Equal || from.gets != 3 {
		t.Errorf("%+v %v, %d records of the source were asked for, want 3", state, err, from.gets)
	}
	wantEqual(t, from, to)
}

// TestCopyRemovesWhatWentWhileOthersCame removes a record of the source after the
// first pass has copied it, and creates another one: the numbers stay the same.
func TestCopyRemovesWhatWentWhileOthersCame(t *testing.T) {
	from, to := &asked{Wrapper: driverkit.Wrap(open(t, nil, "from"))}, open(t, nil, "to")
	for i := range 20 {
		put(t, from, fmt.Sprint("r", i), "v")
	}
	pages := 0
	from.listed = func() {
		if pages++; pages == 5 { // of the first pass: r7 is copied, and the listing is almost at its end
			if err := from.Delete(t.Context(), now(), driver.Delete{ID: "r0", Cond: driver.IfPresent}); err != nil {
				t.Error(err)
			}
			put(t, from, "a", "v")
		}
	}
	state, err := cutover.Copy(t.Context(), from, to, &cutover.CopyOptions{PageSize: 4})
	if err != nil || !state.Equal {
		t.Fatalf("%+v %v", state, err)
	}
	wantEqual(t, from, to)
}

// TestCopyThatGoesOnRemoves ends each Copy after one page: each next one has not
// listed what the ones before have.
func TestCopyThatGoesOnRemoves(t *testing.T) {
	from, to := open(t, nil, "from"), open(t, nil, "to")
	for i := range 30 {
		put(t, from, fmt.Sprint("r", i), "v")
		put(t, to, fmt.Sprint("extra", i), "v")
	}
	stop := errors.New("stop")
	var state cutover.State
	for range 200 {
		if _, err := cutover.Copy(t.Context(), from, to, &cutover.CopyOptions{PageSize: 4, Start: state, Save: func(s cutover.State) error { state = s; return stop }}); !errors.Is(err, stop) {
			t.Fatalf("%+v %v", state, err)
		}
		if state.Equal {
			wantEqual(t, from, to)
			return
		}
	}
	t.Errorf("never equal: %+v", state)
}
