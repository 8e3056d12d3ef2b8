package s3

import (
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels are the names of the labels that records may bear, at most 32.
	// Nil: "principal". Empty: none.
	Labels []string
	// MaxValue is how many bytes a value may have, at most 1 GiB: a call holds
	// it in memory. Zero: 16 MiB. Nodes may differ in it.
	MaxValue int
	// StrayGrace is how old an index entry without its record must be to be
	// removed as what a crash has left, by the server's clock. A write gives up
	// after half of it between its index entries and its record. At least a
	// minute. Zero: one hour.
	StrayGrace time.Duration
	// ClientChecksums leaves it to the client's own settings when the SDK adds
	// checksums to requests and asks for them in answers. Default: only where
	// S3 requires one, which servers of other makes understand; a record has a
	// checksum of its own either way.
	ClientChecksums bool
	// AllowVersioned lets CreateStorage accept a bucket that keeps versions. It
	// keeps every value ever written, the expired and the deleted ones too,
	// until a lifecycle rule removes noncurrent versions. Default: ErrUnsupported.
	AllowVersioned bool
}

const (
	defaultMaxValue   = 16 << 20
	maxMaxValue       = 1 << 30
	defaultStrayGrace = time.Hour
	minStrayGrace     = time.Minute
	maxLabels         = 32
)

func (o *Options) withDefaults() (out Options, err error) {
	if o != nil {
		out = *o
	}
	if out.Labels, err = driverkit.DeclaredLabels(out.Labels, maxLabels); err != nil {
		return out, err
	}
	if out.MaxValue == 0 {
		out.MaxValue = defaultMaxValue
	}
	if out.MaxValue < 0 || out.MaxValue > maxMaxValue {
		return out, model.NewError(model.ErrInvalid, "Options.MaxValue: 1 byte to 1 GiB", nil)
	}
	if out.StrayGrace == 0 {
		out.StrayGrace = defaultStrayGrace
	}
	if out.StrayGrace < minStrayGrace {
		return out, model.NewError(model.ErrInvalid, "Options.StrayGrace: at least a minute", nil)
	}
	return out, nil
}

// checkBucket accepts what S3 accepts as the name of a general purpose bucket
// or the alias of an access point. Directory buckets list in no order.
func checkBucket(name string) error {
	ok := len(name) >= 3 && len(name) <= 63
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		inner := i > 0 && i+1 < len(name)
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || inner && (c == '-' || c == '.')
	}
	if !ok {
		return model.NewError(model.ErrInvalid, "a bucket's name has 3 to 63 of a-z 0-9 - . and begins and ends with a letter or digit", nil)
	}
	if strings.HasSuffix(name, "--x-s3") || strings.HasSuffix(name, "--xa-s3") {
		return model.NewError(model.ErrInvalid, "a directory bucket lists in no order: take a general purpose one", nil)
	}
	return nil
}

const maxPrefix = 256

// checkPrefix accepts names of folders joined by slashes. None may be one that
// a store uses itself, so that no store lies within another's folders.
func checkPrefix(prefix string) error {
	if prefix == "" || len(prefix) > maxPrefix {
		return badPrefix()
	}
	for segment := range strings.SplitSeq(prefix, "/") {
		switch segment {
		case "", ".", "..", recordsDir, dueDir, labelsDir, probeDir:
			return badPrefix()
		}
		for i := range len(segment) {
			if !kept(segment[i]) && segment[i] != '.' {
				return badPrefix()
			}
		}
	}
	return nil
}

func badPrefix() error {
	return model.NewError(model.ErrInvalid, "a prefix has 1 to 256 of a-z A-Z 0-9 - _ . in segments joined by /, none of which is empty, a dot or two, or r, x, l, p", nil)
}
