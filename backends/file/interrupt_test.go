package file

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sojourn-go/sojourn/backends/file/internal/disktest"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// powered has stores on disks in memory, for the cases on interrupted calls.
type powered struct {
	noWhole bool // the disks cannot be synced as a whole, so there is no log

	mu    sync.Mutex
	disks map[string]*disktest.Power // by the store's name
}

// node is a Backend whose steps can be interrupted.
type node struct {
	*Backend
	t    testing.TB
	spy  *disktest.Spy
	dead atomic.Bool
}

// Close closes the Backend, which then has no open file.
func (n *node) Close() error {
	n.t.Helper()
	err := n.Backend.Close()
	if open := n.spy.Handles(); open != 0 && !n.dead.Load() {
		n.t.Errorf("a closed Backend has %d open files", open)
	}
	return err
}

func (p *powered) disk(name string) *disktest.Power {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.disks[name]
}

func (p *powered) put(name string, d *disktest.Power) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disks[name] = d
}

// interrupt interrupts the calls on such stores. A step is a call to the file
// system.
func (p *powered) interrupt() *conformance.Interrupt {
	p.disks = map[string]*disktest.Power{}
	each := 100 // among them are those of a recovery
	switch {
	case p.noWhole:
		each = 15 // these calls have the same steps, and one sync for each file
	case disktest.Race:
		each = 20 // each takes several times as long, on one goroutine
	}
	return &conformance.Interrupt{
		Ways: []conformance.Way{conformance.Fail, conformance.Kill, conformance.PowerCut},
		Open: p.open,
		Arm:  p.arm,
		Each: each,
	}
}

func (p *powered) open(t testing.TB, name string) driver.ModelExpirySupport {
	t.Helper()
	d := p.disk(name)
	if d == nil {
		d = disktest.NewPower()
		d.NoWhole = p.noWhole
		p.put(name, d)
	}
	b, err := New(filepath.FromSlash("/d"), name, &Options{Labels: []string{"principal", "state"}})
	must(t, err)
	n := &node{Backend: b, t: t, spy: &disktest.Spy{System: d}}
	b.system, b.watch = n.spy, drivertest.StandsStill
	b.sweepers, b.syncers, b.counters = 1, 1, 1 // the steps have an order
	b.foldAt, b.savedFrom = 1000, 1
	return n
}

// failures are the errors of a failed step. Of a record's file that cannot be read,
// listings and counts go on without it, so reads have another one than EIO.
var failures = [2]syscall.Errno{syscall.EMFILE, syscall.EIO}

func always() bool { return true }
func never() bool  { return false }

func (p *powered) arm(t testing.TB, wrapped driver.ModelExpirySupport, in conformance.Interruption) func() bool {
	t.Helper()
	b := wrapped.(*node)
	s := b.spy
	var mu sync.Mutex
	n, dead, failed := 0, false, ""
	cut := func() {
		switch in.Way {
		case conformance.Kill:
			if p.noWhole { // doc.go names it as a limit
				p.disk(b.name).KeepFolders()
			}
		case conformance.PowerCut:
			gone, torn := always, never
			if in.Seed != 0 {
				r := rand.New(rand.NewPCG(in.Seed, 2))
				gone = func() bool { return r.IntN(2) == 0 }
				torn = gone
			}
			p.put(b.name, p.disk(b.name).Cut(gone, torn))
		}
		dead = in.Way != conformance.Fail
		b.dead.Store(dead)
	}
	if in.Step == 0 {
		cut()
	}
	s.Set(func(op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if dead {
			return errDead
		}
		n++
		if in.Lasts && n > in.Step && op == failed {
			return syscall.ENOSPC
		}
		if n != in.Step {
			return nil
		}
		if cut(); dead {
			return errDead
		}
		if failed = op; in.Lasts && op != "read" {
			return syscall.ENOSPC
		}
		if op == "read" {
			return failures[0]
		}
		return failures[min(in.Seed, 1)]
	})
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		if !dead {
			s.Set(nil)
		}
		return n >= in.Step
	}
}

// left counts the files of a store, but for its locks and the logs of its nodes.
func (p *powered) left(name string) (n int) {
	power := p.disk(name)
	if power == nil {
		return 0
	}
	for _, path := range power.Unlocked() {
		rest, inside := strings.CutPrefix(path, "/d/"+name+"/")
		switch {
		case inside && rest == "": // the store itself
			n++
		case !inside || strings.HasSuffix(rest, "/") || strings.HasPrefix(rest, locksDir):
		case strings.HasPrefix(rest, redoDir) && !isLog(filepath.Base(rest)): // floors and locks
		default:
			n++
		}
	}
	return n
}
