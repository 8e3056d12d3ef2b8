package redo

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The model has records of two stripes, three processes, and a disk. A version is
// a number that no other write has. A delete has one too: the record's state is
// then the version with gone.
const (
	records   = 4 // record r belongs to stripe r%2
	stripes   = 2
	processes = 3
	torn      = -1
)

// entry is a write in a log.
type entry struct {
	record, seq, version int
}

// file is a record's file. After a power cut it is one of the states that it may
// have.
type file struct {
	now   int
	after []int // states after a cut, besides now
}

// log is the log of one process that opened the store.
type log struct {
	entries []entry
	synced  int
	gone    bool // removed, and that is not synced
}

// rules are the parts of the protocol. A test leaves out each.
type rules struct {
	renameBeforeSync bool // a write is visible before its log is durable
	ownFloor         bool // a fold only drops its own log's entries
	floorFirst       bool // a fold raises the floor before it syncs the files
	ignoreFloor      bool // a recovery applies what was folded
	lostSeq          bool // a recovery starts with the numbers of the lock files
	foldUnlocked     bool // a fold does not wait for writers
	noSyncOfRecovery bool // a recovery removes the logs before it syncs the files
	byRevision       bool // a recovery goes by what the file has, without numbers
}

// disk is what survives a process. What survives a power cut is noted with it.
type disk struct {
	files     [records]file
	logs      []*log
	seq       [stripes]int // in the lock files, never synced
	floor     [stripes]int
	oldFloor  [stripes]int // what the floor may be after a cut
	holder    [stripes]int // of the lock: a process, or free
	folder    int
	recoverer int
}

const free = -1

// process is one that may have opened the store.
type process struct {
	open  bool
	log   *log
	steps []func() bool // what is left of its call; false: wait
}

type world struct {
	pick func(what string, n int) int // one of n
	rules
	disk
	procs   [processes]process
	version int
	// acked is the last acknowledged write of each record. Tried are the writes after it
	// of which nobody knows, or a later one that was acknowledged.
	acked [records]entry
	tried [records][]entry
}

// write is the call that stores a version of a record.
func (w *world) write(p, record int) []func() bool {
	s := record % stripes
	w.version++
	e := entry{record: record, version: w.version}
	rename := func() bool {
		f := &w.files[record]
		f.after = append(f.after, f.now, torn) // the rename may be durable without the contents
		f.now = e.version
		return true
	}
	sync := func() bool { w.procs[p].log.synced = len(w.procs[p].log.entries); return true }
	steps := []func() bool{
		w.lock(p, s),
		func() bool {
			w.seq[s] = max(w.seq[s], w.floor[s]) + 1
			e.seq = w.seq[s]
			w.tried[record] = append(w.tried[record], e)
			l := w.procs[p].log
			l.entries = append(l.entries, e)
			return true
		},
		sync, rename,
		func() bool {
			w.acked[record] = e
			w.tried[record] = slices.DeleteFunc(w.tried[record], func(t entry) bool { return t.seq <= e.seq })
			w.holder[s] = free
			return true
		},
	}
	if w.renameBeforeSync {
		steps[2], steps[3] = rename, sync
	}
	return steps
}

func (w *world) lock(p, s int) func() bool {
	return func() bool {
		if w.holder[s] != free {
			return false
		}
		w.holder[s] = p
		return true
	}
}

func (w *world) syncFile(r int) func() bool {
	return func() bool { w.files[r].after = nil; return true }
}

// raise makes the floor durable, by a new file that is synced and renamed.
func (w *world) raise(to *[stripes]int) []func() bool {
	return []func() bool{
		func() bool {
			for s := range to {
				w.floor[s] = max(w.floor[s], to[s])
			}
			return true
		},
		func() bool { w.oldFloor = w.floor; return true },
	}
}

// fold makes the files durable and drops what the logs have of them.
func (w *world) fold(p int) []func() bool {
	var upTo [stripes]int
	steps := []func() bool{func() bool {
		if w.folder != free {
			return false
		}
		w.folder = p
		return true
	}}
	for s := range stripes {
		note := func() bool { upTo[s] = w.seq[s]; return true }
		if w.foldUnlocked {
			steps = append(steps, note)
			continue
		}
		steps = append(steps, w.lock(p, s), note, func() bool { w.holder[s] = free; return true })
	}
	var sync []func() bool
	for r := range records {
		sync = append(sync, w.syncFile(r))
	}
	raise := w.raise(&upTo)
	if w.ownFloor {
		raise = nil
	}
	if w.floorFirst {
		steps = append(append(steps, raise...), sync...)
	} else {
		steps = append(append(steps, sync...), raise...)
	}
	return append(steps, func() bool { // what is needed of the log goes on in a new one
		old := w.procs[p].log
		next := &log{}
		for _, e := range old.entries {
			if e.seq > upTo[e.record%stripes] {
				next.entries = append(next.entries, e)
			}
		}
		next.synced = len(next.entries) // it is synced before the old one is removed
		old.gone = true
		w.logs = append(w.logs, next)
		w.procs[p].log = next
		w.folder = free
		return true
	})
}

// opens makes the process one of those that use the store. If there is no other
// one, it applies the logs first: the power may have been cut.
func (w *world) opens(p int) []func() bool {
	join := func() bool {
		w.procs[p].log = &log{}
		w.logs = append(w.logs, w.procs[p].log)
		w.procs[p].open = true
		w.recoverer = free
		return true
	}
	return []func() bool{func() bool {
		if w.recoverer != free {
			return false
		}
		w.recoverer = p
		alive := slices.ContainsFunc(w.procs[:], func(q process) bool { return q.open })
		if alive {
			w.procs[p].steps = append(w.procs[p].steps, join)
			return true
		}
		w.procs[p].steps = append(append(w.procs[p].steps, w.recovery()...), join)
		return true
	}}
}

// recovery is what the first process does before it reads anything.
func (w *world) recovery() []func() bool {
	last, top := map[int]entry{}, w.floor
	var all []entry
	for _, l := range w.logs {
		if l.gone {
			continue
		}
		all = append(all, l.entries...)
	}
	slices.SortFunc(all, func(a, b entry) int { return a.seq - b.seq })
	for _, e := range all {
		s := e.record % stripes
		top[s] = max(top[s], e.seq)
		if e.seq > w.floor[s] || w.ignoreFloor {
			last[e.record] = e
		}
	}
	var steps, sync []func() bool
	for _, r := range slices.Sorted(maps.Keys(last)) {
		steps = append(steps, func() bool {
			f := &w.files[r]
			if w.byRevision && f.now != torn && !slices.ContainsFunc(all, func(e entry) bool { return e.record == r && e.version >= f.now }) {
				return true // the file has something newer than any log
			}
			f.after = append(f.after, f.now, torn)
			f.now = last[r].version
			return true
		})
	}
	for r := range records {
		sync = append(sync, w.syncFile(r))
	}
	drop := func() bool { // the removal is not synced: the floor makes them void
		for _, l := range w.logs {
			l.gone = true
		}
		return true
	}
	number := func() bool { w.seq = top; return true }
	if w.lostSeq {
		number = func() bool { return true }
	}
	if w.noSyncOfRecovery {
		steps = append(append(append(steps, w.raise(&top)...), drop), sync...)
	} else {
		steps = append(append(append(steps, sync...), w.raise(&top)...), drop)
	}
	return append(steps, number)
}

// kill ends a process. The system releases its locks.
func (w *world) kill(p int) {
	w.procs[p] = process{}
	for s := range stripes {
		if w.holder[s] == p {
			w.holder[s] = free
		}
	}
	if w.folder == p {
		w.folder = free
	}
	if w.recoverer == p {
		w.recoverer = free
	}
}

// cut ends all processes. The disk keeps what was synced, and any part of the
// rest.
func (w *world) cut() {
	for p := range processes {
		w.kill(p)
	}
	for r := range records {
		f := &w.files[r]
		if n := w.pick("state after the cut", len(f.after)+1); n < len(f.after) {
			f.now = f.after[n]
		}
		f.after = nil
	}
	var left []*log
	for _, l := range w.logs {
		if l.gone && w.pick("removal is durable", 2) == 0 {
			continue
		}
		l.gone = false
		l.entries = l.entries[:l.synced+w.pick("unsynced entries", len(l.entries)-l.synced+1)]
		l.synced = len(l.entries)
		left = append(left, l)
	}
	w.logs = left
	for s := range stripes {
		if w.pick("floor", 2) == 0 {
			w.floor[s] = w.oldFloor[s]
		}
		w.seq[s] = w.pick("number in the lock file", w.seq[s]+2)
	}
	w.oldFloor = w.floor
}

// check compares the records with the acknowledged writes.
func (w *world) check() error {
	for r, f := range w.files {
		ok := f.now == w.acked[r].version || slices.ContainsFunc(w.tried[r], func(e entry) bool { return e.version == f.now })
		if !ok {
			return fmt.Errorf("record %d is %d, want %d or one of %v", r, f.now, w.acked[r].version, w.tried[r])
		}
	}
	return nil
}

// run makes random steps and returns the first thing that is wrong.
func run(pick func(string, int) int, broken rules) error {
	w := &world{pick: pick, rules: broken}
	w.holder, w.folder, w.recoverer = [stripes]int{free, free}, free, free
	for range 300 {
		p := w.pick("process", processes)
		proc := &w.procs[p]
		switch what := w.pick("what", 80); {
		case what == 0:
			w.cut()
		case what == 1:
			w.kill(p)
		case len(proc.steps) > 0:
			do := proc.steps[0]
			if do() && len(w.procs[p].steps) > 0 {
				w.procs[p].steps = w.procs[p].steps[1:]
			}
		case !proc.open:
			proc.steps = w.opens(p)
		case what < 16:
			proc.steps = w.fold(p)
		default:
			proc.steps = w.write(p, w.pick("record", records))
		}
		for _, q := range w.procs { // nobody reads before a recovery has ended
			if !q.open {
				continue
			}
			if err := w.check(); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// TestModel runs the protocol in random sequences, with kills and power cuts
// between any two steps of any call.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawn := uint64(0)
		err := run(func(what string, n int) int { // rapid prefers small numbers, and each step is as likely
			drawn++
			return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, what), drawn)).IntN(n)
		}, rules{})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestModelNeedsEachRule leaves out one rule at a time. A sequence shows it.
func TestModelNeedsEachRule(t *testing.T) {
	for name, broken := range map[string]rules{
		"rename before sync": {renameBeforeSync: true}, "own floor": {ownFloor: true}, "floor first": {floorFirst: true},
		"no floor in a recovery": {ignoreFloor: true}, "numbers lost": {lostSeq: true}, "fold without locks": {foldUnlocked: true},
		"recovery without sync": {noSyncOfRecovery: true}, "by revision": {byRevision: true, ownFloor: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(100_000) {
				r := rand.New(rand.NewPCG(seed, 3))
				if err := run(func(_ string, n int) int { return r.IntN(n) }, broken); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("no sequence shows that the rule is missing")
		})
	}
}
