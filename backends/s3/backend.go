package s3

import (
	"context"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// API is what a Backend uses of a client: *s3.Client of the AWS SDK, or a
// wrapper around one that traces or measures.
//
// A wrapper hands the context and all option functions of a call to the SDK.
// They keep the SDK from sending a write twice. CreateStorage refuses a wrapper
// that drops them.
type API interface {
	PutObject(ctx context.Context, in *awss3.PutObjectInput, opts ...func(*awss3.Options)) (*awss3.PutObjectOutput, error)
	GetObject(ctx context.Context, in *awss3.GetObjectInput, opts ...func(*awss3.Options)) (*awss3.GetObjectOutput, error)
	DeleteObject(ctx context.Context, in *awss3.DeleteObjectInput, opts ...func(*awss3.Options)) (*awss3.DeleteObjectOutput, error)
	DeleteObjects(ctx context.Context, in *awss3.DeleteObjectsInput, opts ...func(*awss3.Options)) (*awss3.DeleteObjectsOutput, error)
	ListObjectsV2(ctx context.Context, in *awss3.ListObjectsV2Input, opts ...func(*awss3.Options)) (*awss3.ListObjectsV2Output, error)
	CreateBucket(ctx context.Context, in *awss3.CreateBucketInput, opts ...func(*awss3.Options)) (*awss3.CreateBucketOutput, error)
	GetBucketVersioning(ctx context.Context, in *awss3.GetBucketVersioningInput, opts ...func(*awss3.Options)) (*awss3.GetBucketVersioningOutput, error)
	GetBucketLifecycleConfiguration(ctx context.Context, in *awss3.GetBucketLifecycleConfigurationInput, opts ...func(*awss3.Options)) (*awss3.GetBucketLifecycleConfigurationOutput, error)
	PutBucketLifecycleConfiguration(ctx context.Context, in *awss3.PutBucketLifecycleConfigurationInput, opts ...func(*awss3.Options)) (*awss3.PutBucketLifecycleConfigurationOutput, error)
}

var _ API = (*awss3.Client)(nil)

// Backend keeps records in a bucket, below a prefix. It is safe for concurrent
// use. New returns one; the zero value is not usable.
type Backend struct {
	gate           *driverkit.Gate
	client         API
	bucket, prefix string
	opts           Options // with the defaults
	mode           atomic.Int32
	strays         youngStrays
	watch          func() time.Duration // the stopwatch for waits; nil: the system's
	passed         *marker              // what tests of the server have found before; nil: CreateStorage tests it
}

var (
	_ driver.ModelExpirySupport = (*Backend)(nil)
	_ driver.BatchGetter        = (*Backend)(nil)
	_ driver.BatchWriter        = (*Backend)(nil)
	_ driver.Counter            = (*Backend)(nil)
	_ driver.StorageManager     = (*Backend)(nil)
	_ driver.Checker            = (*Backend)(nil)
	_ driver.Pinger             = (*Backend)(nil)
	_ driver.Statter            = (*Backend)(nil)
)

// New returns a Backend for the store below the prefix of the bucket. The bucket
// is a name, or the alias or ARN of an access point. A prefix is one or more
// names joined by slashes, such as "app/carts". Nil options mean the defaults.
// New does no I/O: CreateStorage creates the bucket and tests the server. The
// client stays the caller's.
//
// New returns ErrInvalid for a bucket name that S3 does not allow, an invalid
// prefix or option, or a nil client.
func New(client API, bucket, prefix string, opts *Options) (*Backend, error) {
	o, err := checkNew(client, bucket, prefix, opts)
	if err != nil {
		return nil, driverkit.NewError(backendName, err)
	}
	desc := driver.Description{Backend: backendName, Labels: o.Labels, MaxValue: o.MaxValue}
	return &Backend{gate: driverkit.NewGate(desc, bucket, prefix), client: client, bucket: bucket, prefix: prefix, opts: o}, nil
}

// checkNew checks the arguments of New and returns the options with their
// defaults.
func checkNew(client API, bucket, prefix string, opts *Options) (Options, error) {
	if c, ok := client.(*awss3.Client); client == nil || ok && c == nil {
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
	_, err := b.get(ctx, markerName, 0, nil)
	return err
}

// Close makes every other method except Describe return ErrClosed. It closes
// the connections of a client that a URL created; other clients stay open.
func (b *Backend) Close() error { return b.gate.Close() }

// Client returns the client that the backend uses: the one that New was given,
// or the *s3.Client that the backend opened from a URL. Close closes the
// connections of the latter.
func (b *Backend) Client() API { return b.client }

// settings sets the options of every request.
func (b *Backend) settings(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions, signedAnswers)
	if b.opts.ClientChecksums {
		return
	}
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
}

// owner returns the account that must own the bucket, for every request.
func (b *Backend) owner() *string {
	if b.opts.BucketOwner == "" {
		return nil
	}
	return &b.opts.BucketOwner
}

// payer returns who pays, for every request that S3 bills to a requester.
func (b *Backend) payer() types.RequestPayer {
	if b.opts.RequesterPays {
		return types.RequestPayerRequester
	}
	return ""
}

// clientOptions returns the options of the SDK's client, or none for a wrapper
// that does not show them.
func (b *Backend) clientOptions() awss3.Options {
	if c, ok := b.client.(interface{ Options() awss3.Options }); ok {
		return c.Options()
	}
	return awss3.Options{}
}

// server names the server for errors: the host of the endpoint, if there is one.
func (b *Backend) server() string {
	if b.client != nil {
		if at := aws.ToString(b.clientOptions().BaseEndpoint); at != "" {
			if u, err := url.Parse(at); err == nil && u.Host != "" {
				return u.Host
			}
		}
	}
	return "S3"
}

// parallelism is the largest number of concurrent requests of one call.
const parallelism = 16

// parallel runs do(0) to do(n-1), at most parallelism of them at a time, and
// returns when all have returned.
func parallel(n int, do func(i int)) { driverkit.Parallel(n, parallelism, do) }

// waited returns what a call that begins now has waited for: nothing.
func (b *Backend) waited() *driverkit.Waited { return &driverkit.Waited{Watch: b.watch} }

// turns runs do as parallel does. Each item is a call of its own that has waited
// as long as before, and for its turn if it did not start at once.
func (b *Backend) turns(n int, before driverkit.Waited, do func(i int, w *driverkit.Waited)) {
	began := before.Read()
	parallel(n, func(i int) {
		w := before
		if i >= parallelism {
			w.Add(w.Read() - began)
		}
		do(i, &w)
	})
}

// parts are what a page or a count does one after another. Each part after the
// first has waited for those before it (rule R100).
type parts struct {
	first driverkit.Waited // what the call had waited for before them
	began time.Duration
	n     int
}

func partsOf(w *driverkit.Waited) *parts { return &parts{first: *w, began: w.Read()} }

// next returns what the call has waited for when its next part begins.
func (p *parts) next() *driverkit.Waited {
	if p.n++; p.n > 1 {
		return p.first.Since(p.began)
	}
	w := p.first
	return &w
}

// cleanPatience bounds how long a call whose context has ended cleans up.
const cleanPatience = 50 * time.Millisecond

// afterwards returns the context for cleaning up after a call: the call's own
// until that ends, and then a short one.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), cleanPatience)
}
