package driver

import (
	"slices"
	"strconv"
	"time"

	"github.com/sojourn-go/sojourn/model"
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

// Needs returns ErrUnsupported, with the reason, if the feature is absent.
func (d Description) Needs(f Feature) error {
	if reason, absent := d.Lacks(f); absent {
		return model.NewError(model.ErrUnsupported, reason, nil)
	}
	return nil
}

// CheckLabel returns ErrUnsupported if the backend has no labels, and
// ErrInvalid if the label name is not declared.
func (d Description) CheckLabel(name string) error {
	if err := d.Needs(FeatureLabels); err != nil {
		return err
	}
	if !d.HasLabel(name) {
		return model.NewError(model.ErrInvalid, "the label is not declared in Options.Labels", nil)
	}
	return nil
}

// CheckValue returns ErrTooLarge for a value of more bytes than a
// Description's MaxValue allows.
func CheckValue(value []byte, maxValue int) error {
	if maxValue > 0 && len(value) > maxValue {
		return model.NewError(model.ErrTooLarge, "the value has more than "+strconv.Itoa(maxValue)+" bytes", nil)
	}
	return nil
}
