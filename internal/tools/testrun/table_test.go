package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
)

// TestEveryCaseHasARow keeps the table complete when a group of cases is new.
func TestEveryCaseHasARow(t *testing.T) {
	for _, c := range conformance.Cases() {
		if group, _, _ := strings.Cut(c.Name, "/"); !placed("records", group) {
			t.Errorf("no row for records/%s", group)
		}
	}
	for _, c := range sessions.All() {
		if group, _, _ := strings.Cut(c.Name, "/"); !placed("sessions", group) {
			t.Errorf("no row for sessions/%s", group)
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	r := newReport(&out, false)
	for _, line := range []string{
		`{"Action":"run","Package":"m/backends/p","Test":"TestA"}`,
		`{"Action":"attr","Package":"m/backends/p","Test":"TestA","Key":"sojourn.run","Value":"{\"suite\":\"records\",\"backend\":\"redis\",\"server\":\"Redis 7.0.15 (container redis:7.0.15-packed)\",\"cases\":5,\"groups\":{\"Get\":3,\"Lost\":2}}"}`,
		`{"Action":"attr","Package":"m/examples/e","Test":"TestA","Key":"sojourn.run","Value":"{\"suite\":\"records\",\"backend\":\"map\",\"cases\":3,\"groups\":{\"Get\":3}}"}`,
		`{"Action":"attr","Package":"m/backends/p","Test":"TestA","Key":"sojourn.run","Value":"{\"suite\":\"sessions\",\"backend\":\"memory\",\"cases\":7,\"groups\":{\"Life\":7}}"}`,
		`{"Action":"pass","Package":"m/backends/p","Test":"TestA"}`,
		`{"Action":"pass","Package":"m/backends/p"}`,
	} {
		r.line(line)
	}
	file := filepath.Join(t.TempDir(), "README.md")
	if err := r.writeTable(file); err == nil {
		t.Error("written to a file that is not there")
	}
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("no marks")
	if err := r.writeTable(file); err == nil {
		t.Error("written to a file without marks")
	}
	put("before\n" + tableBegin + "old\n" + tableEnd + "after\n")
	for range 2 { // the second time finds the first one's marks
		if err := r.writeTable(file); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "table", got)

	for name, wrong := range map[string]bool{"TestScreenshots": false, "TestConformanceOfNodes": true} {
		r.line(`{"Action":"run","Package":"m/backends/p","Test":"` + name + `"}`)
		r.line(`{"Action":"skip","Package":"m/backends/p","Test":"` + name + `"}`)
		if err := r.writeTable(file); (err != nil) != wrong {
			t.Errorf("%s was skipped: %v, want an error: %t", name, err, wrong)
		}
		r.line(`{"Action":"pass","Package":"m/backends/p","Test":"` + name + `"}`)
	}

	r.line(`{"Action":"attr","Package":"m/backends/p","Test":"TestA","Key":"sojourn.run","Value":"{\"suite\":\"records\",\"backend\":\"redis\",\"groups\":{\"New\":3}}"}`)
	if err := r.writeTable(file); err == nil {
		t.Error("a group without a row was left out in silence")
	}
	r.line(`{"Action":"run","Package":"m/backends/p","Test":"TestB"}`)
	r.line(`{"Action":"fail","Package":"m/backends/p","Test":"TestB"}`)
	if err := r.writeTable(file); err == nil {
		t.Error("the table of a run that failed was written")
	}
}
