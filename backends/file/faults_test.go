package file

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// spied returns a backend with a spy below it.
func spied(t testing.TB, dir string, opts *Options) (*Backend, *disktest.Spy) {
	t.Helper()
	b, err := New(dir, "store", opts)
	if err != nil {
		t.Fatal(err)
	}
	s := &disktest.Spy{System: disk.OS{}}
	b.system = s
	t.Cleanup(func() { _ = b.Close() })
	return b, s
}

// onPower returns a backend on a disk in memory, with a spy between.
func onPower(t testing.TB, power *disktest.Power, opts *Options) (*Backend, *disktest.Spy) {
	t.Helper()
	b, s := spied(t, filepath.FromSlash("/d"), opts)
	s.System = power
	return b, s
}

var (
	testNow = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	inHour  = testNow.Add(time.Hour)
	inDay   = testNow.Add(24 * time.Hour)
)

func newRecord(id, value, principal string, expires time.Time) model.Record {
	r := model.Record{ID: id, Revision: model.NewRevision(), ExpiresAt: expires, Value: []byte(value), Encoding: "json"}
	if principal != "" {
		r.Labels = map[string]string{"principal": principal}
	}
	return r
}

func mustWrite(t testing.TB, b *Backend, c driver.Condition, r model.Record) model.Record {
	t.Helper()
	out, err := b.Write(context.Background(), testNow, driver.Write{Record: r, Cond: c})
	if err != nil {
		t.Fatalf("write of %q: %v", r.ID, err)
	}
	return out
}

func listed(t testing.TB, b *Backend, principal string) map[string]string {
	t.Helper()
	label := ""
	if principal != "" {
		label = "principal"
	}
	out, err := list(b, label, principal)
	if err != nil {
		t.Error(err)
	}
	return out
}

// faultOps are all operations. Each returns what its record is like once it has
// succeeded. Before it "old" and "due" are there, due in an hour.
var faultOps = map[string]struct {
	reads bool // changes nothing
	many  bool // may have done a part when it fails
	do    func(b *Backend, truth map[string]state) (after map[string]state, err error)
}{
	"create": {do: func(b *Backend, _ map[string]state) (map[string]state, error) {
		return writes(b, driver.IfAbsent, big("new", "bob", inDay))
	}},
	"create with a label in use": {do: func(b *Backend, _ map[string]state) (map[string]state, error) {
		return writes(b, driver.IfAbsent, big("new", "ann", inHour))
	}},
	"update": {do: func(b *Backend, _ map[string]state) (map[string]state, error) {
		return writes(b, driver.IfPresent, big("old", "ann", inHour))
	}},
	"move of the label": {do: func(b *Backend, _ map[string]state) (map[string]state, error) {
		return writes(b, driver.IfPresent, big("old", "bob", inDay))
	}},
	"upsert": {do: func(b *Backend, _ map[string]state) (map[string]state, error) {
		return writes(b, driver.IfAny, big("old", "bob", time.Time{}))
	}},
	"touch": {do: func(b *Backend, truth map[string]state) (map[string]state, error) {
		after := truth["old"]
		after.minute = 24 * 60
		_, err := b.Touch(context.Background(), testNow, driver.Touch{ID: "old", Mode: driver.TouchSet, ExpiresAt: inDay})
		return map[string]state{"old": after}, err
	}},
	"delete": {do: func(b *Backend, _ map[string]state) (map[string]state, error) {
		return map[string]state{"old": {}}, b.Delete(context.Background(), testNow, driver.Delete{ID: "old", Cond: driver.IfPresent})
	}},
	"sweep": {many: true, do: func(b *Backend, truth map[string]state) (map[string]state, error) {
		n, err := b.DeleteExpired(context.Background(), driver.Sweep{Before: inHour, Limit: 10})
		b.system.(*disktest.Spy).Set(nil) // what follows is the test's own
		gone := 0
		for id := range truth {
			if _, getErr := b.Get(context.Background(), testNow, driver.Get{ID: id}); errors.Is(getErr, model.ErrNotFound) {
				gone++
			}
		}
		if gone < n.Removed || gone > n.Removed+n.Unknown || errors.Is(err, model.ErrUnknown) != (n.Unknown > 0) {
			err = errors.Join(err, fmt.Errorf("%d are gone, and the sweep counts %+v", gone, n))
		}
		return map[string]state{"old": {}, "due": {}}, err
	}},
	"page": {reads: true, do: func(b *Backend, truth map[string]state) (map[string]state, error) {
		p, err := b.Page(context.Background(), testNow, driver.Query{Limit: 10})
		if err == nil && len(p.Records) != len(truth) {
			err = fmt.Errorf("%d records listed, want %d", len(p.Records), len(truth))
		}
		return nil, err
	}},
	"page by label": {reads: true, do: func(b *Backend, truth map[string]state) (map[string]state, error) {
		p, err := b.Page(context.Background(), testNow, driver.Query{Limit: 10, Label: "principal", Value: "ann"})
		if err == nil && len(p.Records) != len(truth) {
			err = fmt.Errorf("%d records listed, want %d", len(p.Records), len(truth))
		}
		return nil, err
	}},
	"count": {reads: true, do: func(b *Backend, truth map[string]state) (map[string]state, error) {
		n, err := b.Count(context.Background(), testNow, driver.Query{Label: "principal", Value: "ann"})
		if err == nil && n != len(truth) {
			err = fmt.Errorf("%d records counted, want %d", n, len(truth))
		}
		return nil, err
	}},
	"get": {reads: true, do: func(b *Backend, truth map[string]state) (map[string]state, error) {
		r, err := b.Get(context.Background(), testNow, driver.Get{ID: "old"})
		if err == nil && stateOf(r) != truth["old"] {
			err = fmt.Errorf("got %+v", stateOf(r))
		}
		return nil, err
	}},
	"CreateStorage": {reads: true, do: func(b *Backend, _ map[string]state) (map[string]state, error) {
		return nil, b.CreateStorage(context.Background())
	}},
	"DeleteStorage": {many: true, do: func(b *Backend, _ map[string]state) (map[string]state, error) {
		return map[string]state{"old": {}, "due": {}}, b.DeleteStorage(context.Background())
	}},
	"Rebuild": {reads: true, do: func(b *Backend, _ map[string]state) (map[string]state, error) {
		_, err := b.Rebuild(context.Background())
		return nil, err
	}},
}

func big(id, principal string, at time.Time) model.Record {
	return newRecord(id, strings.Repeat("x", valueBytes), principal, at)
}

func writes(b *Backend, c driver.Condition, r model.Record) (map[string]state, error) {
	_, err := b.Write(context.Background(), testNow, driver.Write{Record: r, Cond: c})
	return map[string]state{r.ID: stateOf(r)}, err
}

// TestEveryStepMayFail fails each call to the file system of each operation in
// turn, with several errors. The error is typed; one that promises so left
// everything as it was; what was acknowledged is whole and found by its label;
// a success is right; and nothing is left behind, no open file either.
func TestEveryStepMayFail(t *testing.T) {
	for name := range faultOps {
		for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EACCES, syscall.EROFS, syscall.EMFILE} {
			t.Run(fmt.Sprintf("%s/%d", name, int(errno)), func(t *testing.T) {
				t.Parallel()
				for step := 1; failStep(t, name, step, errno); step++ {
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}

// failStep reports whether there was such a step.
func failStep(t *testing.T, name string, step int, errno syscall.Errno) bool {
	t.Helper()
	op, power := faultOps[name], disktest.NewPower()
	b, s := onPower(t, power, nil)
	truth := map[string]state{}
	for _, id := range []string{"old", "due"} {
		truth[id] = stateOf(mustWrite(t, b, driver.IfAbsent, big(id, "ann", inHour)))
	}
	b.forget(b.tree) // the operation opens the folders anew, so that every step is taken
	before := power.Files()

	n, where := 0, ""
	s.Set(func(op, path string) error {
		if n++; n != step {
			return nil
		}
		where = fmt.Sprintf("%s: %v at step %d, %s of %s", name, errno, step, op, path)
		return errno
	})
	after, err := op.do(b, truth)
	s.Set(nil)
	if where == "" {
		if err != nil || n < 4 {
			t.Errorf("%s without a failure: %v, %d steps", name, err, n)
		}
		return false
	}
	unknown := errors.Is(err, model.ErrUnknown)
	if err != nil && !errors.Is(err, model.ErrUnavailable) || unknown && op.reads {
		t.Errorf("%s: %v is of kind %v", where, err, model.Kind(err))
	}
	pending := map[string]state{}
	switch {
	case err == nil:
		maps.Copy(truth, after)
	case unknown || op.many:
		maps.Copy(pending, after)
	default:
		if left := power.Files(); !strings.Contains(where, "remove") && !slices.Equal(onlyFiles(left), onlyFiles(before)) {
			t.Errorf("%s: files were %v, are %v", where, before, left)
		}
	}
	if wrong := audit(b, truth, pending); wrong != nil {
		t.Errorf("%s: %v, then %v", where, err, wrong)
	}
	mustBeClean(t, b, s, power, where)
	return true
}

// onlyFiles leaves out folders and lock files.
func onlyFiles(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		return strings.HasSuffix(p, "/") || strings.Contains(p, "/"+locksDir+"/")
	})
}

// mustBeClean checks that a listing and a sweep of everything leave nothing,
// and Close nothing open.
func mustBeClean(t *testing.T, b *Backend, s *disktest.Spy, power *disktest.Power, where string) {
	t.Helper()
	mustWrite(t, b, driver.IfAny, big("old", "ann", inHour))
	mustWrite(t, b, driver.IfPresent, big("old", "bob", inHour))
	listed(t, b, "ann")
	listed(t, b, "bob")
	for id := range listed(t, b, "") {
		_, err := b.Touch(context.Background(), testNow, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: inHour})
		if err != nil {
			t.Errorf("%s: a touch afterwards: %v", where, err)
		}
	}
	if n, err := b.DeleteExpired(context.Background(), driver.Sweep{Before: inDay.Add(time.Hour), Limit: 100}); err != nil || n.Removed == 0 || n.More {
		t.Errorf("%s: a sweep afterwards: %+v, %v", where, n, err)
	}
	if left := onlyFiles(power.Files()); len(left) != 0 {
		t.Errorf("%s: left after a sweep: %v", where, left)
	}
	_ = b.Close()
	if n := s.Handles(); n != 0 {
		t.Errorf("%s: %d files are open after Close", where, n)
	}
}

// state is what a record is like; the zero state is that of none.
type state struct {
	rev, principal, tenant string
	minute                 int64
}

// twoLabels are the labels of tests in which records bear two.
var twoLabels = []string{"principal", "tenant"}

// audit compares the store to what was acknowledged, after making the truth
// what was under way and turns out to be applied.
func audit(b *Backend, truth, pending map[string]state) error {
	ctx := context.Background()
	for id, s := range pending {
		got, err := b.Get(ctx, testNow, driver.Get{ID: id})
		if rev := revOf(got, err); rev == s.rev && (rev == "" || stateOf(got) == s) {
			truth[id] = s
		}
	}
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	want := map[string]map[string]string{"": {}} // by label and value, then id: the revision
	for id, s := range truth {
		got, err := b.Get(ctx, testNow, driver.Get{ID: id})
		if err != nil && !errors.Is(err, model.ErrNotFound) {
			wrong("%q: %w", id, err)
		}
		if rev := revOf(got, err); rev != s.rev || rev != "" && stateOf(got) != s {
			wrong("%q is %+v, %v; acknowledged was %+v", id, stateOf(got), err, s)
		}
		if s.rev == "" {
			continue
		}
		if len(got.Value) != valueBytes {
			wrong("%q has %d bytes", id, len(got.Value))
		}
		want[""][id] = s.rev
		for _, labelled := range []string{"principal" + "=" + s.principal, "tenant=" + s.tenant} {
			if want[labelled] == nil {
				want[labelled] = map[string]string{}
			}
			want[labelled][id] = s.rev
		}
	}
	for _, labelled := range []string{"", "principal" + "=ann", "principal" + "=bob", "tenant=x", "tenant=y"} {
		label, value, _ := strings.Cut(labelled, "=")
		if label != "" && !slices.Contains(b.gate.Labels(), label) {
			continue
		}
		got, err := list(b, label, value)
		if err != nil || !maps.Equal(got, want[labelled]) && len(got)+len(want[labelled]) > 0 {
			wrong("%q lists %v, %v; want %v", labelled, got, err, want[labelled])
		}
	}
	return errors.Join(errs...)
}

// list returns the revisions of a listing by id.
func list(b *Backend, label, value string) (map[string]string, error) {
	q := driver.Query{Limit: 7, Label: label, Value: value}
	out := map[string]string{}
	for {
		p, err := b.Page(context.Background(), testNow, q)
		if err == nil && len(p.Corrupt) > 0 {
			err = fmt.Errorf("%q cannot be read", p.Corrupt)
		}
		if err != nil {
			return out, err
		}
		for _, r := range p.Records {
			if _, twice := out[r.ID]; twice {
				return out, fmt.Errorf("%q is listed twice", r.ID)
			}
			out[r.ID] = r.Revision.String()
		}
		if p.Next == "" {
			return out, nil
		}
		q.After = p.Next
	}
}

func revOf(r model.Record, err error) string {
	if err != nil {
		return ""
	}
	return r.Revision.String()
}

func stateOf(r model.Record) state {
	if r.ID == "" {
		return state{}
	}
	s := state{rev: r.Revision.String(), principal: r.Labels["principal"], tenant: r.Labels["tenant"]}
	if !r.ExpiresAt.IsZero() {
		s.minute = int64(r.ExpiresAt.Sub(testNow) / time.Minute)
	}
	return s
}

const valueBytes = 5000

// plan chooses a call that changes the record of that id, and says what the
// record is like afterwards.
func plan(b *Backend, intN func(int) int, id string) (next model.Record, do func() error, err error) {
	ctx := context.Background()
	cur, err := b.Get(ctx, testNow, driver.Get{ID: id})
	missing := errors.Is(err, model.ErrNotFound)
	if err != nil && !missing {
		return next, nil, err
	}
	at := testNow.Add(time.Duration(1+intN(3)) * time.Minute)
	next = newRecord(id, strings.Repeat("x", valueBytes), []string{"ann", "bob"}[intN(2)], at)
	if slices.Contains(b.gate.Labels(), "tenant") && intN(3) > 0 {
		next.Labels["tenant"] = []string{"x", "y"}[intN(2)]
	}
	cond := driver.IfMatch
	if missing {
		cond = driver.IfAbsent
	}
	do = func() error {
		return onlyErr(b.Write(ctx, testNow, driver.Write{Record: next, Cond: cond, Known: cur}))
	}
	switch act := intN(4); {
	case missing:
	case act == 0:
		next = model.Record{}
		do = func() error { return b.Delete(ctx, testNow, driver.Delete{ID: id, Cond: driver.IfMatch, Known: cur}) }
	case act == 1:
		next = cur
		next.ExpiresAt = at
		do = func() error {
			return onlyErr(b.Touch(ctx, testNow, driver.Touch{ID: id, Mode: driver.TouchSet, ExpiresAt: at}))
		}
	}
	return next, do, nil
}

// must fails the test at an error.
func must(t testing.TB, round int, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
}

func onlyErr[T any](_ T, err error) error { return err }

// powerIDs are two groups of ids. Those of a group share a lock, and the first
// ones of each a shard, so that a sweep removes several at once.
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

// powered is a store that lives until the power is cut, at a random call to the
// file system.
type powered struct {
	b              *Backend
	r              *rand.Rand
	truth, pending map[string]state
	steps, odds    int
	outer          int             // the group that the call under way is on; -1: any other group may be written to meanwhile
	nested         bool            // within a call within a call
	emptied        bool            // the storage was deleted and nothing made since
	after          *disktest.Power // the disk after the cut
	syncs          map[string]int  // by site
}

// live makes calls until the power goes. It leaves out the syncs of one site.
func live(t *testing.T, top *disktest.Power, r *rand.Rand, truth map[string]state, drop string) *powered {
	t.Helper()
	b, s := onPower(t, top, &Options{Labels: twoLabels})
	l := &powered{
		b: b, r: r, truth: truth, pending: map[string]state{}, syncs: map[string]int{},
		steps: 1 + r.IntN(600), odds: r.IntN(101),
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
		if !dull(path) {
			l.steps--
		}
		if l.steps <= 0 {
			if l.after == nil {
				l.after = top.Cut(func() bool { return r.IntN(100) < l.odds })
			}
			return errDead
		}
		if !l.nested && r.IntN(40) == 0 && mayNest() {
			l.nest()
		}
		return nil
	})
	if r.IntN(2) == 0 {
		_ = b.CreateStorage(context.Background())
	}
	for l.after == nil {
		if err := l.act(); err != nil && l.after == nil {
			t.Fatal(err)
		}
	}
	return l
}

const (
	noGroup     = -1 // the call is on none
	nobodyNests = -2 // the call may hold any lock
)

// act makes one call of any kind.
func (l *powered) act() error {
	ctx := context.Background()
	l.outer = nobodyNests
	switch n := l.r.IntN(100); {
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

// dull reports whether a step is about one of many locks or empty shards, which
// are not worth a cut of their own.
func dull(path string) bool {
	folder, name, _ := strings.Cut(strings.TrimPrefix(path, "store/"), "/")
	return folder == locksDir || folder == recordsDir && len(name) == 2 && !strings.Contains(powerShards, name)
}

// nest changes a record of another lock while a call is under way.
func (l *powered) nest() {
	if l.outer == nobodyNests {
		return
	}
	l.nested = true
	group := 1 - l.outer
	if l.outer == noGroup {
		group = l.r.IntN(2)
	}
	_ = l.change(group)
	l.nested = false
}

// change writes, touches or deletes a record of a group.
func (l *powered) change(group int) error {
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

// sweep removes what expires in the first minute.
func (l *powered) sweep() error {
	for id, s := range l.truth {
		if s.minute == 1 {
			l.pending[id] = state{}
		}
	}
	n, err := l.b.DeleteExpired(context.Background(), driver.Sweep{Before: testNow.Add(time.Minute), Limit: 100})
	return l.done(n.More, err)
}

func (l *powered) deleteStorage() error {
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

func (l *powered) done(more bool, err error) error {
	if err == nil && l.after == nil && !more {
		maps.Copy(l.truth, l.pending)
		clear(l.pending)
	}
	return err
}

// mayNest reports whether the call to the file system is not made under one of
// the Backend's own mutexes, nor to remove a stray that a listing has met.
func mayNest() bool {
	return !slices.ContainsFunc(stack(), func(f runtime.Frame) bool {
		return strings.HasSuffix(f.Function, "(*tree).folder") || strings.HasSuffix(f.Function, "(*Backend).acquire") ||
			strings.HasSuffix(f.Function, "(*tree).prune")
	})
}

// stack returns the frames that are the backend's own code, the innermost
// first.
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

// syncSite names the code that asks for a sync: what calls Sync, and what it
// was called for.
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
		switch name { // helpers: who called them matters
		case "Make", "MakeEach", "openBelow", "syncShard":
			continue
		}
		if len(names) > 1 || !strings.Contains(name, "MakeEach") && !strings.Contains(name, "syncShard") {
			return strings.Join(names, " < ")
		}
	}
	return strings.Join(names, " < ")
}

// livesOf lets a store live several times, with a power cut at the end of each,
// and returns what is wrong after one. It adds to syncs the sites it has seen.
func livesOf(t *testing.T, seed uint64, drop string, syncs map[string]int) error {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	disk, truth := disktest.NewPower(), map[string]state{}
	for life := range 6 {
		l := live(t, disk, r, truth, drop)
		for site, n := range l.syncs {
			syncs[site] += n
		}
		disk = l.after
		if left := disk.Files(); l.emptied && slices.Contains(left, "/d/store/") {
			return fmt.Errorf("seed %d, life %d: DeleteStorage left %v", seed, life, left)
		}
		b, _ := onPower(t, disk, &Options{Labels: twoLabels})
		if err := audit(b, truth, l.pending); err != nil {
			return fmt.Errorf("seed %d, life %d: %w", seed, life, err)
		}
		if n, err := b.Rebuild(context.Background()); err != nil {
			return fmt.Errorf("seed %d, life %d: a rebuild changes %d: %w", seed, life, n, err)
		}
	}
	return nil
}

const (
	powerSeeds = 250
	dropSeeds  = 1000 // until a sync that is left out must have been found
)

// TestPowerCut cuts the power at a random call to the file system of any
// operation, again and again, and checks that every acknowledged write outlasts
// it, whole and found by its labels. Then it leaves out each sync of the
// backend's code in turn: a power cut must show that.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	sites, seeds := map[string]int{}, uint64(powerSeeds)
	if disktest.Race {
		seeds /= 5
		t.Logf("with the race detector %d seeds, else %d", seeds, powerSeeds)
	}
	for seed := range seeds {
		if err := livesOf(t, seed, "", sites); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for site := range sites {
		line, _, _ := strings.Cut(site, " ")
		seen[line] = true
		t.Run(site, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(dropSeeds) {
				if err := livesOf(t, seed, site, map[string]int{}); err != nil {
					t.Logf("found with seed %d", seed)
					return
				}
			}
			t.Error("nothing shows that this sync is left out")
		})
	}
	for _, line := range syncLines(t) {
		if !seen[line] {
			t.Errorf("%s: no operation has come to this sync", line)
		}
	}
}

// syncLines returns where the backend's code asks for a sync.
func syncLines(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"*.go", "internal/disk/maker.go"} {
		names, err := filepath.Glob(filepath.FromSlash(pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(text), "\n") {
				if !strings.HasSuffix(name, "_test.go") && (strings.Contains(line, ".Sync()") || strings.Contains(line, ".MakeAll(")) {
					out = append(out, fmt.Sprintf("%s:%d", filepath.Base(name), i+1))
				}
			}
		}
	}
	return out
}

// TestAFailedSyncIsNotAcknowledged fails the sync after the change: the record
// looks right, and a power cut may still lose it.
func TestAFailedSyncIsNotAcknowledged(t *testing.T) {
	b, s := spied(t, memoryDir(t), nil)
	store, err := expiry.NewStore[int](b, nil)
	if err != nil {
		t.Fatal(err)
	}
	failNext := func() {
		changed := false
		s.Set(func(op, path string) error {
			record := strings.Contains(path, "/"+recordsDir+"/")
			switch {
			case record && (op == "rename" || op == "remove"):
				changed = true
			case changed && record && op == "fsync":
				s.Set(nil)
				return syscall.EIO
			}
			return nil
		})
	}
	failNext()
	_, err = store.Create(t.Context(), "a", 1, nil)
	checkKind(t, "create", err, model.ErrUnknown, syscall.EIO)
	it, err := store.Get(t.Context(), "a")
	if err != nil || it.Value != 1 {
		t.Fatalf("get: %v, %v", it.Value, err)
	}
	failNext()
	_, err = store.Update(t.Context(), "a", 2, &expiry.WriteOptions{IfMatch: it.Known()})
	checkKind(t, "compare-and-set", err, model.ErrUnknown, syscall.EIO)
	if it, err = store.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	failNext()
	checkKind(t, "delete", store.Delete(t.Context(), "a", &expiry.DeleteOptions{IfMatch: it.Known()}), model.ErrUnknown, syscall.EIO)
}
