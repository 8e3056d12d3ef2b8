package conformance_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

func TestEveryRuleHasACase(t *testing.T) {
	covered := map[string]bool{}
	names := map[string]bool{}
	for _, c := range conformance.Cases() {
		if names[c.Name] {
			t.Errorf("two cases have the name %q", c.Name)
		}
		names[c.Name] = true
		if len(c.Rules) == 0 || c.Where == "" {
			t.Errorf("%s has no rules or no place", c.Name)
		}
		for _, r := range c.Rules {
			covered[r] = true
			if conformance.Rules[r] == "" {
				t.Errorf("%s names the rule %s, which does not exist", c.Name, r)
			}
		}
	}
	for r, text := range conformance.Rules {
		if !covered[r] {
			t.Errorf("%s has no case: %s", r, text)
		}
	}
	if n := len(names); n < 380 {
		t.Errorf("%d cases, want at least 380", n)
	}
}

// TestGroupsHaveFilesOfTheirOwn checks that the cases of a group stand in the
// file cases_<group>.go, or in a file whose name continues after an underscore.
func TestGroupsHaveFilesOfTheirOwn(t *testing.T) {
	upper := regexp.MustCompile(`([a-z])([A-Z])`)
	for _, c := range conformance.Cases() {
		group, _, _ := strings.Cut(c.Name, "/")
		want := "cases_" + strings.ToLower(upper.ReplaceAllString(group, "${1}_$2"))
		file, _, _ := strings.Cut(c.Where, ".go:")
		if file != want && !strings.HasPrefix(file, want+"_") {
			t.Errorf("%s is in %s.go, want %s.go", c.Name, file, want)
		}
	}
}

func TestRulesAreThoseOfTheComments(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "run", "../internal/tools/rulegen", "../expiry").Output()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("rules.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out, have) {
		t.Error("rules.go differs from the comments of package driver; make generate rewrites it")
	}
}

func TestCheckReturnsNilForACorrectBackend(t *testing.T) {
	space := memory.NewSpace()
	err := conformance.Check(t.Context(), conformance.Harness{
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			b, err := memory.New(space, name, &memory.Options{Labels: []string{"principal", "state"}})
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCheckOfAnUnknownCaseFails(t *testing.T) {
	err := conformance.Check(context.Background(), conformance.Harness{
		Open: func(testing.TB, string) driver.ModelExpirySupport { return nil },
	}, "No/SuchCase")
	if err == nil || !strings.Contains(err.Error(), "No/SuchCase") {
		t.Errorf("got %v, want an error that names the case", err)
	}
}

func TestCheckReturnsAPanicAsAFailure(t *testing.T) {
	err := conformance.Check(t.Context(), conformance.Harness{
		Open: func(testing.TB, string) driver.ModelExpirySupport { panic("out of order") },
	}, "Get/UnknownIDIsNotFound")
	if err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("got %v, want an error with the text of the panic", err)
	}
}

// TestHarnessCases checks which runs Harness.Cases accepts.
func TestHarnessCases(t *testing.T) {
	whole, partly := conformance.Report{Cases: 10}, conformance.Report{Cases: 9, NotProven: 1}
	for _, tt := range []struct {
		want   int
		report conformance.Report
		ok     bool
	}{
		{0, whole, true}, {0, partly, true}, {10, whole, true}, {10, partly, false}, {9, whole, false}, {9, partly, true},
		{conformance.All, whole, true}, {conformance.All, partly, false},
	} {
		if err := conformance.WrongNumber(tt.want, tt.report); (err == nil) != tt.ok {
			t.Errorf("Cases %d, %+v: %v", tt.want, tt.report, err)
		}
	}
}
