package bench

import (
	"flag"
	"fmt"
	"go/version"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the counts into testdata/counts.txt instead of comparing them")

const counts = "testdata/counts.txt"

// countLine is a line of the counts.
type countLine struct{ calls, allocs, bytes float64 }

func readCounts(text string) (map[string]countLine, error) {
	out := map[string]countLine{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, compiledWith) {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 7 {
			return nil, fmt.Errorf("%q is not a line of counts", line)
		}
		name, figures := strings.Join(fields[:len(fields)-6], " "), strings.Join(fields[len(fields)-6:], " ")
		var c countLine
		if _, err := fmt.Sscanf(figures, "%f calls %f allocs %f bytes", &c.calls, &c.allocs, &c.bytes); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		out[name] = c
	}
	return out, nil
}

// TestCounts compares calls of the backend, allocations and bytes with those that
// are kept. Calls and allocations must be the same. Bytes may differ by one in
// twenty: how large a map is depends on a random seed. Another version of Go
// allocates otherwise, so that calls alone are compared then. The round trips of
// a call are asserted by each backend's own tests.
func TestCounts(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "run", "./counts")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	text = append([]byte(compiledWith+release()+"\n"), text...)
	if *update {
		if err := os.WriteFile(counts, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(counts)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range changed(t, string(kept), string(text)) {
		t.Error(line)
	}
}

const compiledWith = "compiled with "

// release is the version of Go without its patch: go1.26.
func release() string { return version.Lang(runtime.Version()) }

func changed(t *testing.T, kept, text string) []string {
	t.Helper()
	want, err := readCounts(kept)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readCounts(text)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(kept, "\n")
	same := first == compiledWith+release()
	if !same {
		t.Logf("the counts are %s, and this is %s: only calls are compared", first, release())
	}
	var out []string
	for name, w := range want {
		g, ok := got[name]
		if !same {
			g.allocs, g.bytes = w.allocs, w.bytes
		}
		if !ok || g.calls != w.calls || g.allocs != w.allocs || math.Abs(g.bytes-w.bytes) > w.bytes/20 {
			out = append(out, fmt.Sprintf("%s takes %v, %v are kept; go test ./bench -run Counts -update keeps the new ones", name, g, w))
		}
	}
	if len(got) != len(want) {
		out = append(out, fmt.Sprintf("%d lines are kept, %d were measured", len(want), len(got)))
	}
	return out
}

// TestChangedCounts shows that each of the three is compared.
func TestChangedCounts(t *testing.T) {
	const line = "store get   1.00 calls   3 allocs   400 bytes\n"
	kept := compiledWith + release() + "\n" + line
	for text, want := range map[string]int{
		kept: 0,
		"store get   1.00 calls   3 allocs   404 bytes\n": 0,
		"store get   2.00 calls   3 allocs   400 bytes\n": 1,
		"store get   1.00 calls   4 allocs   400 bytes\n": 1,
		"store get   1.00 calls   2 allocs   400 bytes\n": 1,
		"store get   1.00 calls   3 allocs   440 bytes\n": 1,
		"": 2,
	} {
		if got := changed(t, kept, text); len(got) != want {
			t.Errorf("%q: %q, want %d lines", text, got, want)
		}
	}
	older := compiledWith + "go1.2\n" + line
	for text, want := range map[string]int{
		"store get   1.00 calls   4 allocs   440 bytes\n": 0,
		"store get   2.00 calls   3 allocs   400 bytes\n": 1,
	} {
		if got := changed(t, older, text); len(got) != want {
			t.Errorf("with another Go, %q: %q, want %d lines", text, got, want)
		}
	}
}
