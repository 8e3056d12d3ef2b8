package driverkit

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sojourn-go/sojourn/model"
)

// MaxLabels is the largest number of labels that a backend declares, so that
// the labels of a record always fit beside its value.
const MaxLabels = 50

// DeclaredLabels validates and sorts the label names of a backend's options.
// Nil means "principal". At most is the backend's largest number of names; zero
// means MaxLabels, which holds for all. It returns ErrInvalid for too many, illegal or duplicate names.
func DeclaredLabels(names []string, atMost int) ([]string, error) {
	if names == nil {
		return []string{"principal"}, nil
	}
	if atMost == 0 || atMost > MaxLabels {
		atMost = MaxLabels
	}
	if len(names) > atMost {
		return nil, model.NewError(model.ErrInvalid, "Options.Labels has more than "+strconv.Itoa(atMost)+" names", nil)
	}
	names = slices.Clone(names)
	slices.Sort(names)
	for i, name := range names {
		names[i] = strings.Clone(name) // the caller may use its memory again
		if err := model.CheckLabelName(name); err != nil {
			return nil, err
		}
		if i > 0 && names[i-1] == name {
			return nil, model.NewError(model.ErrInvalid, "Options.Labels has the name "+name+" twice", nil)
		}
	}
	return names, nil
}
