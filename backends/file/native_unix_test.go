//go:build darwin || freebsd || linux

package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// The tests of this file run this test binary again, with the job for the
// child in its environment.
const (
	jobVariable = "SOJOURN_FILE_TEST_JOB"
	dirVariable = "SOJOURN_FILE_TEST_DIR"
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
		mustWrite(t, b, model.Absent, newRecord("a", `1`, "ann", inHour))
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
			return onlyErr(b.Write(ctx, testNow, expiry.Write{Record: newRecord("b", `1`, "ann", inHour), Cond: model.Absent}))
		},
		"update": func(b *Backend) error {
			return onlyErr(b.Write(ctx, testNow, expiry.Write{Record: rec, Cond: model.Live}))
		},
		"upsert": func(b *Backend) error {
			return onlyErr(b.Write(ctx, testNow, expiry.Write{Record: rec, Cond: model.Always}))
		},
		"touch": func(b *Backend) error {
			return onlyErr(b.Touch(ctx, testNow, expiry.Touch{ID: "a", Mode: expiry.Clear}))
		},
		"delete":         func(b *Backend) error { return b.Delete(ctx, testNow, "a", model.Live, model.Record{}) },
		"delete storage": func(b *Backend) error { return b.DeleteStorage(ctx) },
		"create storage": func(b *Backend) error { return b.CreateStorage(ctx) },
		"sweep":          func(b *Backend) error { return onlyErr(b.DeleteExpired(ctx, inDay, 10, nil)) },
	}
	reads := map[string]func(*Backend) error{
		"get":  func(b *Backend) error { return onlyErr(b.Get(ctx, testNow, "a")) },
		"page": func(b *Backend) error { return onlyErr(b.Page(ctx, testNow, expiry.Query{Limit: 10})) },
		"label": func(b *Backend) error {
			return onlyErr(b.Page(ctx, testNow, expiry.Query{Limit: 10, Label: defaultLabel, Value: "ann"}))
		},
		"count": func(b *Backend) error { return onlyErr(b.Count(ctx, testNow, "", "")) },
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
		q := expiry.Query{Limit: 10}
		if principal != "" {
			q.Label, q.Value = defaultLabel, principal
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
	got, err := open(t, dir, "store", nil).Get(context.Background(), testNow, "counter")
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
	_, err = b.Write(ctx, testNow, expiry.Write{Record: newRecord("counter", "0", "", inDay), Cond: model.Absent})
	if err != nil && !errors.Is(err, model.ErrExists) {
		fmt.Println(err)
		return 1
	}
	for done := 0; done < counts; {
		cur, err := b.Get(ctx, testNow, "counter")
		if err == nil {
			var n int
			_, _ = fmt.Sscan(string(cur.Value), &n)
			next := newRecord("counter", fmt.Sprint(n+1), "", inDay)
			_, err = b.Write(ctx, testNow, expiry.Write{Record: next, Cond: model.Match, Prev: cur})
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
	killRounds  = 40
	killWriters = 4
)

// TestKillNine kills a process that writes, again and again on one store, and
// checks each time that every record is as its last acknowledged write left
// it, or as the one write of its writer that was under way would have, and
// that it is found by its label.
func TestKillNine(t *testing.T) {
	dir := t.TempDir()
	truth := map[string]state{}
	acknowledged := 0
	for round := range killRounds {
		pending := map[string]state{}
		acknowledged += killOne(t, dir, 1+rand.IntN(40), truth, pending)
		b := open(t, dir, "store", nil)
		checkTruth(t, b, round, truth, pending)
		if round%5 == 4 {
			if _, err := b.DeleteExpired(context.Background(), testNow, 100, nil); err != nil {
				t.Error(err)
			}
			checkTruth(t, b, round, truth, nil)
			if left := files(t, filepath.Join(dir, "store", tmpDir)); len(left) != 0 {
				t.Errorf("round %d: left over %v", round, left)
			}
		}
		_ = b.Close()
	}
	t.Logf("%d kills, %d acknowledged writes, %d records at the end", killRounds, acknowledged, len(truth))
}

// killOne runs a child and kills it after some acknowledged writes. It brings
// truth up to date and returns what was under way in pending.
func killOne(t *testing.T, dir string, after int, truth, pending map[string]state) int {
	t.Helper()
	cmd := child(t, "write", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, acks := bufio.NewScanner(out), 0
	for lines.Scan() {
		var verb, id string
		var s state
		if n, _ := fmt.Sscanf(lines.Text(), "%s %s %s %s %d end", &verb, &id, &s.rev, &s.principal, &s.minute); n != 5 {
			continue // cut by the kill
		}
		if s.rev == "none" {
			s = state{}
		}
		switch verb {
		case "try":
			pending[id] = s
		case "ack":
			truth[id] = s
			delete(pending, id)
			if acks++; acks == after {
				_ = cmd.Process.Kill()
			}
		}
	}
	_ = cmd.Wait()
	if acks < after {
		t.Fatalf("the child ended by itself after %d writes", acks)
	}
	return acks
}

// childWrites writes until it is killed, and says before and after each write
// what it does.
func childWrites(dir string) int {
	b, err := New(dir, "store", nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var wg sync.WaitGroup
	for i := range killWriters {
		wg.Go(func() {
			for {
				if err := childWrite(b, fmt.Sprintf("id-%d-%d", i, rand.IntN(10))); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
			}
		})
	}
	wg.Wait()
	return 0
}

func childWrite(b *Backend, id string) error {
	next, do, err := plan(b, rand.IntN, id)
	if err != nil {
		return err
	}
	say := func(verb string) {
		s := stateOf(next)
		if next.ID == "" {
			s.rev, s.principal = "none", "none"
		}
		fmt.Printf("%s %s %s %s %d end\n", verb, id, s.rev, s.principal, s.minute)
	}
	say("try")
	if err = do(); err == nil {
		say("ack")
	}
	return err
}
