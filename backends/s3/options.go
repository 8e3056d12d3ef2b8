package s3

import (
	"slices"
	"strconv"
	"strings"
	"time"

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
	// AllowLifecycle lets CreateStorage accept a bucket whose lifecycle rules
	// remove or archive objects of the store. By default it returns
	// ErrUnsupported for one: such a rule ends records before they expire.
	AllowLifecycle bool
	// TombstoneRule lets CreateStorage add the lifecycle rule that removes
	// tombstones, on a server that needs it. It does so only in a bucket without
	// any rule, and only after the server has shown with a disabled rule that it
	// keeps the rule's limit on size.
	TombstoneRule bool

	// Encryption is how S3 encrypts new objects: AES256, aws:kms or aws:kms:dsse.
	// Empty means as the bucket's settings say.
	Encryption string
	// KMSKeyID is the id, alias or ARN of the key of AWS KMS for new objects. With
	// one, or with BucketKey, the default of Encryption is aws:kms. Empty means the
	// key of the bucket's settings, or that of the account.
	KMSKeyID string
	// BucketKey makes S3 use a bucket key, which saves requests to AWS KMS. S3 has
	// none for aws:kms:dsse.
	BucketKey bool
	// BucketOwner is the id of the account that must own the bucket: 12 digits.
	// S3 refuses every request if another account does. Empty means no check.
	BucketOwner string
	// RequesterPays accepts to pay for the requests to a bucket of another
	// account that is configured so.
	RequesterPays bool
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
	err = out.checkAccount()
	return out, err
}

// checkAccount checks the options about encryption and ownership, and fills in
// their defaults.
func (o *Options) checkAccount() error {
	if (o.KMSKeyID != "" || o.BucketKey) && o.Encryption == "" {
		o.Encryption = "aws:kms"
	}
	kms := strings.HasPrefix(o.Encryption, "aws:kms")
	known := slices.Contains([]string{"", "AES256", "aws:kms", dsse}, o.Encryption)
	switch {
	case !known:
		return model.NewError(model.ErrInvalid, "Options.Encryption is not AES256, aws:kms or aws:kms:dsse", nil)
	case (o.KMSKeyID != "" || o.BucketKey) && !kms:
		return model.NewError(model.ErrInvalid, "Options.KMSKeyID and Options.BucketKey need Options.Encryption aws:kms", nil)
	case o.BucketKey && o.Encryption == dsse:
		return model.NewError(model.ErrInvalid, "Options.BucketKey: S3 has no bucket keys for the Options.Encryption aws:kms:dsse: leave one of them out", nil)
	case o.BucketOwner != "" && !isAccount(o.BucketOwner):
		return model.NewError(model.ErrInvalid, "Options.BucketOwner is not the id of an account, which has 12 digits", nil)
	}
	return nil
}

// dsse encrypts twice, each time with a key of its own.
const dsse = "aws:kms:dsse"

func isAccount(id string) bool {
	return len(id) == 12 && strings.Trim(id, "0123456789") == ""
}

// checkBucket accepts the names of general purpose buckets, and the aliases and
// ARNs of access points. It refuses directory buckets, which list in no order.
func checkBucket(name string) error {
	if isARN(name) {
		return checkARN(name)
	}
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

func isARN(bucket string) bool { return strings.HasPrefix(bucket, "arn:") }

// checkARN accepts the ARN of an access point in one region, such as
// arn:aws:s3:eu-west-1:123456789012:accesspoint/carts.
func checkARN(arn string) error {
	parts := strings.SplitN(arn, ":", 6)
	bad := func(why string) error { return model.NewError(model.ErrInvalid, why, nil) }
	if len(parts) != 6 || !strings.HasPrefix(parts[1], "aws") {
		return bad("the bucket's ARN is not of the form arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME")
	}
	name, point := strings.CutPrefix(strings.Replace(parts[5], ":", "/", 1), "accesspoint/")
	switch {
	case parts[2] == "s3" && point && parts[3] == "":
		return bad("a multi-Region access point reaches buckets that differ for a while: use the access point of one region")
	case parts[2] != "s3":
		return bad("the ARN is of the service " + strconv.Quote(parts[2]) + ": only access points of s3 itself have what a store needs")
	case !point || !isAccount(parts[4]) || name == "" || strings.ContainsAny(name, "/: "):
		return bad("the bucket's ARN is not of the form arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME")
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
