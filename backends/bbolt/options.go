package bbolt

import (
	"strings"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels declares the names of the labels that records may bear. Nil means
	// "principal". An empty list means no labels.
	Labels []string
}

func (o *Options) labels() ([]string, error) {
	if o == nil {
		o = &Options{}
	}
	names, err := driverkit.DeclaredLabels(o.Labels, 0)
	for i := range names {
		names[i] = strings.Clone(names[i]) // the caller may use the memory again
	}
	return names, err
}
