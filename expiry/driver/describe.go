package driver

import (
	"slices"
	"time"
)

// Feature names something that a backend may lack.
type Feature string

// The features that a backend may declare absent, because its server cannot
// do them: a cache without listings, for example. A method that needs an
// absent feature returns ErrUnsupported.
const (
	FeatureLabels Feature = "labels" // listing and counting by label
	FeaturePaging Feature = "paging" // Page
	FeatureSweep  Feature = "sweep"  // DeleteExpired
)

// Absence is a feature that a backend lacks, and the reason.
type Absence struct {
	Feature Feature
	Reason  string
}

// Description is a backend's name, labels, limits and missing features.
type Description struct {
	Backend  string        // "redis", "file", …
	Labels   []string      // the declared label names, sorted
	MaxValue int           // the largest value, in bytes; zero: no limit
	MaxTTL   time.Duration // the longest lifetime; zero: no limit
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
