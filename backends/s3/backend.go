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
// use; its zero value is not usable, New makes one.
type Backend struct {
	client         *awss3.Client
	bucket, prefix string
	labels         []string
	maxValue       int
	grace          time.Duration // of strays
	ownChecksums   bool          // the client's settings stay
	allowVersioned bool
	mode           atomic.Int32
	strays         seenStrays
	closed         atomic.Bool
	owned          io.Closer // the client's connections, where the backend made it
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
)

// New returns a Backend for the store below that prefix of the bucket; the
// client stays the caller's own. It does no I/O: CreateStorage makes the bucket
// and tries the server. A prefix is one or more names joined by slashes, such as
// "app/carts". Nil options are the defaults.
//
// ErrInvalid for a name that no bucket can have, an illegal prefix or option, or
// no client.
func New(client *awss3.Client, bucket, prefix string, opts *Options) (*Backend, error) {
	fail := func(err error) (*Backend, error) {
		return nil, &model.Error{Op: "New", Backend: backendName, Err: err}
	}
	if client == nil {
		return fail(model.NewError(model.ErrInvalid, "no client", nil))
	}
	if err := checkBucket(bucket); err != nil {
		return fail(err)
	}
	if err := checkPrefix(prefix); err != nil {
		return fail(err)
	}
	o, err := opts.withDefaults()
	if err != nil {
		return fail(err)
	}
	return &Backend{
		client: client, bucket: bucket, prefix: prefix, labels: o.Labels, maxValue: o.MaxValue,
		grace: o.StrayGrace, ownChecksums: o.ClientChecksums, allowVersioned: o.AllowVersioned,
	}, nil
}

const backendName = "s3"

// Describe returns what the backend is. It does no I/O.
func (b *Backend) Describe() driver.Description {
	return driver.Description{Backend: backendName, Labels: slices.Clone(b.labels), MaxValue: b.maxValue}
}

// Ping reads the store's marker: it needs no permission that Get does not, and
// fails where the bucket is missing.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	_, err := b.get(ctx, markerName, 0)
	return err
}

// Close makes every other method but Describe return ErrClosed. The client is
// the caller's own; where it was made of a URL, its connections are closed.
func (b *Backend) Close() error {
	if b.closed.Swap(true) || b.owned == nil {
		return nil
	}
	return b.owned.Close()
}

// enter is what every method checks before it sends anything.
func (b *Backend) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.closed.Load() {
		return model.ErrClosed
	}
	return nil
}

// settings are those of every request.
func (b *Backend) settings(o *awss3.Options) {
	if b.ownChecksums {
		return
	}
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
}

// condition is what must be true of a key for a write to happen; the zero one
// nothing.
type condition struct {
	absent bool
	etag   string
}

// verdict is what became of a conditional write.
type verdict uint8

const (
	held   verdict = iota // it was carried out
	failed                // there is another object, or one where none should be
	gone                  // there is none
)

// put writes an object once, and returns its ETag.
func (b *Backend) put(ctx context.Context, key string, body []byte, c condition) (string, verdict, error) {
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
	v, err := b.once(ctx, func(ctx context.Context, opts ...func(*awss3.Options)) error {
		in.Body = bytes.NewReader(body)
		out, err := b.client.PutObject(ctx, in, opts...)
		if err == nil {
			etag = aws.ToString(out.ETag)
		}
		return err
	})
	return etag, v, err
}

// deleteIf deletes an object that has that ETag, where the server heeds it.
func (b *Backend) deleteIf(ctx context.Context, key, etag string) (verdict, error) {
	return b.once(ctx, func(ctx context.Context, opts ...func(*awss3.Options)) error {
		_, err := b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.bucket, Key: aws.String(b.full(key)), IfMatch: &etag}, opts...)
		return err
	})
}

// once makes one write: do sends it with options that turn off the SDK's
// resending and mark how far the request came. Where other requests hold the
// object, S3 has refused the write, and it is sent again after a pause. A failed
// condition is no error but a verdict.
func (b *Backend) once(ctx context.Context, do func(context.Context, ...func(*awss3.Options)) error) (verdict, error) {
	for attempt := 0; ; attempt++ {
		m := &internalaws.Mark{}
		err := do(m.Trace(ctx), b.settings, sentOnce(m))
		if err == nil {
			return held, nil
		}
		switch codeOf(err) {
		case codeCondition:
			return failed, nil
		case codeNoKey:
			return gone, nil
		case codeConflict, codeAborted:
			if attempt+1 < writeAttempts {
				if err := driverkit.Pause(ctx, attempt); err != nil {
					return failed, err
				}
				continue
			}
		}
		return failed, b.writeFault(ctx, err, m)
	}
}

// writeAttempts bounds how often a write is tried while others get ahead of it:
// some two seconds.
const writeAttempts = 40

// sentOnce sets the options of a call that writes.
func sentOnce(m *internalaws.Mark) func(*awss3.Options) {
	return func(o *awss3.Options) {
		o.Retryer = internalaws.Retryer{Retryer: o.Retryer, Refused: refused}
		o.APIOptions = append(o.APIOptions, m.Watch)
	}
}

// putEntry writes an index entry. Its key is this write's own and nothing reads
// it before its record is there, so that the client may send it again.
func (b *Backend) putEntry(ctx context.Context, key string, body []byte) error {
	_, err := b.client.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: &b.bucket, Key: aws.String(b.full(key)), Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
	}, b.settings)
	if err != nil {
		return b.readFault(ctx, err)
	}
	return nil
}

// errNoBucket is what get and list return where there is no bucket.
var errNoBucket = errors.New("no bucket")

// object is what was read of one.
type object struct {
	etag   string
	total  int64  // bytes that it has
	body   []byte // from its beginning
	server string // what the server calls itself
}

// get reads an object, or its first bytes where first is not zero; nil where
// there is none.
func (b *Backend) get(ctx context.Context, key string, first int) (*object, error) {
	in := &awss3.GetObjectInput{Bucket: &b.bucket, Key: aws.String(b.full(key))}
	if first > 0 {
		in.Range = aws.String("bytes=0-" + strconv.Itoa(first-1))
	}
	out, err := b.client.GetObject(ctx, in, b.settings)
	switch code := codeOf(err); {
	case err == nil:
	case code == codeNoKey:
		return nil, nil //nolint:nilnil // there is none
	case code == codeEmpty:
		return &object{}, nil
	default:
		return nil, b.bucketFault(ctx, err)
	}
	defer func() { _ = out.Body.Close() }()
	o := &object{etag: aws.ToString(out.ETag), total: aws.ToInt64(out.ContentLength), server: responseHeader(out.ResultMetadata, "Server")}
	length := o.total
	if _, total, ok := strings.Cut(aws.ToString(out.ContentRange), "/"); ok {
		if o.total, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, model.NewError(model.ErrUnavailable, "no answer that S3 gives", nil)
		}
	}
	if first > 0 {
		length = min(length, int64(first)) // the server may not heed the range
	}
	if out.ContentLength == nil { // some proxies drop it
		o.body, err = io.ReadAll(io.LimitReader(out.Body, maxMaxValue+maxHead))
		o.total = int64(len(o.body))
	} else {
		o.body, err = readBody(out.Body, length)
	}
	if err != nil {
		return nil, b.readFault(ctx, err)
	}
	return o, nil
}

// readBody reads so many bytes. Of an object that is no record it reads the
// beginning alone, however large it is.
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

// bucketFault is readFault that lets a missing bucket be told apart.
func (b *Backend) bucketFault(ctx context.Context, err error) error {
	fault := b.readFault(ctx, err)
	if codeOf(err) == codeNoBucket {
		return missingBucketError{fault}
	}
	return fault
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

// listed is an object as a listing shows it.
type listed struct {
	rest     string // of its key, behind the folder
	etag     string
	size     int64
	modified time.Time // by the server's clock
}

// listing is a page of one.
type listing struct {
	objects []listed
	more    bool
	now     time.Time // the server's clock; zero where it does not tell
	server  string    // what it calls itself
}

// maxKeys is the most that S3 lists at once.
const maxKeys = 1000

// list reads what a folder has after a name, in order.
func (b *Backend) list(ctx context.Context, dir, after string, limit int) (listing, error) {
	prefix := b.full(dir)
	in := &awss3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &prefix, MaxKeys: aws.Int32(int32(min(limit, maxKeys)))}
	if after != "" {
		in.StartAfter = aws.String(prefix + after)
	}
	out, err := b.client.ListObjectsV2(ctx, in, b.settings)
	if err != nil {
		return listing{}, b.bucketFault(ctx, err)
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

// deleteMany deletes objects whatever they are, 1,000 with each request, as the
// client is configured to send it: index entries, whose keys are one write's
// own, and whole stores.
func (b *Backend) deleteMany(ctx context.Context, keys []string) error {
	for part := range slices.Chunk(keys, maxKeys) {
		ids := make([]types.ObjectIdentifier, len(part))
		for i, key := range part {
			ids[i].Key = aws.String(b.full(key))
		}
		out, err := b.client.DeleteObjects(ctx, &awss3.DeleteObjectsInput{
			Bucket: &b.bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
		}, b.settings, withMD5)
		if err != nil {
			return b.bucketFault(ctx, err)
		}
		for _, e := range out.Errors {
			if code := aws.ToString(e.Code); code != codeNoKey {
				why := refusals[code]
				if why == "" {
					why = "an object was not deleted"
				}
				return model.NewError(model.ErrUnavailable, code+": "+why, nil)
			}
		}
	}
	return nil
}

// withMD5 adds the checksum of old to DeleteObjects, which older servers insist
// on; newer ones take either.
func withMD5(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions, smithyhttp.AddContentChecksumMiddleware)
}

// parallelism is how many requests one call has under way at most.
const parallelism = 16

// parallel calls do for each of n numbers, some at once, and returns when all
// are done.
func parallel(n int, do func(i int)) { driverkit.Parallel(n, parallelism, do) }
