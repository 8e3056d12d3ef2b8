package memory

import (
	"slices"

	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels declares the names of the labels that records may bear. Nil:
	// "principal". Backends that share a store declare the same ones.
	Labels []string
}

func (o *Options) labels() ([]string, error) {
	if o == nil || o.Labels == nil {
		return []string{"principal"}, nil
	}
	names := slices.Clone(o.Labels)
	slices.Sort(names)
	for _, n := range names {
		if err := model.CheckLabelName(n); err != nil {
			return nil, err
		}
	}
	return slices.Compact(names), nil
}
