package conformance_test

import (
	"flag"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
)

const sequences = "Sequence/OfRandomCallsAnswersAsTheModelDoes"

// broken returns what the failure of a case says from its rule on.
func broken(t *testing.T, f fault, name string) string {
	t.Helper()
	err := conformance.Check(t.Context(), mapHarness("", f), name)
	if err == nil {
		t.Fatalf("%s does not catch the fault %d", name, f)
	}
	text := err.Error()
	if strings.Contains(text, "flaky") {
		t.Errorf("the failure cannot be repeated:\n%s", text)
	}
	_, text, found := strings.Cut(text, "breaks ")
	if !found {
		t.Fatalf("the failure names no rule:\n%v", err)
	}
	return text
}

// setRapid sets a flag of rapid until the test ends.
func setRapid(t *testing.T, name, value string) {
	t.Helper()
	f := flag.Lookup("rapid." + name)
	before := f.Value.String()
	if err := f.Value.Set(value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(before) })
}

func TestARandomSequenceNamesTheOneRule(t *testing.T) {
	setRapid(t, "shrinktime", "1s")
	for f, rule := range map[fault]string{expiredConflicts: "R19", sameLabelsStay: "R50", keepDrops: "R50", oneLabel: "R46"} {
		text := broken(t, f, sequences)
		if !strings.HasPrefix(text, rule+": ") && (rule != "R46" || !strings.HasPrefix(text, "R77: ")) {
			t.Errorf("the failure names another rule than %s:\n%s", rule, text)
		}
		if !strings.Contains(text, "the calls before, with the time of each") || !strings.Contains(text, "want") {
			t.Errorf("the failure shows no calls, or no right answer:\n%s", text)
		}
	}
}

func TestARandomSequenceRepeatsByItsSeed(t *testing.T) {
	setRapid(t, "seed", "7")
	setRapid(t, "shrinktime", "0s") // how far a longer time leads depends on the machine
	first, _, _ := strings.Cut(broken(t, expiredConflicts, sequences), "[rapid]")
	second, _, _ := strings.Cut(broken(t, expiredConflicts, sequences), "[rapid]")
	if first != second {
		t.Errorf("two runs with one seed differ:\n%s\n%s", first, second)
	}
}

// TestEndlessLoopsFailByName checks backends on which a loop need not end.
func TestEndlessLoopsFailByName(t *testing.T) {
	for _, tt := range []struct {
		fault fault
		name  string
		rule  string
	}{
		{pagesForever, "Count/OfLiveRecords", "R43"},
		{pagesForever, "Page/KeepsToTheLimit", "R43"},
		{moreForever, "Sweep/SharedByTwoIsAnnouncedAndCountedInFull", "R51"},
		{underLock, "Sweep/LetsOnExpireUseTheBackend", "R53"},
		{underLock, "Sweep/WithinASweepCountsEachRemovalOnce", "R53"},
	} {
		if text := broken(t, tt.fault, tt.name); !strings.HasPrefix(text, tt.rule+": ") {
			t.Errorf("%s names another rule than %s:\n%s", tt.name, tt.rule, text)
		}
	}
}
