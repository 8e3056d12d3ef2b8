package bench

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// made are two sides in one cell, with a side that is twice as slow.
func made() []result {
	c := cell{topic: "redis", op: "get", clients: 1, value: 200, calls: 10}
	return []result{
		{cell: c, name: "bare go-redis", times: []float64{100, 200}, ratios: []float64{1, 1}, trips: 1, allocs: 3, memory: 90},
		{cell: c, name: "Sojourn", times: []float64{200, 400}, ratios: []float64{2, 2}, trips: 0.25, allocs: 5, memory: 190, marks: "u"},
	}
}

// TestPage writes pages of made figures.
func TestPage(t *testing.T) {
	r := report{env: &environment{date: "2026-11-29", busy: 0.5}, results: made(), sessions: 10}
	r.results = append(r.results, result{cell: cell{topic: "many", op: "count", records: 1000}, name: "Sojourn", times: []float64{2e6}, trips: 1})
	r.memories = []memory{{name: "Sojourn", bytes: 991, parts: []held{{"r: records", 1, 50, 600, 700}}}}
	folder := t.TempDir()
	if err := r.publish(folder); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The machine was busy", "| bare go-redis | 0.20 µs (1) |", "| Sojourn | **2.00** 2.00–2.00 (0.25) u |", "| Sojourn | 1,000 | 2.00 (1) | none | none |", "| Sojourn | 991 |"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	svg, err := os.ReadFile(filepath.Join(folder, "redis-1.svg"))
	if err != nil || !strings.Contains(string(svg), "<svg") || !strings.Contains(string(svg), "Sojourn") {
		t.Errorf("no plot: %v", err)
	}
	r.env.busy = 0
	if page := r.page(); strings.Contains(page, "busy") {
		t.Error("a quiet machine is called busy")
	}
}

// TestBaseline reads back what writeRaw has written, and finds a ratio that grows.
func TestBaseline(t *testing.T) {
	var raw strings.Builder
	if err := writeRaw(&raw, &environment{}, made()); err != nil {
		t.Fatal(err)
	}
	old, err := readRatios(strings.NewReader(raw.String()))
	if err != nil {
		t.Fatal(err)
	}
	name := made()[0].cell.String()
	if want := []float64{2, 2}; !slices.Equal(old[name], want) {
		t.Errorf("the ratios are %v, want %v, from\n%s", old, want, raw.String())
	}
	now := made()
	if got := regressions(old, now, 0.15); len(got) != 0 {
		t.Errorf("the same figures are %q", got)
	}
	now[1].ratios = []float64{2.4, 2.4}
	if got := regressions(old, now, 0.15); len(got) != 1 {
		t.Errorf("a fifth more is %q, want one line", got)
	}
}
