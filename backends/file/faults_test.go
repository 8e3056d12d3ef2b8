package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// spied returns a backend that uses the file system through a Spy.
func spied(t testing.TB, dir string, opts *Options) (*Backend, *disktest.Spy) {
	t.Helper()
	b, s := open(t, dir, "store", opts), &disktest.Spy{System: disk.OS{}}
	b.system = s
	return b, s
}

// onPower returns a backend that uses a disk in memory through a Spy.
func onPower(t testing.TB, power *disktest.Power, opts *Options) (*Backend, *disktest.Spy) {
	t.Helper()
	b, s := spied(t, filepath.FromSlash("/d"), opts)
	s.System, b.sweepers, b.syncers, b.counters = power, 1, 1, 1
	b.foldAt, b.savedFrom = 30_000, 1
	return b, s
}

// faultOp is an operation whose every step is made to fail. Before it, the
// records "old" and "due" of the principal ann are stored, due in an hour.
type faultOp struct {
	reads bool // it changes no record
	many  bool // it may have changed some records when it fails
	// do returns the state of each changed record after success.
	do func(ctx context.Context, b *Backend, truth map[string]state) (after map[string]state, err error)
}

func writeOp(c driver.Condition, id, principal string, at time.Time) faultOp {
	return faultOp{do: func(ctx context.Context, b *Backend, _ map[string]state) (map[string]state, error) {
		r := big(id, principal, at)
		return map[string]state{id: stateOf(r)}, onlyErr(b.Write(ctx, now, driver.Write{Record: r, Cond: c}))
	}}
}

var errMiscounted = errors.New("another number of records")

// countOp is a read that finds n of the stored records.
func countOp(n func(context.Context, *Backend) (int, error)) faultOp {
	return faultOp{reads: true, do: func(ctx context.Context, b *Backend, truth map[string]state) (map[string]state, error) {
		got, err := n(ctx, b)
		if err == nil && got != len(truth) {
			err = fmt.Errorf("%w: found %d, want %d", errMiscounted, got, len(truth))
		}
		return nil, err
	}}
}

func pageOp(q driver.Query) faultOp {
	return countOp(func(ctx context.Context, b *Backend) (int, error) {
		p, err := b.Page(ctx, now, q)
		return len(p.Records) + len(p.Corrupt), err
	})
}

var faultOps = map[string]faultOp{
	"create":                     writeOp(driver.IfAbsent, "new", "bob", inDay),
	"create with a label in use": writeOp(driver.IfAbsent, "new", "ann", inHour),
	"update":                     writeOp(driver.IfPresent, "old", "ann", inHour),
	"update of the label":        writeOp(driver.IfPresent, "old", "bob", inDay),
	"upsert":                     writeOp(driver.IfAny, "old", "bob", time.Time{}),
	"touch": {do: func(ctx context.Context, b *Backend, truth map[string]state) (map[string]state, error) {
		after := truth["old"]
		after.minute = 24 * 60
		return map[string]state{"old": after}, onlyErr(b.Touch(ctx, now, driver.Touch{ID: "old", Mode: driver.TouchSet, ExpiresAt: inDay}))
	}},
	"delete": {do: func(ctx context.Context, b *Backend, _ map[string]state) (map[string]state, error) {
		return map[string]state{"old": {}}, remove(ctx, b, "old")
	}},
	"sweep": {many: true, do: func(ctx context.Context, b *Backend, truth map[string]state) (map[string]state, error) {
		n, err := b.DeleteExpired(ctx, driver.Sweep{Before: inHour, Limit: 10})
		b.system.(*disktest.Spy).Set(nil) // the reads below must not fail
		gone := 0
		for id := range truth {
			if _, getErr := b.Get(ctx, now, driver.Get{ID: id}); errors.Is(getErr, model.ErrNotFound) {
				gone++
			}
		}
		if gone < n.Removed || gone > n.Removed+n.Unknown || errors.Is(err, model.ErrUnknown) != (n.Unknown > 0) {
			err = errors.Join(err, fmt.Errorf("%d are gone, and the sweep counts %+v", gone, n))
		}
		return map[string]state{"old": {}, "due": {}}, err
	}},
	"page":          pageOp(driver.Query{Limit: 10}),
	"page by label": pageOp(driver.Query{Limit: 10, Label: "principal", Value: "ann"}),
	"count": countOp(func(ctx context.Context, b *Backend) (int, error) {
		return b.Count(ctx, now, driver.Query{Label: "principal", Value: "ann"})
	}),
	"count of all": countOp(func(ctx context.Context, b *Backend) (int, error) { return b.Count(ctx, now, driver.Query{}) }),
	"second count": countOp(func(ctx context.Context, b *Backend) (int, error) {
		if _, err := b.Count(ctx, now, driver.Query{}); err != nil {
			return 0, err
		}
		return b.Count(ctx, now, driver.Query{})
	}),
	"update that is counted": {do: func(ctx context.Context, b *Backend, truth map[string]state) (map[string]state, error) {
		if n, err := b.Count(ctx, now, driver.Query{}); err != nil || n != len(truth) {
			return nil, model.NewError(model.ErrUnavailable, fmt.Sprint("counted ", n), err)
		}
		r := big("old", "bob", inDay)
		return map[string]state{"old": stateOf(r)}, onlyErr(b.Write(ctx, now, driver.Write{Record: r, Cond: driver.IfPresent}))
	}},
	"get": {reads: true, do: func(ctx context.Context, b *Backend, truth map[string]state) (map[string]state, error) {
		r, err := b.Get(ctx, now, driver.Get{ID: "old"})
		if err == nil && stateOf(r) != truth["old"] {
			err = fmt.Errorf("got %+v, want %+v", stateOf(r), truth["old"])
		}
		return nil, err
	}},
	"CreateStorage": {reads: true, do: func(ctx context.Context, b *Backend, _ map[string]state) (map[string]state, error) {
		return nil, b.CreateStorage(ctx)
	}},
	"DeleteStorage": {many: true, do: func(ctx context.Context, b *Backend, _ map[string]state) (map[string]state, error) {
		return map[string]state{"old": {}, "due": {}}, b.DeleteStorage(ctx)
	}},
	"Rebuild": {reads: true, do: func(ctx context.Context, b *Backend, _ map[string]state) (map[string]state, error) {
		return nil, onlyErr(b.Rebuild(ctx))
	}},
}

// big returns a record with a value of valueBytes.
func big(id, principal string, at time.Time) model.Record {
	r := newRecord(id, principal, at)
	r.Value = bytes.Repeat([]byte("x"), valueBytes)
	return r
}

// TestEveryStepMayFail makes each call to the file system of each operation
// fail, with several errors. The operation returns an error of the right kind.
// After an error other than ErrUnknown everything is as before. Acknowledged
// records are complete and found by their labels. No file is left over or open.
func TestEveryStepMayFail(t *testing.T) {
	const eachStep, fewSteps = 60, 31
	for name := range faultOps {
		for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EACCES, syscall.EROFS, syscall.EMFILE} {
			for _, noLog := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/no log %v", name, int(errno), noLog), func(t *testing.T) {
					t.Parallel()
					for step := 1; failStep(t, name, step, errno, noLog); step++ {
						if t.Failed() {
							return
						}
						if step > eachStep { // what walks all shards does the same for each
							step += fewSteps + int(errno)%7
						}
					}
				})
			}
		}
	}
}

// failStep makes one step of an operation fail, and reports whether the
// operation has that step.
func failStep(t *testing.T, name string, step int, errno syscall.Errno, noLog bool) bool {
	t.Helper()
	op, power := faultOps[name], disktest.NewPower()
	power.NoWhole = noLog
	b, s := onPower(t, power, nil)
	truth := map[string]state{}
	for _, id := range []string{"old", "due"} {
		truth[id] = stateOf(create(t, b, big(id, "ann", inHour)))
	}
	b.forget(b.tree) // the operation opens the folders again, so that it has every step
	before := power.Files()

	n, where := 0, ""
	s.Set(func(op, path string) error {
		if n++; n != step {
			return nil
		}
		where = fmt.Sprintf("%s: %v at step %d, %s of %s", name, errno, step, op, path)
		return errno
	})
	after, err := op.do(t.Context(), b, truth)
	s.Set(nil)
	if where == "" {
		if err != nil || n < 4 {
			t.Errorf("%s with no failing step: %v after %d steps", name, err, n)
		}
		return false
	}
	denied := (errno == syscall.EACCES || errno == syscall.EIO) && strings.Contains(where, " read of ")
	if errors.Is(err, errMiscounted) && denied {
		err = nil // what walks the records leaves out one that it cannot read
	}
	unknown := errors.Is(err, model.ErrUnknown)
	if err != nil && !errors.Is(err, model.ErrUnavailable) || unknown && op.reads {
		t.Errorf("%s: %v is of kind %v", where, err, model.Kind(err))
	}
	pending := map[string]state{}
	switch {
	case err == nil && (!denied || !op.many):
		maps.Copy(truth, after)
	case denied, unknown || op.many:
		maps.Copy(pending, after)
	default:
		if left := power.Files(); !strings.Contains(where, "remove") && !slices.Equal(onlyFiles(left), onlyFiles(before)) {
			t.Errorf("%s: the files are %v, want %v", where, left, before)
		}
	}
	if wrong := audit(b, truth, pending); wrong != nil {
		t.Errorf("%s: %v, then %v", where, err, wrong)
	}
	mustBeClean(t, b, s, power, where)
	return true
}

// onlyFiles returns the paths without those of folders and lock files.
func onlyFiles(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		return strings.HasSuffix(p, "/") || strings.Contains(p, "/"+locksDir+"/") || strings.Contains(p, "/"+redoDir+"/")
	})
}

// mustBeClean checks that listings and a sweep of everything leave no file, and
// that Close leaves none open.
func mustBeClean(t *testing.T, b *Backend, s *disktest.Spy, power *disktest.Power, where string) {
	t.Helper()
	write(t, b, driver.IfAny, big("old", "ann", inHour))
	write(t, b, driver.IfPresent, big("old", "bob", inHour))
	must(t, onlyErr(list(b, "principal", "ann")))
	must(t, onlyErr(list(b, "principal", "bob")))
	all, err := list(b, "", "")
	must(t, err)
	for id := range all {
		if _, err := b.Touch(t.Context(), now, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: inHour}); err != nil {
			t.Errorf("%s: the touch afterwards: %v", where, err)
		}
	}
	if n, err := b.DeleteExpired(t.Context(), driver.Sweep{Before: inDay.Add(time.Hour), Limit: 100}); err != nil || n.Removed == 0 || n.More {
		t.Errorf("%s: the sweep afterwards: %+v, %v", where, n, err)
	}
	if left := onlyFiles(power.Files()); len(left) != 0 {
		t.Errorf("%s: the sweep left %v", where, left)
	}
	_ = b.Close()
	if n := s.Handles(); n != 0 {
		t.Errorf("%s: %d files are open after Close", where, n)
	}
}

// state describes a stored record. The zero state means that there is no record.
type state struct {
	rev, principal, tenant string
	minute                 int64
}

// twoLabels are declared by tests in which a record bears two labels.
var twoLabels = []string{"principal", "tenant"}

// audit compares the store with the acknowledged writes in truth. First it adds
// those pending writes to truth that were applied.
func audit(b *Backend, truth, pending map[string]state) error {
	ctx := context.Background()
	for id, s := range pending {
		got, err := b.Get(ctx, now, driver.Get{ID: id})
		if ignore(err, model.ErrNotFound) == nil && stateOf(got) == s {
			truth[id] = s
		}
	}
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	want := map[string]map[string]string{"": {}} // by label and value, then id: the revision
	for id, s := range truth {
		got, err := b.Get(ctx, now, driver.Get{ID: id})
		if err != nil && !errors.Is(err, model.ErrNotFound) {
			wrong("%q: %w", id, err)
		}
		if stateOf(got) != s {
			wrong("%q is %+v, %v; acknowledged as %+v", id, stateOf(got), err, s)
		}
		if s.rev == "" {
			continue
		}
		if len(got.Value) != valueBytes {
			wrong("%q has %d bytes, want %d", id, len(got.Value), valueBytes)
		}
		want[""][id] = s.rev
		for _, label := range []string{"principal=" + s.principal, "tenant=" + s.tenant} {
			if want[label] == nil {
				want[label] = map[string]string{}
			}
			want[label][id] = s.rev
		}
	}
	for _, labelled := range []string{"", "principal=ann", "principal=bob", "tenant=x", "tenant=y"} {
		label, value, _ := strings.Cut(labelled, "=")
		if label != "" && !slices.Contains(b.gate.Labels(), label) {
			continue
		}
		got, err := list(b, label, value)
		if err != nil || !maps.Equal(got, want[labelled]) && len(got)+len(want[labelled]) > 0 {
			wrong("the listing of %q has %v, %v; want %v", labelled, got, err, want[labelled])
		}
	}
	return errors.Join(errs...)
}

func stateOf(r model.Record) state {
	if r.ID == "" {
		return state{}
	}
	s := state{rev: r.Revision.String(), principal: r.Labels["principal"], tenant: r.Labels["tenant"]}
	if !r.ExpiresAt.IsZero() {
		s.minute = int64(r.ExpiresAt.Sub(now) / time.Minute)
	}
	return s
}

const valueBytes = 5000

// plan chooses a call that changes the record with the id. It returns the call
// and the record afterwards.
func plan(b *Backend, intN func(int) int, id string) (next model.Record, do func() error, err error) {
	ctx := context.Background()
	cur, err := b.Get(ctx, now, driver.Get{ID: id})
	missing := errors.Is(err, model.ErrNotFound)
	if err != nil && !missing {
		return next, nil, err
	}
	at := now.Add(time.Duration(1+intN(3)) * time.Minute)
	next = big(id, []string{"ann", "bob"}[intN(2)], at)
	if slices.Contains(b.gate.Labels(), "tenant") && intN(3) > 0 {
		next.Labels["tenant"] = []string{"x", "y"}[intN(2)]
	}
	cond := driver.IfMatch
	if missing {
		cond = driver.IfAbsent
	}
	do = func() error {
		return onlyErr(b.Write(ctx, now, driver.Write{Record: next, Cond: cond, Known: cur}))
	}
	switch act := intN(4); {
	case missing:
	case act == 0:
		next = model.Record{}
		do = func() error { return b.Delete(ctx, now, driver.Delete{ID: id, Cond: driver.IfMatch, Known: cur}) }
	case act == 1:
		next = cur
		next.ExpiresAt = at
		do = func() error {
			return onlyErr(b.Touch(ctx, now, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: at}))
		}
	}
	return next, do, nil
}

// powerIDs are two groups of ids. The ids of a group share a lock. Its first
// three also share a shard, so that a sweep removes several at once.
var powerIDs = [2][]string{groupOf(3), groupOf(17)}

const powerShards = "03 43 11 51"

func groupOf(shard uint8) []string {
	var out, other []string
	for i := 0; len(out) < 3 || len(other) == 0; i++ {
		switch p := placeOf(fmt.Sprint(i)); p.shard {
		case shard:
			out = append(out, p.id)
		case shard + stripes:
			other = append(other, p.id)
		}
	}
	return append(out[:3], other[0])
}

// life is the use of a store until the power is cut at a random call to the file
// system.
type life struct {
	b              *Backend
	r              *rand.Rand
	truth, pending map[string]state
	steps          int             // calls to the file system until the cut
	odds           int             // percent of the unsynced changes that the cut undoes
	outer          int             // the group that the running call uses, noGroup or allGroups
	nested         bool            // a call runs within another call
	emptied        bool            // the storage was deleted and nothing was made since
	after          *disktest.Power // the disk after the cut
	syncs          map[string]int  // by site
	wrong          error           // of a call before the cut
	deletes        bool            // the storage is deleted often
}

// live makes calls until the power is cut, soon and only reads if reads is set. It
// leaves out the syncs of one site.
func live(t *testing.T, top *disktest.Power, r *rand.Rand, truth map[string]state, drop string, reads bool) *life {
	t.Helper()
	b, s := onPower(t, top, &Options{Labels: twoLabels})
	l := &life{
		b: b, r: r, truth: truth, pending: map[string]state{}, syncs: map[string]int{},
		steps: 1 + r.IntN(600), odds: r.IntN(101),
	}
	l.deletes = strings.Contains(drop, "voidLogs") // else its cases are rare
	if reads {
		l.steps, l.nested = 1+r.IntN(80), true
	}
	s.DropSyncs(func() bool {
		site := syncSite()
		l.syncs[site]++
		return site == drop
	})
	s.Set(func(op, path string) error {
		if l.emptied && r.IntN(8) == 0 {
			l.steps = 0
		}
		if l.after == nil && slices.Contains([]string{"makeall", "mkdir", "create", "touch", "openlock"}, op) {
			l.emptied = false
		}
		if !isMinor(path) {
			l.steps--
		}
		if l.steps <= 0 {
			if l.after == nil {
				gone := func() bool { return r.IntN(100) < l.odds }
				l.after = top.Cut(gone, gone)
			}
			return errDead
		}
		if !l.nested && r.IntN(40) == 0 && mayNest() {
			l.nest()
		}
		return nil
	})
	act := l.act
	if reads {
		act = func() error { return onlyErr(list(b, "principal", "ann")) }
	} else if r.IntN(2) == 0 {
		_ = b.CreateStorage(context.Background())
	}
	for l.after == nil {
		if err := act(); err != nil && l.after == nil {
			l.wrong, l.after = err, top
		}
	}
	return l
}

// Values of life.outer that are not groups.
const (
	noGroup   = -1 // the call holds the lock of no group
	allGroups = -2 // the call may hold any lock
)

// act makes one call of any kind.
func (l *life) act() error {
	ctx := context.Background()
	l.outer = allGroups
	switch n := l.r.IntN(100); {
	case l.deletes && n >= 75:
		return l.deleteStorage()
	case n < 8:
		return l.sweep()
	case n < 12:
		l.outer = noGroup
		return l.b.CreateStorage(ctx)
	case n < 16:
		return l.deleteStorage()
	case n < 20:
		return onlyErr(l.b.Rebuild(ctx))
	case n < 28:
		l.outer = noGroup
		_, err := list(l.b, "principal", []string{"ann", "bob"}[l.r.IntN(2)])
		return err
	}
	l.outer = l.r.IntN(2)
	return l.change(l.outer)
}

// isMinor reports whether a step uses one of many locks or empty shards. Such
// steps do not need a cut of their own.
func isMinor(path string) bool {
	folder, name, _ := strings.Cut(strings.TrimPrefix(path, "store/"), "/")
	return folder == locksDir || folder == recordsDir && len(name) == 2 && !strings.Contains(powerShards, name)
}

// nest changes a record of another lock while a call runs.
func (l *life) nest() {
	if l.outer == allGroups {
		return
	}
	l.nested = true
	foldAt := l.b.foldAt
	l.b.foldAt = math.MaxInt64 // a fold would wait for the lock of the outer call
	defer func() { l.b.foldAt = foldAt }()
	group := 1 - l.outer
	if l.outer == noGroup {
		group = l.r.IntN(2)
	}
	_ = l.change(group)
	l.nested = false
}

// change writes, touches or deletes a record of a group.
func (l *life) change(group int) error {
	ids := powerIDs[group]
	id := ids[l.r.IntN(len(ids))]
	next, do, err := plan(l.b, l.r.IntN, id)
	if err != nil || l.after != nil {
		return err
	}
	l.pending[id] = stateOf(next)
	if err = do(); err == nil && l.after == nil {
		l.truth[id] = stateOf(next)
		delete(l.pending, id)
	}
	return err
}

// sweep removes the records that expire in the first minute.
func (l *life) sweep() error {
	for id, s := range l.truth {
		if s.minute == 1 {
			l.pending[id] = state{}
		}
	}
	n, err := l.b.DeleteExpired(context.Background(), driver.Sweep{Before: now.Add(time.Minute), Limit: 100})
	return l.done(n.More, err)
}

func (l *life) deleteStorage() error {
	for id := range l.truth {
		l.pending[id] = state{}
	}
	err := l.b.DeleteStorage(context.Background())
	l.emptied = err == nil && l.after == nil
	if err = l.done(false, err); err == nil && l.r.IntN(2) == 0 {
		return l.b.CreateStorage(context.Background())
	}
	return err
}

func (l *life) done(more bool, err error) error {
	if err == nil && l.after == nil && !more {
		maps.Copy(l.truth, l.pending)
		clear(l.pending)
	}
	return err
}

// mayNest reports whether another call of the Backend may run within this call to
// the file system. It may not while the Backend holds a mutex, or removes a stray
// of a listing.
func mayNest() bool {
	return !slices.ContainsFunc(stack(), func(f runtime.Frame) bool {
		return strings.HasSuffix(f.Function, "(*tree).folder") || strings.HasSuffix(f.Function, "(*Backend).acquire") ||
			strings.HasSuffix(f.Function, "(*tree).prune") || strings.HasSuffix(f.Function, "(*tree).ready") ||
			strings.HasSuffix(f.Function, "(*tree).makeLog") || strings.Contains(f.Function, "(*tree).fold") || strings.HasSuffix(f.Function, "(*tree).closeLogs") ||
			strings.HasSuffix(f.Function, "(*redo).commit") || strings.HasSuffix(f.Function, "(*tree).journal") || strings.HasSuffix(f.Function, "(*tree).openedWhole")
	})
}

// stack returns the frames of the backend's own code, the innermost first.
func stack() []runtime.Frame {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	var out []runtime.Frame
	for {
		f, more := frames.Next()
		if strings.Contains(f.Function, "/backends/file") && !strings.Contains(f.Function, "/disktest") && !strings.HasSuffix(f.File, "_test.go") {
			out = append(out, f)
		}
		if !more {
			return out
		}
	}
}

// syncSite names the code that syncs: the caller of Sync, and the function that
// called it for a purpose.
func syncSite() string {
	var names []string
	for _, f := range stack() {
		name := f.Function[strings.LastIndex(f.Function, "/")+1:]
		_, name, _ = strings.Cut(name, ".")
		name = strings.TrimSuffix(strings.NewReplacer("(*tree).", "", "(*Backend).", "", "(*Maker).", "", "(*sweep).", "").Replace(name), ".func1")
		if len(names) == 0 {
			name = fmt.Sprintf("%s:%d %s", filepath.Base(f.File), f.Line, name)
		} else if names[len(names)-1] == name {
			continue
		}
		names = append(names, name)
		switch name { // a helper: its caller says more
		case "Make", "MakeEach", "openBelow", "syncShard":
			continue
		}
		if len(names) > 1 || !strings.Contains(name, "MakeEach") && !strings.Contains(name, "syncShard") {
			return strings.Join(names, " < ")
		}
	}
	return strings.Join(names, " < ")
}

// powerMode says what the file system can do.
type powerMode int

const (
	withLog    powerMode = iota
	withoutLog           // the file system cannot be synced as a whole
	moved                // it cannot when the store is opened after the cut
)

// cutRepeatedly runs several lives of one store, each with a power cut at its
// end, and sometimes others while the store recovers. It returns what is wrong after a
// cut, and adds the sites of syncs to syncs.
func cutRepeatedly(t *testing.T, mode powerMode, seed uint64, drop string, syncs map[string]int) error {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	disk, truth := disktest.NewPower(), map[string]state{}
	for n := range 6 {
		disk.NoWhole = mode == withoutLog
		l := live(t, disk, r, truth, drop, false)
		pending, emptied := l.pending, l.emptied
		for again := true; again; {
			for site, calls := range l.syncs {
				syncs[site] += calls
			}
			if l.wrong != nil {
				return fmt.Errorf("seed %d, life %d: %w", seed, n, l.wrong)
			}
			disk = l.after
			disk.NoWhole = mode != withLog
			if again = r.IntN(2) == 0; again {
				l = live(t, disk, r, truth, drop, true)
			}
		}
		if left := disk.Files(); emptied && slices.Contains(left, "/d/store/") {
			return fmt.Errorf("seed %d, life %d: DeleteStorage left %v", seed, n, left)
		}
		b, _ := onPower(t, disk, &Options{Labels: twoLabels})
		if err := audit(b, truth, pending); err != nil {
			return fmt.Errorf("seed %d, life %d: %w", seed, n, err)
		}
		if _, err := b.Rebuild(context.Background()); err != nil {
			return fmt.Errorf("seed %d, life %d: Rebuild: %w", seed, n, err)
		}
	}
	return nil
}
