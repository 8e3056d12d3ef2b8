package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

// Backend keeps records in a bucket, below a prefix. It is safe for concurrent
// use. New returns one; the zero value is not usable.
type Backend struct {
	gate           *driverkit.Gate
	client         *awss3.Client
	bucket, prefix string
	grace          time.Duration // Options.StrayGrace
	ownChecksums   bool          // the client's checksum settings stay
	allowVersioned bool
	mode           atomic.Int32
	strays         youngStrays
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
	_ driver.Statter            = (*Backend)(nil)
)

// New returns a Backend for the store below the prefix of the bucket. A prefix
// is one or more names joined by slashes, such as "app/carts". Nil options mean
// the defaults. New does no I/O: CreateStorage creates the bucket and tests the
// server. The client stays the caller's.
//
// New returns ErrInvalid for a bucket name that S3 does not allow, an invalid
// prefix or option, or a nil client.
func New(client *awss3.Client, bucket, prefix string, opts *Options) (*Backend, error) {
	o, err := checkNew(client, bucket, prefix, opts)
	if err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	desc := driver.Description{Backend: backendName, Labels: o.Labels, MaxValue: o.MaxValue}
	return &Backend{
		gate: driverkit.NewGate(desc, bucket, prefix), client: client, bucket: bucket, prefix: prefix,
		grace: o.StrayGrace, ownChecksums: o.ClientChecksums, allowVersioned: o.AllowVersioned,
	}, nil
}

// checkNew checks the arguments of New and returns the options with their
// defaults.
func checkNew(client *awss3.Client, bucket, prefix string, opts *Options) (Options, error) {
	if client == nil {
		return Options{}, model.NewError(model.ErrInvalid, "the client is nil", nil)
	}
	if err := checkBucket(bucket); err != nil {
		return Options{}, err
	}
	if err := checkPrefix(prefix); err != nil {
		return Options{}, err
	}
	return opts.withDefaults()
}

const backendName = "s3"

// Describe returns the backend's name, labels and largest value.
func (b *Backend) Describe() driver.Description { return b.gate.Describe() }

// Ping returns nil if the bucket exists and the server answers. It reads the
// store's marker and needs the same permissions as Get.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	_, err := b.get(ctx, markerName, 0)
	return err
}

// Close makes every other method except Describe return ErrClosed. It closes
// the connections of a client that a URL created; other clients stay open.
func (b *Backend) Close() error { return b.gate.Close() }

// settings sets the options of every request.
func (b *Backend) settings(o *awss3.Options) {
	if b.ownChecksums {
		return
	}
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
}

// precondition is what must hold for a key, or else the server refuses the
// write. The zero value always holds.
type precondition struct {
	absent bool
	etag   string
}

// outcome is the result of a conditional write.
type outcome uint8

const (
	outcomeApplied  outcome = iota // the write was carried out
	outcomeMismatch                // an object with another ETag exists, or one exists that must not
	outcomeMissing                 // no object exists
)

// put writes an object, sending the request once, and returns its ETag.
func (b *Backend) put(ctx context.Context, key string, body []byte, c precondition) (string, outcome, error) {
	in := &awss3.PutObjectInput{
		Bucket: &b.bucket, Key: aws.String(b.full(key)), Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
	}
	switch {
	case c.absent:
		in.IfNoneMatch = aws.String("*")
	case c.etag != "":
		in.IfMatch = &c.etag
	}
	etag := ""
	result, err := b.sendOnce(ctx, func(ctx context.Context, opts ...func(*awss3.Options)) error {
		in.Body = bytes.NewReader(body)
		out, err := b.client.PutObject(ctx, in, opts...)
		if err == nil {
			etag = aws.ToString(out.ETag)
		}
		return err
	})
	return etag, result, err
}

// deleteIf deletes an object if it has the ETag. Some servers ignore the ETag:
// see Backend.deletes.
func (b *Backend) deleteIf(ctx context.Context, key, etag string) (outcome, error) {
	return b.sendOnce(ctx, func(ctx context.Context, opts ...func(*awss3.Options)) error {
		_, err := b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.bucket, Key: aws.String(b.full(key)), IfMatch: &etag}, opts...)
		return err
	})
}

// sendOnce carries out one write. It passes do options that turn off the SDK's
// resending and that mark how far the request came. If S3 refuses the write
// because other requests hold the object, sendOnce repeats it after a pause. A
// failed precondition is an outcome and not an error.
func (b *Backend) sendOnce(ctx context.Context, do func(context.Context, ...func(*awss3.Options)) error) (outcome, error) {
	for attempt := 0; ; attempt++ {
		m := &internalaws.Mark{}
		err := do(m.Trace(ctx), b.settings, onlyOnce(m), errorsInAnswers)
		if err == nil {
			return outcomeApplied, nil
		}
		switch codeOf(err) {
		case codePrecondition:
			return outcomeMismatch, nil
		case codeNoKey:
			return outcomeMissing, nil
		case codeConflict, codeAborted:
			if attempt+1 < writeAttempts {
				if err := driverkit.Pause(ctx, attempt); err != nil {
					return outcomeMismatch, err
				}
				continue
			}
		}
		return outcomeMismatch, b.writeError(ctx, err, m)
	}
}

// writeAttempts is how often a write is tried while other writers change the
// record: for about two seconds.
const writeAttempts = 40

// onlyOnce makes the SDK repeat a write only if the server certainly refused
// it.
func onlyOnce(m *internalaws.Mark) func(*awss3.Options) {
	return func(o *awss3.Options) {
		o.Retryer = internalaws.Retryer{Retryer: o.Retryer, Refused: isRefused}
		o.APIOptions = append(o.APIOptions, m.Watch)
	}
}

// putEntry writes an index entry. The client may repeat the request: no other
// write has this key, and readers ignore an entry until its record exists.
func (b *Backend) putEntry(ctx context.Context, key string, body []byte) error {
	_, err := b.client.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: &b.bucket, Key: aws.String(b.full(key)), Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
	}, b.settings, errorsInAnswers)
	if err != nil {
		return b.readError(ctx, err)
	}
	return nil
}

// errNoBucket matches the error of get and list if the bucket does not exist.
var errNoBucket = errors.New("the bucket does not exist")

// object is what get read of an object.
type object struct {
	etag   string
	total  int64  // size of the object in bytes
	body   []byte // its first bytes, or all
	server string // the server's name for itself
}

// get reads an object, or at least its first bytes if first is not zero. It
// returns nil if the object does not exist.
func (b *Backend) get(ctx context.Context, key string, first int) (*object, error) {
	in := &awss3.GetObjectInput{Bucket: &b.bucket, Key: aws.String(b.full(key))}
	if first > 0 {
		in.Range = aws.String("bytes=0-" + strconv.Itoa(first-1))
	}
	out, err := b.client.GetObject(ctx, in, b.settings)
	switch code := codeOf(err); {
	case err == nil:
	case code == codeNoKey:
		return nil, nil //nolint:nilnil // it does not exist
	case code == codeEmpty:
		return &object{}, nil
	default:
		return nil, b.bucketError(ctx, err)
	}
	defer func() { _ = out.Body.Close() }()
	o := &object{etag: aws.ToString(out.ETag), total: aws.ToInt64(out.ContentLength), server: responseHeader(out.ResultMetadata, "Server")}
	length := o.total
	if _, total, ok := strings.Cut(aws.ToString(out.ContentRange), "/"); ok {
		if o.total, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, model.NewError(model.ErrUnavailable, "the server sent an unexpected reply", nil)
		}
	}
	if first > 0 {
		length = min(length, int64(first)) // the server may ignore the range
	}
	if out.ContentLength == nil { // some proxies drop it
		o.body, err = io.ReadAll(io.LimitReader(out.Body, maxMaxValue+maxHead))
		o.total = int64(len(o.body))
	} else {
		o.body, err = readBody(out.Body, length)
	}
	if err != nil {
		return nil, b.readError(ctx, err)
	}
	return o, nil
}

// readBody reads length bytes. If they are not a record, it reads only the
// first bytes of a large object.
func readBody(from io.Reader, length int64) ([]byte, error) {
	begin := make([]byte, min(length, minHead))
	if _, err := io.ReadFull(from, begin); err != nil {
		return nil, err
	}
	if length <= minHead || length > maxHead && string(begin[:len(magic)]) != magic || length > maxMaxValue+maxHead {
		return begin, nil
	}
	out := make([]byte, length)
	_, err := io.ReadFull(from, out[copy(out, begin):])
	return out, err
}

// bucketError is readError, and matches errNoBucket if the bucket is missing.
func (b *Backend) bucketError(ctx context.Context, err error) error {
	out := b.readError(ctx, err)
	if codeOf(err) == codeNoBucket {
		return missingBucketError{out}
	}
	return out
}

type missingBucketError struct{ error }

func (e missingBucketError) Unwrap() error        { return e.error }
func (e missingBucketError) Is(target error) bool { return target == errNoBucket }

func responseHeader(md middleware.Metadata, name string) string {
	if r, ok := awsmiddleware.GetRawResponse(md).(*smithyhttp.Response); ok && r != nil {
		return r.Header.Get(name)
	}
	return ""
}

// listed is an object in a listing.
type listed struct {
	rest     string // its key without the folder
	etag     string
	size     int64
	modified time.Time // by the server's clock
}

// listing is one page of a folder's objects.
type listing struct {
	objects []listed
	more    bool
	now     time.Time // the server's clock; zero if the server does not send it
	server  string    // the server's name for itself
}

// maxKeys is the largest number of keys in one listing or one delete request.
const maxKeys = 1000

// list returns the objects of a folder after a name, in order of their keys.
func (b *Backend) list(ctx context.Context, dir, after string, limit int) (listing, error) {
	prefix := b.full(dir)
	in := &awss3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &prefix, MaxKeys: aws.Int32(int32(min(limit, maxKeys)))}
	if after != "" {
		in.StartAfter = aws.String(prefix + after)
	}
	out, err := b.client.ListObjectsV2(ctx, in, b.settings, errorsInAnswers)
	if err != nil {
		return listing{}, b.bucketError(ctx, err)
	}
	page := listing{more: aws.ToBool(out.IsTruncated), server: responseHeader(out.ResultMetadata, "Server")}
	if at, err := time.Parse(time.RFC1123, responseHeader(out.ResultMetadata, "Date")); err == nil {
		page.now = at
	}
	for _, o := range out.Contents {
		rest, ok := strings.CutPrefix(aws.ToString(o.Key), prefix)
		if ok {
			page.objects = append(page.objects, listed{rest, aws.ToString(o.ETag), aws.ToInt64(o.Size), aws.ToTime(o.LastModified)})
		}
	}
	if len(page.objects) == 0 {
		page.more = false
	}
	return page, nil
}

// deleteMany deletes objects without a condition, 1,000 with each request. The
// client may repeat the requests. It is for index entries, whose keys no other
// write has, and for whole stores.
func (b *Backend) deleteMany(ctx context.Context, keys []string) error {
	for part := range slices.Chunk(keys, maxKeys) {
		ids := make([]types.ObjectIdentifier, len(part))
		for i, key := range part {
			ids[i].Key = aws.String(b.full(key))
		}
		out, err := b.client.DeleteObjects(ctx, &awss3.DeleteObjectsInput{
			Bucket: &b.bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
		}, b.settings, withMD5, errorsInAnswers)
		if err != nil {
			return b.bucketError(ctx, err)
		}
		for _, e := range out.Errors {
			if code := aws.ToString(e.Code); code != codeNoKey {
				why, known := whyRefused(code)
				if !known {
					why = "an object was not deleted"
				}
				return model.NewError(model.ErrUnavailable, code+": "+why, nil)
			}
		}
	}
	return nil
}

// withMD5 adds an MD5 checksum to DeleteObjects: older servers require it, newer
// ones accept it.
func withMD5(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions, smithyhttp.AddContentChecksumMiddleware)
}

// parallelism is the largest number of concurrent requests of one call.
const parallelism = 16

// parallel runs do(0) to do(n-1), at most parallelism of them at a time, and
// returns when all have returned.
func parallel(n int, do func(i int)) { driverkit.Parallel(n, parallelism, do) }
