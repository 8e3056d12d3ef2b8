package conformance_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// shelfHarness opens shelves with the mistakes.
func shelfHarness(f shelfFaults) conformance.Harness {
	var mu sync.Mutex
	boards := map[string]*board{}
	of := func(name string) *board {
		mu.Lock()
		defer mu.Unlock()
		if boards[name] == nil {
			boards[name] = &board{records: map[string][]byte{}, entries: map[string]string{}, stale: newOvertaken()}
		}
		return boards[name]
	}
	put := func(name, id string, data []byte) {
		at := of(name)
		at.mu.Lock()
		defer at.mu.Unlock()
		at.records[id] = bytes.Clone(data)
	}
	return conformance.Harness{
		Server: "in process",
		Open: func(_ testing.TB, name string) driver.ModelExpirySupport {
			d := driver.Description{Backend: "shelf", Labels: []string{"principal", "state"}, MaxValue: damageableMax}
			return conformance.NewLossy(&shelf{gate: driverkit.NewGate(d, name), at: of(name), f: f})
		},
		LoseNext: conformance.LoseNext,
		Damage:   func(_ testing.TB, name, id string, data []byte) { put(name, id, data) },
		Stored: func(_ testing.TB, name, id string) []conformance.Part {
			at := of(name)
			at.mu.Lock()
			defer at.mu.Unlock()
			return []conformance.Part{{
				Name: "record", Bytes: bytes.Clone(at.records[id]), Loose: f.loose, Sized: f.sized,
				Put: func(_ testing.TB, data []byte) bool { put(name, id, data); return true },
			}}
		},
		Left: func(_ testing.TB, name string) int {
			at := of(name)
			at.mu.Lock()
			defer at.mu.Unlock()
			n := len(at.records) + len(at.entries)
			if at.made {
				n++
			}
			return n
		},
	}
}

func TestTheShelfIsCorrect(t *testing.T) {
	if err := conformance.Check(t.Context(), shelfHarness(shelfFaults{})); err != nil {
		t.Error(err)
	}
}

// isLabel reports whether an entry is that of a label.
func isLabel(entry string) bool { return strings.HasPrefix(entry, "label ") }
