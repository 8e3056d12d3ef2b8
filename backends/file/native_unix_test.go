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
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// The tests of this file start this test binary again, as a child with its job in
// the environment.
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
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), jobVariable+"="+job, dirVariable+"="+dir)
	return cmd
}

// TestWithoutPermission uses stores whose folders the user may not read or write,
// in a child that is not root: root may do anything.
func TestWithoutPermission(t *testing.T) {
	dir := t.TempDir()
	chmod := func(path string, mode fs.FileMode) { must(t, os.Chmod(path, mode)) }
	chmod(filepath.Dir(dir), 0o755)
	chmod(dir, 0o755)
	for _, name := range []string{"none", "readable"} {
		drivertest.SeedCalls(t, open(t, dir, name, nil))
	}
	must(t, filepath.WalkDir(filepath.Join(dir, "readable"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			chmod(path, 0o555)
		} else if err == nil {
			chmod(path, 0o444)
		}
		return err
	}))
	chmod(filepath.Join(dir, "none"), 0)
	t.Cleanup(func() {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error { return os.Chmod(path, 0o700) })
	})
	out, err := child(t, "permissions", dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "checked as ") {
		t.Errorf("%v:\n%s", err, out)
	}
	for _, name := range []string{"none", "readable"} {
		chmod(filepath.Join(dir, name), 0o755)
		if left := entries(t, filepath.Join(dir, name)); len(left) != 3 {
			t.Errorf("%s: the entries are %v, want 3", name, left)
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
	report := func(store, call string, result any) {
		failed = 1
		fmt.Printf("%s: %s: %v\n", store, call, result)
	}
	ctx := context.Background()
	readable, _ := New(dir, "readable", nil)
	base, err := readable.Get(ctx, now, driver.Get{ID: "id"})
	if err != nil {
		report("readable", "get", err)
	}
	call := func(name string, do func(context.Context, *Backend) error) drivertest.Call {
		return drivertest.Call{Name: name, Do: func(ctx context.Context, b driver.ModelExpirySupport) error { return do(ctx, b.(*Backend)) }}
	}
	writes := append(drivertest.Writes(base),
		call("delete storage", func(ctx context.Context, b *Backend) error { return b.DeleteStorage(ctx) }),
		call("create storage", func(ctx context.Context, b *Backend) error { return b.CreateStorage(ctx) }),
		call("sweep", func(ctx context.Context, b *Backend) error {
			return onlyErr(b.DeleteExpired(ctx, driver.Sweep{Before: inDay, Limit: 10}))
		}))
	forbidden := func(err error) bool {
		return errors.Is(err, model.ErrUnavailable) && errors.Is(err, fs.ErrPermission)
	}
	for _, name := range []string{"none", "readable", "missing"} {
		b, err := New(dir, name, nil)
		if err != nil {
			report(name, "New", err)
			continue
		}
		for _, c := range writes {
			err := c.Do(ctx, b)
			ok := forbidden(err)
			if name == "missing" {
				switch {
				case c.Name == "sweep" || c.Name == "delete storage":
					ok = err == nil
				case !strings.HasPrefix(c.Name, "create") && c.Name != "upsert":
					ok = errors.Is(err, model.ErrNotFound)
				}
			}
			if !ok {
				report(name, c.Name, err)
			}
		}
		for _, c := range drivertest.Reads() {
			err := c.Do(ctx, b)
			if name == "none" && !forbidden(err) || name == "readable" && err != nil {
				report(name, c.Name, err)
			}
		}
	}
	for _, label := range []string{"", "principal"} {
		q := driver.Query{Limit: 10, Label: label}
		if label != "" {
			q.Value = "ann"
		}
		if p, err := readable.Page(ctx, now, q); err != nil || len(p.Records) != 1 {
			report("readable", "page", err)
		}
	}
	fmt.Println("checked as", os.Getuid())
	return failed
}

const (
	counters = 3
	counts   = 60
)

// TestProcessesCountTogether lets several processes increment one record by
// compare-and-set. No increment is lost.
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
	if got := drivertest.Get(t, open(t, dir, "store", nil), "counter"); string(got.Value) != fmt.Sprint(counters*counts) {
		t.Errorf("the counter is %s, want %d", got.Value, counters*counts)
	}
}

func childCounts(dir string) int {
	b, err := New(dir, "store", nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx := context.Background()
	_, err = b.Write(ctx, now, driver.Write{Record: counter("counter", 0), Cond: driver.IfAbsent})
	err = ignore(err, model.ErrExists)
	for done := 0; done < counts && err == nil; {
		if err = increment(ctx, b, "counter"); err == nil {
			done++
		}
		err = ignore(err, model.ErrConflict)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

const (
	killRounds    = 50
	killProcesses = 4
	killWriters   = 4 // goroutines of each
)

// TestKillNine kills each of four processes that write to one store, at 200
// random instants. Afterwards every record is as its last acknowledged write left
// it, or as the interrupted write of its writer would have. Its labels find it.
// Each writer has records of its own, and all writers share some.
func TestKillNine(t *testing.T) {
	dir := memoryDir(t) // the system keeps unsynced changes of a killed process
	k := kills{dir: dir, truth: map[string]state{}, shared: map[string]map[state]bool{}}
	for round := range killRounds {
		k.round(t)
		b := open(t, dir, "store", &Options{Labels: twoLabels})
		must(t, k.takeShared(b))
		must(t, audit(b, k.truth, k.pending))
		if round%5 == 4 {
			must(t, onlyErr(b.DeleteExpired(t.Context(), driver.Sweep{Before: now, Limit: 100})))
			must(t, audit(b, k.truth, nil))
			noTmp(t, dir)
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
	sweeps(t, b, inHour, live)
	must(t, audit(b, map[string]state{}, nil))
	if left := entries(t, in(dir)); len(left) != 0 {
		t.Errorf("the entries %v are left", left)
	}
	t.Logf("%d kills, %d acknowledged writes, %d records at the end", k.done, k.acks, live)
}

type kills struct {
	dir        string
	done, acks int
	truth      map[string]state
	pending    map[string]state
	shared     map[string]map[state]bool // every state that a writer tried to store
}

// report is what a child prints before and after a write.
type report struct {
	verb, id string
	state    state
}

const reportFormat = "%s %s %q %q %q %d end"

// start starts the processes. The reports end when all of them have.
func (k *kills) start(t *testing.T, stderr io.Writer) (children []*exec.Cmd, reports chan report) {
	t.Helper()
	k.pending = map[string]state{}
	reports = make(chan report)
	var wg sync.WaitGroup
	for who := range killProcesses {
		cmd := child(t, "write", k.dir)
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", whoVariable, who))
		cmd.Stderr = stderr
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		wg.Go(func() {
			scanReports(out, reports)
			_ = cmd.Wait()
		})
		children = append(children, cmd)
	}
	go func() {
		wg.Wait()
		close(reports)
	}()
	return children, reports
}

// take notes a report. It returns whether that is an acknowledged write.
func (k *kills) take(r report) bool {
	switch r.verb {
	case "all":
		if k.shared[r.id] == nil {
			k.shared[r.id] = map[state]bool{}
		}
		k.shared[r.id][r.state] = true
		return false
	case "try":
		k.pending[r.id] = r.state
		return false
	}
	k.truth[r.id] = r.state
	delete(k.pending, r.id)
	k.acks++
	return true
}

// round starts the processes and kills each of them after a random number of
// writes.
func (k *kills) round(t *testing.T) {
	t.Helper()
	children, reports := k.start(t, os.Stderr)
	victims, after := map[int]*exec.Cmd{}, 0 // by the number of writes before the kill
	for _, cmd := range children {
		after += 1 + rand.IntN(40)
		victims[after] = cmd
	}
	n := 0
	for r := range reports {
		if !k.take(r) {
			continue
		}
		n++
		if victim := victims[n]; victim != nil {
			if err := victim.Process.Kill(); err != nil {
				t.Errorf("a child ended before its kill: %v", err)
			}
			k.done++
			delete(victims, n)
		}
	}
	if len(victims) > 0 {
		t.Fatal("the children ended before their kills")
	}
}

// scanReports passes on the reports of a child until it ends.
func scanReports(out io.Reader, to chan<- report) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var r report
		s := &r.state
		if _, err := fmt.Sscanf(lines.Text(), reportFormat, &r.verb, &r.id, &s.rev, &s.principal, &s.tenant, &s.minute); err == nil {
			to <- r
		} // else the kill cut the line
	}
}

// takeShared reads the records that all writers write into truth. Each must be as
// one of the writers tried to store it.
func (k *kills) takeShared(b *Backend) error {
	for id, tried := range k.shared {
		got, err := b.Get(context.Background(), now, driver.Get{ID: id})
		if err != nil && !errors.Is(err, model.ErrNotFound) {
			return err
		}
		if s := stateOf(got); s.rev != "" && !tried[s] {
			return fmt.Errorf("%q is %+v, which no child wrote", id, s)
		}
		k.truth[id] = stateOf(got)
	}
	return nil
}

// childWrites writes until it is killed. It prints each write before and after
// it.
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

func printReport(verb, id string, s state) {
	fmt.Printf(reportFormat+"\n", verb, id, s.rev, s.principal, s.tenant, s.minute)
}

func childWrite(b *Backend, id string) error {
	next, do, err := plan(b, rand.IntN, id)
	if err != nil {
		return err
	}
	printReport("try", id, stateOf(next))
	if err = do(); err == nil {
		printReport("ack", id, stateOf(next))
	}
	return err
}

// childWriteShared deletes or replaces a record that other children also write.
func childWriteShared(b *Backend, id string) error {
	if rand.IntN(3) == 0 {
		return ignore(remove(context.Background(), b, id), model.ErrNotFound)
	}
	next := big(id, []string{"ann", "bob"}[rand.IntN(2)], now.Add(time.Duration(1+rand.IntN(3))*time.Minute))
	printReport("all", id, stateOf(next))
	return onlyErr(b.Write(context.Background(), now, driver.Write{Record: next, Cond: driver.IfAny}))
}
