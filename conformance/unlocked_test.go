package conformance_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
)

// unlockedRuns is the number of runs of each planted bug, which all must catch
// it. Zero is for every day: one of some runs must, because a busy machine may
// keep contenders apart.
var unlockedRuns = flag.Int("unlocked.runs", 0, "runs of each call that is not locked, which all must catch it")

// unlockedOnly chooses one of them.
var unlockedOnly = flag.String("unlocked.only", "", "run only the planted bug with this text")

// everyday is the number of runs of which one must catch it. On a machine with
// many times more work than processors, every second run does.
const everyday = 40

// unlockedCalls are map backends of which one kind of call is not one step, with
// the case that must catch it.
var unlockedCalls = []struct {
	op    string
	fault fault
	bug   string
	named string
}{
	{"create", unlocked, "a create holds no lock", "CreatedByOneIsHeldByOne"},
	{"update", unlocked, "an update holds no lock", "UpdatedWhileDeletedStaysDeleted"},
	{"compare-and-set", unlocked, "a compare-and-set holds no lock", "ComparedAndSetCountsEachSuccess"},
	{"compare-and-set", unlocked, "a compare-and-set holds no lock against deletes", "ComparedAndSetWhileDeletedStaysDeleted"},
	{"upsert", unlocked, "an upsert holds no lock", "UpsertedIsListedByItsLabelAlone"},
	{"touch", unlocked, "a touch holds no lock", "TouchedWhileWrittenKeepsTheWrite"},
	{"touch", unlocked, "a touch holds no lock against deletes", "TouchedWhileDeletedStaysDeleted"},
	{"touch", unlocked, "a touch holds no lock against touches", "ExtendedNeverShortens"},
	{"delete", unlocked, "a delete holds no lock", "DeletedCountsEachSuccess"},
	{"delete at", unlocked, "a delete at a revision holds no lock", "EachRevisionIsFollowedByOne"},
	{"delete at", unlocked, "a take holds no lock", "TakenGivesEachToOne"},
	{"sweep", unlocked, "a sweep holds no lock", "SweptBesideExtensionsAndCreatesIsCounted"},
	{"create", lateIndex, "a create changes the index late", "CreatedIsListedByItsLabelAlone"},
	{"update", lateIndex, "an update changes the index late", "UpdatedIsListedByItsLabelAlone"},
	{"compare-and-set", lateIndex, "a compare-and-set changes the index late", "ComparedAndSetIsListedByItsLabelAlone"},
	{"upsert", lateIndex, "an upsert changes the index late", "UpsertedIsListedByItsLabelAlone"},
	{"delete", lateIndex, "a delete changes the index late", "DeletedLeavesTheNextOneListed"},
	{"delete at", lateIndex, "a delete at a revision changes the index late", "DeletedAtItsRevisionLeavesTheNextOneListed"},
	{"delete at", lateIndex, "a take changes the index late", "TakenLeavesTheNextOneListed"},
	{"sweep", lateIndex, "a sweep changes the index late", "SweptLeavesTheNextOneListed"},
	{"sweep", unlocked, "a sweep that announces holds no lock", "AnnouncedBesideWritesAndCountsIsCounted"},
	{deletesStorage, lateIndex, "DeleteStorage changes the index late", "StorageDeletedBesideCallsHoldsWholeRecords"},
	{"touch", earlyLabels, "a touch writes back the labels that it read", "TouchedWhileWrittenKeepsTheWrite"},
	{"touch", earlyValue, "a touch writes back the value that it read", "TouchedWhileWrittenKeepsTheWrite"},
	{"touch", earlyExpiry, "an extension compares with the expiry that it read", "ExtendedNeverShortens"},
	{"update", earlyLabels, "an update keeps the labels that it read", "UpdatedKeepsTheLabelsInForce"},
	{"update", earlyExpiry, "an update keeps the expiry that it read", "UpdatedKeepsTheExpiryInForce"},
}

// TestUnlockedCallsAreCaught runs without the race detector's help too, and with
// one processor. It changes the number of processors, so nothing is parallel.
func TestUnlockedCallsAreCaught(t *testing.T) {
	for _, procs := range []int{1, 2, 8} {
		t.Run(fmt.Sprint(procs, " processors"), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			for _, u := range unlockedCalls {
				if *unlockedOnly != "" && *unlockedOnly != u.bug {
					continue
				}
				name := "Contention/" + u.named
				caught := 0
				for run := 0; run < cmp.Or(*unlockedRuns, everyday) && (*unlockedRuns > 0 || caught == 0); run++ {
					err := conformance.Check(t.Context(), mapHarness(u.op, u.fault), name)
					if f := (*conformance.CaseError)(nil); errors.As(err, &f) && f.Case == name {
						caught++
					}
				}
				t.Logf("%s: caught in %d", u.bug, caught)
				if caught < max(*unlockedRuns, 1) {
					t.Errorf("%s: %s caught it in %d of %d runs", u.bug, name, caught, cmp.Or(*unlockedRuns, everyday))
				}
			}
			if n := runtime.GOMAXPROCS(0); n != procs {
				t.Errorf("the cases left %d processors, want %d", n, procs)
			}
		})
	}
}

// TestTheMapBackendIsCorrect checks the twin without a mistake, with all cases.
func TestTheMapBackendIsCorrect(t *testing.T) {
	if err := conformance.Check(t.Context(), mapHarness("", right)); err != nil {
		t.Error(err)
	}
	if err := conformance.Check(t.Context(), mapHarness(deletesStorage, right)); err != nil {
		t.Errorf("with a storage: %v", err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, c := range conformance.Cases() {
		if !strings.HasPrefix(c.Name, "Contention/") {
			continue
		}
		if err := conformance.Check(t.Context(), mapHarness(deletesStorage, right), c.Name); err != nil {
			t.Errorf("with one processor: %v", err)
		}
	}
}
