package conformance

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// The bounds of what need not end on a backend with a mistake.
const (
	mostPages  = 5000             // of one listing
	mostSweeps = 5000             // in a row that report more
	patience   = 10 * time.Second // for a call of an OnExpire
	callsShown = 25               // in the message of a failure
)

// callLog has the last calls of a case, for the message of its failure.
type callLog struct {
	began time.Time    // the case's now at its beginning
	off   atomic.Int32 // greater than zero while goroutines run: their loads do not order them, as a lock would

	mu    sync.Mutex
	calls []call
	left  int // calls that are not shown
}

// call is a call of a backend with its result.
type call struct {
	kind  string // as in kinds
	what  string
	after time.Duration // the call's now after that of the case's beginning
	err   error
}

func (l *callLog) add(now time.Time, kind, id, detail string, err error) {
	if l.off.Load() > 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) == callsShown {
		l.calls = l.calls[:copy(l.calls, l.calls[1:])]
		l.left++
	}
	if id != "" {
		id = fmt.Sprintf(" %.40q", id)
	}
	l.calls = append(l.calls, call{kind, kind + id + detail, now.Sub(l.began), err})
}

// clear forgets the calls.
func (l *callLog) clear(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began, l.calls, l.left = now, nil, 0
}

// last returns the kind of the last call.
func (l *callLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) == 0 {
		return ""
	}
	return l.calls[len(l.calls)-1].kind
}

func (l *callLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) == 0 {
		return ""
	}
	var s strings.Builder
	s.WriteString("\n  the calls before, with the time of each since the case began")
	if l.left > 0 {
		fmt.Fprintf(&s, " (%d earlier ones are left out)", l.left)
	}
	for _, c := range l.calls {
		answer := "done"
		if c.err != nil {
			answer = c.err.Error()
		}
		fmt.Fprintf(&s, "\n    +%-10v %s: %s", c.after, c.what, answer)
	}
	return s.String()
}

// watched is a node of a case. It notes the calls, and bounds what need not end
// on a backend with a mistake.
type watched struct {
	driverkit.Wrapper
	c     *C
	log   *callLog
	depth sync.Map // of page tokens: the number of pages before
	more  atomic.Int64
	busy  atomic.Int64 // calls of OnExpire under way
	stuck atomic.Bool  // a call of an OnExpire did not return
}

// bare returns the backend of the harness below b, which its functions know.
func bare(b driver.ModelExpirySupport) driver.ModelExpirySupport {
	if w, ok := b.(*watched); ok {
		return w.ModelExpirySupport
	}
	return b
}

// endless fails the case, and returns an error that ends the loop around the
// call. It may be called by any goroutine.
func (w *watched) endless(rule, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	w.c.Errorf("%s\n  %s%s", w.c.describeAs(rule), text, w.log)
	return model.NewError(model.ErrUnavailable, "the suite gave up: "+text, nil)
}

// during makes the call. Within an OnExpire it waits for a limited time, because a
// backend that holds a lock around OnExpire never returns.
func during[T any](w *watched, call func() (T, error)) (T, error) {
	if w.busy.Load() == 0 {
		return call()
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	if !w.stuck.Load() {
		go func() {
			v, err := call()
			done <- result{v, err}
		}()
		limit := w.c.h.patience
		if limit == 0 {
			limit = patience
		}
		t := time.NewTimer(limit)
		defer t.Stop()
		select {
		case r := <-done:
			return r.v, r.err
		case <-t.C:
		}
	}
	var none T
	if w.stuck.Swap(true) {
		return none, model.NewError(model.ErrUnavailable, "an earlier call within OnExpire did not return", nil)
	}
	return none, w.endless("R53", "a call within OnExpire did not return: the backend holds a lock, or a transaction, around OnExpire. A correct backend announces outside of both")
}

func (w *watched) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	r, err := during(w, func() (model.Record, error) { return w.ModelExpirySupport.Get(ctx, now, g) })
	w.log.add(now, "get", g.ID, "", err)
	return r, err
}

// writeKinds are the kinds of calls of Write.
var writeKinds = map[driver.Condition]string{driver.IfAny: "upsert", driver.IfAbsent: "create", driver.IfPresent: "update", driver.IfMatch: "compare-and-set"}

func (w *watched) Write(ctx context.Context, now time.Time, wr driver.Write) (model.Record, error) {
	r, err := during(w, func() (model.Record, error) { return w.ModelExpirySupport.Write(ctx, now, wr) })
	if w.log.off.Load() == 0 {
		w.log.add(now, writeKind(wr.Cond), wr.Record.ID, writeDetail(now, wr), err)
	}
	return r, err
}

func writeKind(c driver.Condition) string {
	if kind := writeKinds[c]; kind != "" {
		return kind
	}
	return "write"
}

func writeDetail(now time.Time, w driver.Write) string {
	s := expires(now, w.Record.ExpiresAt)
	if len(w.Record.Labels) > 0 {
		s += fmt.Sprintf(", labels %.60q", fmt.Sprint(w.Record.Labels))
	}
	if w.Keep.Expiry {
		s += ", keeps the expiry"
	}
	if w.Keep.Labels {
		s += ", keeps the labels"
	}
	return s
}

func expires(now, at time.Time) string {
	if at.IsZero() {
		return ", never expires"
	}
	return ", expires " + at.Sub(now).String() + " later"
}

func (w *watched) Touch(ctx context.Context, now time.Time, t driver.Touch) (model.Record, error) {
	r, err := during(w, func() (model.Record, error) { return w.ModelExpirySupport.Touch(ctx, now, t) })
	kind, detail := "touch", ""
	switch t.Mode {
	case driver.TouchSet:
		kind, detail = "set", expires(now, t.ExpiresAt)
	case driver.TouchExtend:
		kind, detail = "extend", expires(now, t.ExpiresAt)
	case driver.TouchClear:
		kind = "clear"
	}
	if t.Cond == driver.IfMatch {
		detail += ", at a revision"
	}
	w.log.add(now, kind, t.ID, detail, err)
	return r, err
}

func (w *watched) Delete(ctx context.Context, now time.Time, d driver.Delete) error {
	_, err := during(w, func() (any, error) { return nil, w.ModelExpirySupport.Delete(ctx, now, d) })
	kind := "delete"
	if d.Cond == driver.IfMatch {
		kind = "delete at a revision"
	}
	w.log.add(now, kind, d.ID, "", err)
	return err
}

func (w *watched) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	p, err := during(w, func() (driver.Page, error) { return w.ModelExpirySupport.Page(ctx, now, q) })
	if err == nil && p.Next != "" {
		pages := 1
		if n, ok := w.depth.Load(q.After); ok && q.After != "" {
			pages = n.(int) + 1
		}
		if w.depth.Store(p.Next, pages); pages > mostPages {
			err = w.endless("R43", "a listing has not ended after %d pages, the last one with %d records. A correct backend ends it with an empty Next", pages, len(p.Records))
		}
	}
	detail := fmt.Sprintf(" of %d", q.Limit)
	if q.Label != "" {
		detail += fmt.Sprintf(" by %s %.40q", q.Label, q.Value)
	}
	detail += fmt.Sprintf(", %d records", len(p.Records))
	if n := len(p.Corrupt); n > 0 {
		detail += fmt.Sprintf(", %d corrupt", n)
	}
	w.log.add(now, "page", "", detail, err)
	return p, err
}

func (w *watched) DeleteExpired(ctx context.Context, s driver.Sweep) (driver.Swept, error) {
	if announce := s.OnExpire; announce != nil {
		s.OnExpire = func(r model.Record) error {
			w.busy.Add(1)
			defer w.busy.Add(-1)
			return announce(r)
		}
	}
	sw, err := during(w, func() (driver.Swept, error) { return w.ModelExpirySupport.DeleteExpired(ctx, s) })
	if !sw.More {
		w.more.Store(0)
	} else if n := w.more.Add(1); n > mostSweeps {
		err = w.endless("R51", "%d sweeps in a row reported more, the last one removed %d records. A correct backend reports more only if expired records may be left", n, sw.Removed)
	}
	w.log.add(s.Before, "sweep", "", fmt.Sprintf(" of %d, %d removed, more %v", s.Limit, sw.Removed, sw.More), err)
	return sw, err
}

func (w *watched) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	out, err := during(w, func() ([]driver.BatchResult, error) { return w.Wrapper.GetMany(ctx, now, gets), nil })
	if err != nil {
		out = allFail(len(gets), err)
	}
	for i := range min(len(out), len(gets)) {
		w.log.add(now, "get of many", gets[i].ID, "", out[i].Err)
	}
	return out
}

func (w *watched) WriteMany(ctx context.Context, now time.Time, ops []driver.BatchOp) []driver.BatchResult {
	out, err := during(w, func() ([]driver.BatchResult, error) { return w.Wrapper.WriteMany(ctx, now, ops), nil })
	if err != nil {
		out = allFail(len(ops), err)
	}
	for i := range min(len(out), len(ops)) {
		w.log.add(now, "batch", ops[i].ID(), "", out[i].Err)
	}
	return out
}

func (w *watched) CreateStorage(ctx context.Context) error {
	_, err := during(w, func() (any, error) { return nil, w.Wrapper.CreateStorage(ctx) })
	return err
}

func (w *watched) DeleteStorage(ctx context.Context) error {
	_, err := during(w, func() (any, error) { return nil, w.Wrapper.DeleteStorage(ctx) })
	return err
}

// allFail returns n results with the error.
func allFail(n int, err error) []driver.BatchResult {
	out := make([]driver.BatchResult, n)
	for i := range out {
		out[i].Err = err
	}
	return out
}

// Count counts as the backend does. One that lists is bounded as Page is.
func (w *watched) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	n, err := during(w, func() (int, error) {
		if implements[driver.Counter](w.ModelExpirySupport) {
			return w.Wrapper.Count(ctx, now, q)
		}
		return driver.Count(ctx, lister{w}, now, q)
	})
	w.log.add(now, "count", "", fmt.Sprintf(" by %q %.40q, %d", q.Label, q.Value, n), err)
	return n, err
}

// lister hides the optional interfaces of a backend.
type lister struct{ driver.ModelExpirySupport }

func (w *watched) Stat(ctx context.Context, now time.Time, g driver.Get) (driver.Stat, error) {
	s, err := during(w, func() (driver.Stat, error) { return w.Wrapper.Stat(ctx, now, g) })
	w.log.add(now, "get", g.ID, " without the value", err)
	return s, err
}
