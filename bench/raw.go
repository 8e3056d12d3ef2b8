package bench

import (
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strings"
)

// environment is what the figures depend on.
type environment struct {
	date, cpu, versions string
	servers             []string
	busy                float64 // the share of the machine that others used before the run, 0 to 1; negative: unknown
}

// busyFrom is the share of the machine above which a page warns.
const busyFrom = 0.15

// writeRaw writes Go's benchmark format: a line for each round of each side, for
// benchstat -col /side.
func writeRaw(w io.Writer, env *environment, results []result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\npkg: github.com/sojourn-go/sojourn/bench\ncpu: %s\ndate: %s\nbusy: %s\n", runtime.GOOS, runtime.GOARCH, env.cpu, env.date, share(env.busy))
	for i, s := range env.servers {
		fmt.Fprintf(&b, "server%d: %s\n", i+1, s)
	}
	for i := range results {
		r := &results[i]
		for _, ns := range r.times {
			fmt.Fprintf(&b, "BenchmarkPeers/%s/side=%s \t%8d\t%12.1f ns/op", r.cell, slug(r.name), r.calls, ns)
			if r.trips >= 0 {
				fmt.Fprintf(&b, "\t%8.3f trips/op", r.trips)
			}
			if r.allocs >= 0 {
				fmt.Fprintf(&b, "\t%8.0f B/op\t%8.0f allocs/op", r.memory, r.allocs)
			}
			b.WriteString("\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var noWord = regexp.MustCompile(`[^a-z0-9]+`)

func slug(name string) string {
	return strings.Trim(noWord.ReplaceAllString(strings.ToLower(name), "-"), "-")
}

func share(of float64) string {
	if of < 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.0f%%", 100*of)
}
