package bench

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// readRatios reads a raw file and returns Sojourn's ratios to the floor, for each
// cell, a ratio for each round.
func readRatios(r io.Reader) (map[string][]float64, error) {
	times := map[string]map[string][]float64{} // by cell and side
	lines := bufio.NewScanner(r)
	var order []string // the floor is the first side of a cell
	for lines.Scan() {
		name, rest, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "BenchmarkPeers/"), "/side=")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 4 {
			continue
		}
		ns, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return nil, fmt.Errorf("%q has no time: %w", lines.Text(), err)
		}
		if times[name] == nil {
			times[name] = map[string][]float64{}
			order = append(order, name+"\n"+fields[0])
		}
		times[name][fields[0]] = append(times[name][fields[0]], ns)
	}
	out := map[string][]float64{}
	for _, o := range order {
		name, floor, _ := strings.Cut(o, "\n")
		for i, ns := range times[name]["sojourn"] {
			if all := times[name][floor]; i < len(all) && floor != "sojourn" {
				out[name] = append(out[name], ns/all[i])
			}
		}
	}
	return out, lines.Err()
}

// regressions returns a line for each cell in which Sojourn's lower quartile is
// above the old upper one by more than the tolerance.
func regressions(old map[string][]float64, now []result, tolerance float64) []string {
	var out []string
	fresh := map[string][]float64{}
	for i := range now {
		if now[i].name == "Sojourn" && now[i].topic != "many" {
			fresh[now[i].cell.String()] = now[i].ratios
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fresh)) {
		was, ok := old[name]
		if !ok {
			continue // a new cell
		}
		if limit, low := quantile(was, 0.75)*(1+tolerance), quantile(fresh[name], 0.25); low > limit {
			out = append(out, fmt.Sprintf("%s takes %.2f of the floor (lower quartile), %.2f at most", name, low, limit))
		}
	}
	return out
}
