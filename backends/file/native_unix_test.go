//go:build darwin || freebsd || linux

package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// The tests of this file run this test binary again, with the job for the
// child in its environment.
const (
	jobVariable = "SOJOURN_FILE_TEST_JOB"
	dirVariable = "SOJOURN_FILE_TEST_DIR"
	whoVariable = "SOJOURN_FILE_TEST_WHO"
	nobody      = 65534
)

func TestMain(m *testing.M) {
	switch os.Getenv(jobVariable) {
	case "":
		os.Exit(m.Run())
	case "permissions":
		os.Exit(childPermissions(os.Getenv(dirVariable)))
	case "write":
		os.Exit(childWrites(os.Getenv(dirVariable)))
	case "serve":
		os.Exit(childServes(os.Getenv(dirVariable)))
	case "count":
		os.Exit(childCounts(os.Getenv(dirVariable)))
	}
	os.Exit(2)
}

func child(t *testing.T, job, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), jobVariable+"="+job, dirVariable+"="+dir)
	return cmd
}

// TestWithoutPermission uses a store whose folders forbid it, in a child that
// is not root, since root may do anything.
func TestWithoutPermission(t *testing.T) {
	dir := t.TempDir()
	open1 := func(path string, mode fs.FileMode) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	open1(filepath.Dir(dir), 0o755)
	open1(dir, 0o755)
	for _, name := range []string{"none", "readable"} {
		b := open(t, dir, name, nil)
		mustWrite(t, b, driver.IfAbsent, newRecord("a", `1`, "ann", inHour))
	}
	err := filepath.WalkDir(filepath.Join(dir, "readable"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			open1(path, 0o555)
		} else if err == nil {
			open1(path, 0o444)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	open1(filepath.Join(dir, "none"), 0)
	t.Cleanup(func() {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error { return os.Chmod(path, 0o700) })
	})
	out, err := child(t, "permissions", dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "checked as ") {
		t.Errorf("%v:\n%s", err, out)
	}
	for _, name := range []string{"none", "readable"} {
		open1(filepath.Join(dir, name), 0o755)
		if left := entries(t, filepath.Join(dir, name)); len(left) != 2 {
			t.Errorf("%s: entries %v", name, left)
		}
	}
}

func childPermissions(dir string) int {
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	failed := 0
	report := func(format string, args ...any) { failed = 1; fmt.Printf(format+"\n", args...) }
	ctx := context.Background()
	rec := newRecord("a", `2`, "bob", inDay)
	writes := map[string]func(*Backend) error{
		"create": func(b *Backend) error {
			return onlyErr(b.Write(ctx, testNow, driver.Write{Record: newRecord("b", `1`, "ann", inHour), Cond: driver.IfAbsent}))
		},
		"update": func(b *Backend) error {
			return onlyErr(b.Write(ctx, testNow, driver.Write{Record: rec, Cond: driver.IfPresent}))
		},
		"upsert": func(b *Backend) error {
			return onlyErr(b.Write(ctx, testNow, driver.Write{Record: rec, Cond: driver.IfAny}))
		},
		"touch": func(b *Backend) error {
			return onlyErr(b.Touch(ctx, testNow, driver.Touch{ID: "a", Mode: driver.TouchClear}))
		},
		"delete":         func(b *Backend) error { return b.Delete(ctx, testNow, driver.Delete{ID: "a", Cond: driver.IfPresent}) },
		"delete storage": func(b *Backend) error { return b.DeleteStorage(ctx) },
		"create storage": func(b *Backend) error { return b.CreateStorage(ctx) },
		"sweep":          func(b *Backend) error { return onlyErr(b.DeleteExpired(ctx, driver.Sweep{Before: inDay, Limit: 10})) },
	}
	reads := map[string]func(*Backend) error{
		"get":  func(b *Backend) error { return onlyErr(b.Get(ctx, testNow, driver.Get{ID: "a"})) },
		"page": func(b *Backend) error { return onlyErr(b.Page(ctx, testNow, driver.Query{Limit: 10})) },
		"label": func(b *Backend) error {
			return onlyErr(b.Page(ctx, testNow, driver.Query{Limit: 10, Label: "principal", Value: "ann"}))
		},
		"count": func(b *Backend) error { return onlyErr(b.Count(ctx, testNow, driver.Query{Label: ""})) },
	}
	for _, name := range []string{"none", "readable", "missing"} {
		b, err := New(dir, name, nil)
		if err != nil {
			report("%v", err)
			continue
		}
		for what, do := range writes {
			err := do(b)
			switch {
			case name == "missing" && (what == "sweep" || what == "delete storage"):
				if err != nil {
					report("%s: %s: %v", name, what, err)
				}
			case name == "missing" && (what == "update" || what == "touch" || what == "delete"):
				if !errors.Is(err, model.ErrNotFound) {
					report("%s: %s: %v", name, what, err)
				}
			case !errors.Is(err, model.ErrUnavailable) || !errors.Is(err, fs.ErrPermission):
				report("%s: %s: %v", name, what, err)
			}
		}
		for what, do := range reads {
			err := do(b)
			if name == "none" && (!errors.Is(err, model.ErrUnavailable) || !errors.Is(err, fs.ErrPermission)) {
				report("%s: %s: %v", name, what, err)
			}
			if name == "readable" && err != nil {
				report("%s: %s: %v", name, what, err)
			}
		}
	}
	b, _ := New(dir, "readable", nil)
	for _, principal := range []string{"", "ann"} {
		q := driver.Query{Limit: 10}
		if principal != "" {
			q.Label, q.Value = "principal", principal
		}
		if p, err := b.Page(ctx, testNow, q); err != nil || len(p.Records) != 1 {
			report("readable: %+v, %v", p, err)
		}
	}
	fmt.Println("checked as", os.Getuid())
	return failed
}

const (
	counters = 3
	counts   = 60
)

// TestProcessesCountTogether lets several processes add to one record by
// compare-and-set: nothing is lost.
func TestProcessesCountTogether(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range counters {
		cmd := child(t, "count", dir)
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
	wg.Wait()
	got, err := open(t, dir, "store", nil).Get(context.Background(), testNow, driver.Get{ID: "counter"})
	if err != nil || string(got.Value) != fmt.Sprint(counters*counts) {
		t.Errorf("%s, %v, want %d", got.Value, err, counters*counts)
	}
}

func childCounts(dir string) int {
	b, err := New(dir, "store", nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx := context.Background()
	_, err = b.Write(ctx, testNow, driver.Write{Record: newRecord("counter", "0", "", inDay), Cond: driver.IfAbsent})
	if err != nil && !errors.Is(err, model.ErrExists) {
		fmt.Println(err)
		return 1
	}
	for done := 0; done < counts; {
		cur, err := b.Get(ctx, testNow, driver.Get{ID: "counter"})
		if err == nil {
			var n int
			_, _ = fmt.Sscan(string(cur.Value), &n)
			next := newRecord("counter", fmt.Sprint(n+1), "", inDay)
			_, err = b.Write(ctx, testNow, driver.Write{Record: next, Cond: driver.IfMatch, Known: cur})
		}
		switch {
		case err == nil:
			done++
		case !errors.Is(err, model.ErrConflict):
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

const (
	killRounds    = 50
	killProcesses = 4
	killWriters   = 4 // goroutines of each
)

// TestKillNine kills each of four processes that write to one store, at 200
// random instants, and checks that every record is as its last acknowledged
// write left it, or as the one write of its writer that was under way would
// have, and that it is found by its labels. The writers have records of their
// own, and some that all of them write.
func TestKillNine(t *testing.T) {
	dir := memoryDir(t) // the kernel outlives the kill: what it has been told is there, synced or not
	k := kills{dir: dir, truth: map[string]state{}, shared: map[string]map[state]bool{}}
	store := filepath.Join(dir, "store")
	for round := range killRounds {
		k.round(t)
		b := open(t, dir, "store", &Options{Labels: twoLabels})
		must(t, round, k.takeShared(b))
		must(t, round, audit(b, k.truth, k.pending))
		if round%5 == 4 {
			must(t, round, onlyErr(b.DeleteExpired(context.Background(), driver.Sweep{Before: testNow, Limit: 100})))
			must(t, round, audit(b, k.truth, nil))
			if left := files(t, filepath.Join(store, tmpDir)); len(left) != 0 {
				t.Errorf("round %d: left over %v", round, left)
			}
		}
		_ = b.Close()
	}
	live := 0
	for _, s := range k.truth {
		if s.rev != "" {
			live++
		}
	}
	b := open(t, dir, "store", &Options{Labels: twoLabels})
	swept, err := b.DeleteExpired(context.Background(), driver.Sweep{Before: inHour, Limit: 10_000})
	if err != nil || swept != (driver.Swept{Removed: live}) {
		t.Errorf("the last sweep: %+v, %v, want %d removed", swept, err, live)
	}
	must(t, killRounds, audit(b, map[string]state{}, nil))
	if left := entries(t, store); len(left) != 0 {
		t.Errorf("left in the indexes: %v", left)
	}
	t.Logf("%d kills, %d acknowledged writes, %d records at the end", k.done, k.acks, live)
}

type kills struct {
	dir        string
	done, acks int
	truth      map[string]state
	pending    map[string]state
	shared     map[string]map[state]bool // what was ever tried
}

// said is what a child says of a write: before it and after.
type said struct {
	verb, id string
	state
}

// round runs the processes and kills each after some more writes of all.
func (k *kills) round(t *testing.T) {
	t.Helper()
	k.pending = map[string]state{}
	lines := make(chan said)
	var wg sync.WaitGroup
	victims := map[int]*exec.Cmd{} // by the number of writes after which they are killed
	for who, after := 0, 0; who < killProcesses; who++ {
		cmd := child(t, "write", k.dir)
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", whoVariable, who))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			scanLines(out, lines)
			_ = cmd.Wait()
		})
		after += 1 + rand.IntN(40)
		victims[after] = cmd
	}
	go func() {
		wg.Wait()
		close(lines)
	}()
	for n := 0; ; {
		s, ok := <-lines
		if !ok {
			break
		}
		if s.verb == "all" {
			if k.shared[s.id] == nil {
				k.shared[s.id] = map[state]bool{}
			}
			k.shared[s.id][s.state] = true
			continue
		}
		if s.verb == "try" {
			k.pending[s.id] = s.state
			continue
		}
		k.truth[s.id] = s.state
		delete(k.pending, s.id)
		k.acks++
		n++
		if victim := victims[n]; victim != nil {
			if err := victim.Process.Kill(); err != nil {
				t.Errorf("a child ended by itself: %v", err)
			}
			k.done++
			delete(victims, n)
		}
	}
	if len(victims) > 0 {
		t.Fatal("the children ended by themselves")
	}
}

func scanLines(out io.Reader, to chan<- said) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var s said
		n, _ := fmt.Sscanf(lines.Text(), "%s %s %s %s %s %d end", &s.verb, &s.id, &s.rev, &s.principal, &s.tenant, &s.minute)
		if n != 6 {
			continue // cut by the kill
		}
		for _, field := range []*string{&s.rev, &s.principal, &s.tenant} {
			if *field == "none" {
				*field = ""
			}
		}
		to <- s
	}
}

// takeShared makes the truth what is under the ids that all write to: anything
// that one of them has tried.
func (k *kills) takeShared(b *Backend) error {
	for id, tried := range k.shared {
		got, err := b.Get(context.Background(), testNow, driver.Get{ID: id})
		if err != nil && !errors.Is(err, model.ErrNotFound) {
			return err
		}
		if s := stateOf(got); s.rev != "" && !tried[s] {
			return fmt.Errorf("%q is %+v, which nobody wrote", id, s)
		}
		k.truth[id] = stateOf(got)
	}
	return nil
}

// childWrites writes until it is killed, and says before and after each write
// what it does.
func childWrites(dir string) int {
	b, err := New(dir, "store", &Options{Labels: twoLabels})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var wg sync.WaitGroup
	for i := range killWriters {
		wg.Go(func() {
			for n := 0; ; n++ {
				err := childWrite(b, fmt.Sprintf("id-%s-%d-%d", os.Getenv(whoVariable), i, rand.IntN(5)))
				if err == nil && n%3 == 0 {
					err = childWriteShared(b, fmt.Sprintf("all-%d", rand.IntN(5)))
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
			}
		})
	}
	wg.Wait()
	return 0
}

func say(verb, id string, s state) {
	orNone := func(field string) string {
		if field == "" {
			return "none"
		}
		return field
	}
	fmt.Printf("%s %s %s %s %s %d end\n", verb, id, orNone(s.rev), orNone(s.principal), orNone(s.tenant), s.minute)
}

func childWrite(b *Backend, id string) error {
	next, do, err := plan(b, rand.IntN, id)
	if err != nil {
		return err
	}
	say("try", id, stateOf(next))
	if err = do(); err == nil {
		say("ack", id, stateOf(next))
	}
	return err
}

// childWriteShared deletes or replaces what others write too.
func childWriteShared(b *Backend, id string) error {
	if rand.IntN(3) == 0 {
		return ignore(b.Delete(context.Background(), testNow, driver.Delete{ID: id, Cond: driver.IfPresent}), model.ErrNotFound)
	}
	next := big(id, []string{"ann", "bob"}[rand.IntN(2)], testNow.Add(time.Duration(1+rand.IntN(3))*time.Minute))
	say("all", id, stateOf(next))
	return onlyErr(b.Write(context.Background(), testNow, driver.Write{Record: next, Cond: driver.IfAny}))
}
