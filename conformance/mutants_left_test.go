package conformance_test

import (
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// onShelf returns a mutation of a shelf.
func onShelf(f shelfFaults) mutation { return mutation{shelf: &f} }

// keeping returns a mutation in which the entries stay after verbs that begin
// so.
func keeping(verb string, which func(entry string) bool) mutation {
	return onShelf(shelfFaults{keeps: func(v, entry string) bool {
		return strings.HasPrefix(v, verb) && which(entry)
	}})
}

func isExpiry(entry string) bool { return !isLabel(entry) }

// reading returns a mutation in which these reads see other bytes.
func reading(verb string, blind func(data []byte) []byte) mutation {
	return onShelf(shelfFaults{blind: func(v, _ string, data []byte) []byte {
		if verb == "" || verb == v {
			return blind(data)
		}
		return data
	}})
}

// leftMutants leave index entries behind, or take damaged bytes for a record.
func leftMutants() map[string]mutation {
	return map[string]mutation{
		"an update leaves the entry of the label of before":        keeping("present", isLabel),
		"a compare-and-set leaves the entry of the earlier expiry": keeping("match", isExpiry),
		"an upsert leaves all entries of before":                   keeping("any", func(string) bool { return true }),
		"a touch leaves the entry of the earlier expiry":           keeping("touch", isExpiry),
		"a delete leaves the label's entry":                        keeping("delete present", isLabel),
		"a delete at a revision leaves the expiry's entry":         keeping("delete match", isExpiry),
		"a delete in a batch leaves the entries":                   keeping("many delete", func(string) bool { return true }),
		"a sweep leaves the label's entry":                         keeping("sweep", isLabel),
		"a sweep that announces leaves the expiry's entry":         keeping("announced sweep", isExpiry),
		"a create over an expired record leaves its entries":       keeping("over expired absent", func(string) bool { return true }),
		"an upsert over damaged bytes leaves what they had":        keeping("over damaged", func(string) bool { return true }),
		"a create that fails leaves its entries":                   onShelf(shelfFaults{early: true}),
		"a delete removes the entries that it read before":         onShelf(shelfFaults{outdated: "r0"}),
		"DeleteStorage leaves the index entries":                   onShelf(shelfFaults{stays: true}),

		"a record's checksum is not compared": reading("", summed),
		"a record's length is not compared":   reading("", sizedAs),
		"bytes after a record are ignored":    reading("", firstRecord),
		"a record that is too short is not found": reading("", func(data []byte) []byte {
			if len(data) < lengthAt {
				return nil
			}
			return data
		}),
		"a record of another id is returned":          onShelf(shelfFaults{renames: true}),
		"a touch gives damaged bytes a new checksum":  onShelf(shelfFaults{patches: true}),
		"a get of many does not compare the checksum": reading("many", summed),
		"a listing does not compare the checksum":     reading("page", summed),
		"an update takes damaged bytes for an expired record": reading("present", func(data []byte) []byte {
			if _, err := driverkit.DecodeRecord(data); err != nil {
				return nil
			}
			return data
		}),
		"an upsert fails over damaged bytes": onShelf(shelfFaults{shy: true}),
		"a change of the value changes the revision too": onShelf(shelfFaults{
			blind: func(_, _ string, data []byte) []byte { return summed(data) }, loose: []string{"value"},
		}),
		"a loose record's length is not compared": onShelf(shelfFaults{
			blind: func(_, _ string, data []byte) []byte { return sizedAs(data) },
			loose: []string{"revision", "expiry", "labels", "encoding", "value"}, sized: true,
		}),
	}
}

// firstRecord returns the bytes up to the length that stands in them.
func firstRecord(data []byte) []byte {
	if len(data) < lengthAt+4 {
		return data
	}
	n := int(data[lengthAt]) | int(data[lengthAt+1])<<8
	return data[:min(n, len(data))]
}
