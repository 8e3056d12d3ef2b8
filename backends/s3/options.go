package s3

import (
	"strings"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels names the labels that records may bear, at most 32. Nil means
	// "principal". An empty slice means no labels.
	Labels []string
	// MaxValue is the largest value in bytes, at most 1 GiB. A call holds the
	// value in memory. Zero means 16 MiB. Nodes may have different limits.
	MaxValue int
	// StrayGrace is the age at which an index entry without its record counts as
	// left by a crash and is removed. The server's clock measures it. A write
	// gives up if half of this time passes between its index entries and its
	// record. It is at least a minute. Zero means one hour.
	StrayGrace time.Duration
	// ClientChecksums keeps the client's settings for the SDK's own checksums.
	// By default they are sent only if S3 requires one, since other servers do
	// not understand them. A record has a checksum of its own in both cases.
	ClientChecksums bool
	// AllowVersioned lets CreateStorage accept a bucket that keeps versions. By
	// default it returns ErrUnsupported for one. Such a bucket keeps every value
	// ever written, expired and deleted ones included, until a lifecycle rule
	// removes noncurrent versions.
	AllowVersioned bool
}

const (
	defaultMaxValue   = 16 << 20
	maxMaxValue       = 1 << 30
	defaultStrayGrace = time.Hour
	minStrayGrace     = time.Minute
	maxLabels         = 32
)

// withDefaults validates the options and fills in the defaults.
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
		return out, model.NewError(model.ErrInvalid, "Options.MaxValue is not between 1 byte and 1 GiB", nil)
	}
	if out.StrayGrace == 0 {
		out.StrayGrace = defaultStrayGrace
	}
	if out.StrayGrace < minStrayGrace {
		return out, model.NewError(model.ErrInvalid, "Options.StrayGrace is less than a minute", nil)
	}
	return out, nil
}

// checkBucket accepts the names of general purpose buckets and the aliases of
// access points. It refuses directory buckets, which list in no order.
func checkBucket(name string) error {
	ok := len(name) >= 3 && len(name) <= 63
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		inner := i > 0 && i+1 < len(name)
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || inner && (c == '-' || c == '.')
	}
	if !ok {
		return model.NewError(model.ErrInvalid, "the bucket's name is not 3 to 63 of a-z 0-9 - . with a letter or digit at both ends", nil)
	}
	if strings.HasSuffix(name, "--x-s3") || strings.HasSuffix(name, "--xa-s3") {
		return model.NewError(model.ErrInvalid, "a directory bucket lists in no order: use a general purpose bucket", nil)
	}
	return nil
}

const maxPrefix = 256

// checkPrefix accepts names of folders joined by slashes. It refuses the folder
// names that a store uses itself, so that no store is inside another's folders.
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
	return model.NewError(model.ErrInvalid, "the prefix is not 1 to 256 of a-z A-Z 0-9 - _ . in segments joined by /; a segment must not be empty, one or two dots, or r, x, l, p", nil)
}

// Client returns the client that the backend uses: the one that New was given,
// or the one that the backend opened from a URL. Close closes the connections
// of the latter.
func (b *Backend) Client() *awss3.Client { return b.client }
