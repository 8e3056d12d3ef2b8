package bbolt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// urlOf returns the URL of a file, with forward slashes on every system.
func urlOf(path string) string { return backendName + ":" + filepath.ToSlash(path) }

func TestURL(t *testing.T) {
	path := filepath.Join(memoryDir(t), "app.db")
	drivertest.OpenURL(t, urlOf(path)+"?bucket=carts", fresh(t))
	drivertest.TakesParams(t, urlOf(path), nil)
	drivertest.RefuseURLs(t, "hunter2", "bbolt:", "bbolt://u:hunter2@/data.db", "bbolt://hunter2/data.db", urlOf(path)+"?bukcet=hunter2", "bbolt:%zz",
		urlOf(path)+"?timeout=hunter2", urlOf(path)+"?no_sync=hunter2", urlOf(path)+"?file_mode=0400", urlOf(path)+"?labels=No", urlOf(path)+"?bucket="+strings.Repeat("x", 300),
		urlOf(path)+"/below", urlOf(filepath.Dir(path)), urlOf(filepath.Dir(path))+"/nosuch/app.db")
	b, err := backends.Open(t.Context(), urlOf(path)) // no refused URL has left it open
	must(t, err)
	if got := b.(*Backend); got.DB().Path() == "" || got.name != backends.DefaultName {
		t.Errorf("opened the bucket %q", got.name)
	}
	must(t, b.Close())
	t.Chdir(filepath.Dir(path))
	b, err = backends.Open(t.Context(), "bbolt:app.db")
	must(t, err)
	must(t, b.Close())
}

func TestURLOfAForeignFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "text")
	must(t, os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600))
	_, err := backends.Open(t.Context(), urlOf(path))
	drivertest.WantKind(t, err, model.ErrInvalid)
	if !strings.Contains(err.Error(), "not one of bbolt") {
		t.Error(err)
	}
}

// TestMain holds a file open, if the environment says so, until its input ends.
func TestMain(m *testing.M) {
	path := os.Getenv("SOJOURN_TEST_HOLD")
	if path == "" {
		os.Exit(m.Run())
	}
	if _, err := bbolt.Open(path, 0o600, nil); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	os.Exit(0)
}

// TestAFileOfAnotherProcess opens a file that this or another process holds: the
// error says who, within the timeout.
func TestAFileOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "SOJOURN_TEST_HOLD="+path)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	refused(t, path, fmt.Sprintf("process %d ", cmd.Process.Pid))

	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = backends.Open(ctx, urlOf(path)+"?timeout=1h")
	if !errors.Is(err, context.DeadlineExceeded) || model.Kind(err) != nil {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}

	opened := make(chan error)
	go func() { opened <- onlyErr(backends.Open(t.Context(), urlOf(path)+"?timeout=1h")) }()
	must(t, in.Close())
	must(t, cmd.Wait())
	must(t, <-opened)
	refused(t, path, "this process itself")
}

func refused(t *testing.T, path, holder string) {
	t.Helper()
	_, err := backends.Open(t.Context(), urlOf(path)+"?timeout=1ms")
	drivertest.WantKind(t, err, model.ErrUnavailable)
	if runtime.GOOS != "linux" {
		holder = "another process"
	}
	if !strings.Contains(err.Error(), holder) {
		t.Errorf("%v does not name %q", err, holder)
	}
}
