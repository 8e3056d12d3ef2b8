//go:build darwin || freebsd || linux

package file

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn/backends/file/internal/remote"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// otherProcess starts this test binary again, as the server of a directory. It
// ends with its standard input, at the end of the test or of this process.
func otherProcess(t *testing.T, dir string) *remote.Client {
	t.Helper()
	cmd := child(t, "serve", dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
	})
	return remote.NewClient(out, in)
}

func childServes(dir string) int {
	err := remote.Serve(os.Stdin, os.Stdout, func(name string) (remote.Backend, error) { return New(dir, name, nil) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestConformanceAcrossProcesses runs the suite on one directory that two
// processes use. A case's first node is one backend in both: its calls go to
// this process and the other in turn, so that whatever the case does at once is
// done across them, and each read is of the other's write. The second node is
// in the other process, a third one in this, and so on.
func TestConformanceAcrossProcesses(t *testing.T) {
	dir := memoryDir(t)
	h := harness(t, dir)
	h.Cases = 0 // TestConformance pins them
	h.Server = "two processes"
	client := otherProcess(t, dir)
	var mu sync.Mutex
	nodes := map[string]int{} // opened so far, by store
	h.Open = func(t testing.TB, name string) driver.ModelExpirySupport {
		t.Helper()
		mu.Lock()
		n := nodes[name]
		nodes[name]++
		mu.Unlock()
		near := open(t, dir, name, nil)
		far, err := client.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var b driver.ModelExpirySupport = remote.NewBoth(near, far)
		switch {
		case n == 0:
		case n%2 == 1:
			b = far
		default:
			b = near
		}
		return conformance.NewLossy(b)
	}
	conformance.Run(t, h)
	t.Logf("%d calls were made in the other process", client.Calls())
	if client.Calls() < 1000 {
		t.Error("that is too few")
	}
}
