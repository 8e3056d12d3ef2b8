package file

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/conformance/sessions"
	"github.com/sojourn-go/sojourn/expiry"
)

// harness is on one directory, shared by all cases. A file system does not
// lose answers; that the front settles those of a process in between is shown
// as everywhere.
func harness(t *testing.T) conformance.Harness {
	t.Helper()
	dir := t.TempDir()
	return conformance.Harness{
		Cases: 258,
		Open: func(t testing.TB, name string) expiry.ModelExpirySupport {
			b, err := New(dir, name, nil)
			if err != nil {
				t.Fatal(err)
			}
			return &conformance.Lossy{ModelExpirySupport: b}
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

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }
func TestSessions(t *testing.T)    { sessions.Run(t, harness(t)) }
