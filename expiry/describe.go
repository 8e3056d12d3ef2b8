package expiry

import (
	"slices"
	"time"
)

// Feature names something that a backend may be unable to do.
type Feature string

// The features that a backend may declare absent. A declared absence answers
// ErrUnsupported.
const (
	FeatureLabels Feature = "labels" // listing and counting by label
	FeaturePaging Feature = "paging" // Page
	FeatureSweep  Feature = "sweep"  // DeleteExpired
)

// Absence is a feature that a backend lacks, and why.
type Absence struct {
	Feature Feature
	Reason  string
}

// Description says what a backend is and cannot do.
type Description struct {
	Backend  string        // "redis", "file", …
	Labels   []string      // the declared label names, sorted
	MaxValue int           // bytes; zero: no limit of its own
	MaxTTL   time.Duration // zero: no limit of its own
	Absent   []Absence
}

// Lacks returns the reason why the feature is absent, and whether it is.
func (d Description) Lacks(f Feature) (reason string, absent bool) {
	for _, a := range d.Absent {
		if a.Feature == f {
			return a.Reason, true
		}
	}
	return "", false
}

// HasLabel reports whether the label name is declared.
func (d Description) HasLabel(name string) bool { return slices.Contains(d.Labels, name) }
