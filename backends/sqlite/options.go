package sqlite

import "github.com/sojourn-go/sojourn/expiry/driver/driverkit"

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels are the names of the labels that records may have, at most 50. Each
	// label has an index. Nil means "principal". Empty means no labels.
	Labels []string
}

func (o *Options) labels() ([]string, error) {
	if o == nil {
		o = &Options{}
	}
	return driverkit.DeclaredLabels(o.Labels, 0)
}
