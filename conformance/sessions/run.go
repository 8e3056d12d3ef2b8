package sessions

import (
	"sync/atomic"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Cases is the number of cases of this suite.
const Cases = 194

// Case is one test of the suite.
type Case struct {
	Name string // Group/BehaviourInWords
	run  func(*C)
}

// All returns every case, in the order in which they run.
func All() []Case {
	var all []Case
	for _, g := range [][]Case{
		loadCases(), tokenCases(), lifeCases(), mergeCases(),
		signOutCases(), signInCases(), rotationCases(), fleetCases(), storeCases(),
		limitCases(), seatCases(), accountCases(), listingCases(), dataCases(), powerCases(), viewCases(),
		stragglerCases(), doubtCases(), lateCases(), lateVerbCases(), whyCases(), actingCases(), identityCases(),
	} {
		all = append(all, g...)
	}
	return all
}

func group(name string, cases ...Case) []Case {
	for i := range cases {
		cases[i].Name = name + "/" + cases[i].Name
	}
	return cases
}

func that(name string, run func(*C)) Case { return Case{Name: name, run: run} }

// Run runs every case as a parallel subtest. It fails if a case that began did
// not end. It uses Harness.Open and Harness.Server, and ignores Harness.Cases,
// which belongs to the suite for records.
func Run(t *testing.T, h conformance.Harness) {
	t.Helper()
	if h.Open == nil {
		t.Fatal("sessions: Harness.Open is missing")
	}
	desc := describe(t, h)
	if reason, absent := desc.Lacks(driver.FeatureLabels); absent {
		t.Fatalf("sessions: %s cannot list by label: %s", desc.Backend, reason)
	}
	all := All()
	if len(all) != Cases {
		t.Errorf("sessions: the suite has %d cases, want %d: change Cases", len(all), Cases)
	}
	var begun atomic.Int64
	var ran conformance.Tally
	t.Run("cases", func(t *testing.T) {
		for _, cs := range all {
			t.Run(cs.Name, func(t *testing.T) {
				begun.Add(1)
				t.Parallel()
				cs.run(newC(t, h))
				ran.Add(cs.Name)
			})
		}
	})
	report := conformance.Report{Suite: "sessions", Backend: desc.Backend, Server: h.Server}
	report.Cases, report.Groups = ran.Result()
	report.Attach(t)
	// With -run fewer cases begin. A case that began and is not counted has
	// failed or skipped itself, and no case skips itself.
	if !t.Failed() && int(begun.Load()) != report.Cases {
		t.Errorf("sessions: of %d cases only %d ran", begun.Load(), report.Cases)
	}
}

func describe(t testing.TB, h conformance.Harness) driver.Description {
	b := h.Open(t, freshName())
	desc := b.Describe()
	if err := b.Close(); err != nil {
		t.Errorf("sessions: Close of an unused store: %v", err)
	}
	return desc
}
