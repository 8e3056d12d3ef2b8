package file

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry/driver"
)

// harness is on one directory, shared by all cases. A file system does not
// lose answers; that the front settles those of a process in between is shown
// as everywhere.
func harness(t *testing.T, dir string) conformance.Harness {
	t.Helper()
	return conformance.Harness{
		Cases: 404,
		Open: func(t testing.TB, name string) driver.ModelExpirySupport {
			return conformance.NewLossy(open(t, dir, name, nil))
		},
		Server:   "in process",
		LoseNext: conformance.LoseNext,
		Damage: func(t testing.TB, name, id string, data []byte) {
			t.Helper()
			p := placeOf(id)
			path := filepath.Join(dir, name, filepath.FromSlash(p.path()))
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// TestConformance runs in memory where the system has a file system there: on a
// disk its syncs take nine tenths of the time, and no case of the suite can tell
// them from none. What they are for is TestPowerCut's, and TestConformanceSynced
// runs on the disk.
func TestConformance(t *testing.T) { conformance.Run(t, harness(t, memoryDir(t))) }

func TestSessions(t *testing.T) { sessions.Run(t, harness(t, memoryDir(t))) }

// TestConformanceSynced runs cases of each kind of call as a program has them:
// on the disk, with all syncs.
func TestConformanceSynced(t *testing.T) {
	t.Parallel()
	err := conformance.Check(t.Context(), harness(t, t.TempDir()),
		"Create/OfManyAtOnceOneWins", "Create/OfManyOverAnExpiredRecordOneWins", "CompareAndSet/OfManyAtOneRevisionOneWins",
		"Concurrency/DeletedUnderAListingIsNoError", "History/OfCreateAndDeleteIsLinearizable",
		"Sweep/RemovesWhatIsDueAndNothingElse", "Sweep/FollowsATouch", "Sweep/AgainstAnExtensionNeverTakesIt",
		"Storage/DeletedIsEmpty", "Storage/DeletedLeavesANeighbours")
	if err != nil {
		t.Error(err)
	}
}
