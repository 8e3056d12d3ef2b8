package conformance_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
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
			t.Errorf("two cases are named %q", c.Name)
		}
		names[c.Name] = true
		if len(c.Rules) == 0 || c.Where == "" {
			t.Errorf("%s names no rule or recordKey", c.Name)
		}
		for _, r := range c.Rules {
			covered[r] = true
			if conformance.Rules[r] == "" {
				t.Errorf("%s is evidence for %s, which is no rule", c.Name, r)
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
		t.Error("rules.go is not what the comments of package expiry say; run: make generate")
	}
}

func TestCheckFindsNothingInALawfulBackend(t *testing.T) {
	space := memory.NewSpace()
	err := conformance.Check(t.Context(), conformance.Harness{
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			b, err := memory.New(space, name, nil)
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
		t.Errorf("got %v", err)
	}
}

func TestCheckReportsAPanicAsAFailure(t *testing.T) {
	err := conformance.Check(t.Context(), conformance.Harness{
		Open: func(testing.TB, string) driver.ModelExpirySupport { panic("out of order") },
	}, "Get/UnknownIDIsNotFound")
	if err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("got %v", err)
	}
}
