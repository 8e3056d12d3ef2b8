//go:build darwin || freebsd || linux

package file

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn/backends/file/internal/remotetest"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
)

// otherProcess starts this test binary again, as the server of a directory. The
// process ends when its standard input closes, at the end of the test.
func otherProcess(t *testing.T, dir string) *remotetest.Client {
	t.Helper()
	cmd := child(t, "serve", dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
	})
	return remotetest.NewClient(out, in)
}

func childServes(dir string) int {
	err := remotetest.Serve(os.Stdin, os.Stdout, func(name string) (remotetest.Backend, error) {
		b, err := New(dir, name, nil)
		if err == nil {
			b.watch = drivertest.StandsStill
		}
		return b, err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestConformanceAcrossProcesses runs the suite on one directory that two
// processes use. A case's first node is one backend in both processes: its calls
// go to this process and the other in turn. So concurrent calls run in both
// processes, and each read follows a write of the other. The second node is in
// the other process, the third in this one, and so on.
func TestConformanceAcrossProcesses(t *testing.T) {
	dir := memoryDir(t)
	h := harness(t, dir, &powered{})
	h.Cases = 0 // TestConformance pins them
	h.Server = "two processes"
	h.Interrupt, h.Unreadable = nil, nil // they have disks of this process alone
	h.Delay = nil                        // a backend in two processes has two stopwatches
	client := otherProcess(t, dir)
	var mu sync.Mutex
	nodes := map[string]int{} // the number of opened nodes, by store
	h.Open = func(t testing.TB, name string) driver.ModelExpirySupport {
		t.Helper()
		mu.Lock()
		n := nodes[name]
		nodes[name]++
		mu.Unlock()
		near := open(t, dir, name, nil)
		near.watch = drivertest.StandsStill
		far, err := client.Open(name)
		must(t, err)
		var b driver.ModelExpirySupport = remotetest.NewBoth(near, far)
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
		t.Error("want at least 1,000 calls")
	}
}
