package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance/containers"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

const (
	fromURL = "file:data?name=carts&no_sync=true"
	toURL   = "bbolt:new.bolt?bucket=carts&no_sync=true"
)

// fill writes records of many kinds: with and without expiry and labels, with
// values of other codecs.
func fill(t testing.TB, b driver.ModelExpirySupport, n int) {
	t.Helper()
	if err := driver.CreateStorage(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < n; at += 500 {
		ops := make([]driver.BatchOp, 0, 500)
		for i := at; i < min(n, at+500); i++ {
			r := model.Record{ID: fmt.Sprintf("record-%06d", i), Revision: model.NewRevision(), Value: fmt.Appendf(nil, `{"n":%d,"text":"%0180d"}`, i, i), Encoding: "json"}
			if i%3 > 0 {
				r.ExpiresAt = now().Add(time.Duration(i+1) * time.Hour)
			}
			if i%2 > 0 {
				r.Labels = map[string]string{"principal": fmt.Sprint("p", i/10)}
			}
			if i%7 == 0 {
				r.Encoding, r.Value = "sealed:k:0123456789abcdef", []byte{byte(i), 0, 255}
			}
			ops = append(ops, driver.BatchOp{Write: &driver.Write{Record: r, Cond: driver.IfAny}})
		}
		for _, res := range driver.WriteMany(t.Context(), b, now(), ops) {
			if res.Err != nil {
				t.Fatal(res.Err)
			}
		}
	}
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
			r.ServerVersion = ""
			out[r.ID] = r
		}
		if q.After = page.Next; page.Next == "" {
			return out
		}
	}
}

// wantEqual fails the test unless the store has the same records as fromURL.
func wantEqual(t testing.TB, to string) {
	t.Helper()
	a, b := openURL(t, fromURL), openURL(t, to)
	have, there := all(t, a), all(t, b)
	_ = b.Close() // one process alone opens a bbolt file
	if !maps.EqualFunc(have, there, func(x, y model.Record) bool {
		return x.Revision == y.Revision && x.ExpiresAt.Equal(y.ExpiresAt) && maps.Equal(x.Labels, y.Labels) && bytes.Equal(x.Value, y.Value) && x.Encoding == y.Encoding
	}) {
		t.Fatalf("%d records in %s and %d in %s differ", len(have), fromURL, len(there), to)
	}
}

func TestMigrateCopiesEverything(t *testing.T) {
	t.Chdir(t.TempDir())
	fill(t, openURL(t, fromURL), 700)
	r := run(t, nil, "migrate", fromURL, toURL, "--json").want(t, exitDone)
	if got := lines[migrated](t, r)[0]; got.Records != 700 || got.Changes != 700 || got.Passes != 2 || !got.Equal {
		t.Errorf("migrated %+v", got)
	}
	wantEqual(t, toURL)
	run(t, nil, "migrate", fromURL, toURL).want(t, exitConflict, "--into-existing")
	run(t, nil, "migrate", fromURL, fromURL).want(t, exitUsage, "same store")
	run(t, nil, "migrate", fromURL, "redis://u:hunter2@h").want(t, exitUsage, "SOJOURN_TO_PASSWORD")
}

// TestMigrateTakesWhatChanged changes the source between two runs, and the target
// as no program would.
func TestMigrateTakesWhatChanged(t *testing.T) {
	t.Chdir(t.TempDir())
	from := openURL(t, fromURL)
	fill(t, from, 20)
	args := []string{"migrate", fromURL, toURL, "--checkpoint", "state.json"}
	run(t, nil, args...).want(t, exitDone)
	run(t, nil, "rm", "-u", fromURL, "record-000003").want(t, exitDone)
	run(t, nil, "touch", "-u", fromURL, "record-000004", "--for", "30h").want(t, exitDone)
	expire(t, fromURL, "record-000005")
	fill(t, from, 2) // new values and revisions
	run(t, nil, "rm", "-u", toURL, "record-000009").want(t, exitDone)
	run(t, nil, append(args, "--json")...).want(t, exitDone, `"equal":true`)
	wantEqual(t, toURL)

	run(t, nil, "migrate", fromURL, "sqlite:other.db", "--checkpoint", "state.json").want(t, exitUsage, "is of a migration from")
	if err := os.WriteFile("state.json", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, args...).want(t, exitUsage, "no checkpoint")
}

func TestMigrateKeepsWhatWasThere(t *testing.T) {
	t.Chdir(t.TempDir())
	fill(t, openURL(t, fromURL), 5)
	fill(t, openURL(t, "file:data?name=target"), 9)
	run(t, nil, "migrate", fromURL, "file:data?name=target", "--into-existing").want(t, exitDone)
	run(t, nil, "count", "-u", "file:data?name=target").want(t, exitDone, "9\n")
	run(t, nil, "migrate", fromURL, "file:data?name=target", "--into-existing", "--remove-extra").want(t, exitDone)
	wantEqual(t, "file:data?name=target")
}

func TestMigrateReportsWhatCannotBeCopied(t *testing.T) {
	t.Chdir(t.TempDir())
	fill(t, openURL(t, fromURL), 5)
	files, err := exec.CommandContext(t.Context(), "find", "data", "-name", "i-record-000002").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimSpace(string(files)), []byte("foreign"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "migrate", fromURL, toURL).want(t, exitDifferent, "record-000002", "1 records could not be copied")
	run(t, nil, "count", "-u", toURL).want(t, exitDone, "4\n")
}

// program starts the test's binary as the program.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// TestMigrateLosesNothingWhenItIsEnded ends the program with a signal, again and
// again, each time when it has written its checkpoint, until one run finishes. The
// first run is so slow that it cannot finish before its end.
func TestMigrateLosesNothingWhenItIsEnded(t *testing.T) {
	for name, signal := range map[string]os.Signal{"Kill": syscall.SIGKILL, "Interrupt": os.Interrupt} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			fill(t, openURL(t, fromURL), 2500)
			const file = "state.json"
			args := []string{"migrate", fromURL, "file:data?name=target&no_sync=true", "--checkpoint", file, "--quiet", "--rate"}
			var last string
			for ended := 0; ; ended++ {
				rate := "20000"
				if ended == 0 {
					rate = "1"
				}
				cmd := program(t, append(args, rate)...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- cmd.Wait() }()
				err, signaled := endAfterSave(t, cmd, done, file, &last, signal, ended < 3)
				if err == nil && ended > 0 { // perhaps it finished when the signal came
					break
				}
				var exit *exec.ExitError
				if !signaled || !errors.As(err, &exit) {
					t.Fatalf("run %d ended with %v, by the signal: %t", ended, err, signaled)
				}
				if code := exit.ExitCode(); signal == os.Interrupt && code != exitInterrupted {
					t.Fatalf("exit code %d after an interrupt", code)
				}
			}
			wantEqual(t, "file:data?name=target&no_sync=true")
		})
	}
}

// endAfterSave waits until the program has changed its checkpoint and then ends
// it, or until it finishes by itself.
func endAfterSave(t *testing.T, cmd *exec.Cmd, done chan error, file string, last *string, signal os.Signal, end bool) (err error, signaled bool) { //nolint:revive // the error is the program's
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err, false
		case <-tick.C:
			data, _ := os.ReadFile(file)
			if !end || string(data) == *last || len(data) == 0 {
				continue
			}
			*last = string(data)
			if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			return <-done, true
		}
	}
}

var records = flag.Int("records", 10_000, "how many records TestMigrateTakesLittleMemory copies")

// TestMigrateTakesLittleMemory copies records to Redis. It looks at the memory of
// the program, which the program says itself: the system adds that of its parent.
// It prints the rate of the copy and of each side alone, which depend on what else
// the machine does.
func TestMigrateTakesLittleMemory(t *testing.T) {
	server := containers.Redis(t).URL
	t.Chdir(t.TempDir())
	from := openURL(t, fromURL)
	fill(t, from, *records)
	to := server + "?name=" + freshName("big-")
	reads := timed(func() {
		if n := len(all(t, from)); n != *records {
			t.Fatalf("%d records", n)
		}
	})
	alone := openURL(t, server+"?name="+freshName("alone-"))
	writes := timed(func() { fill(t, alone, *records) })
	if err := driver.DeleteStorage(t.Context(), alone); err != nil {
		t.Error(err)
	}

	cmd := program(t, "migrate", fromURL, to, "--json", "--quiet")
	var out, status bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &status
	took := timed(func() {
		if err := cmd.Run(); err != nil {
			t.Fatal(err, status.String())
		}
	})
	t.Logf("%d records: reads alone %v, writes alone %v, copied and compared %v", *records, reads, writes, took)
	wantEqual(t, to)
	if err := driver.DeleteStorage(t.Context(), openURL(t, to)); err != nil {
		t.Error(err)
	}
	said := false
	for line := range strings.Lines(status.String()) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			said = true
			t.Logf("the program took %d MiB", kib/1024)
			if kib > 64<<10 && !raceEnabled {
				t.Errorf("the program took %d MiB, want 64 at most", kib/1024)
			}
		}
	}
	if !said && runtime.GOOS == "linux" {
		t.Error("the program did not say how much memory it took")
	}
}

func timed(do func()) time.Duration {
	begin := time.Now()
	do()
	return time.Since(begin)
}
