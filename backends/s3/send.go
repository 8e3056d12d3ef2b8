package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

// precondition is what must hold for a key, or else the server refuses the
// write. The zero value always holds.
type precondition struct {
	absent bool
	etag   string
	// waits has what the call has waited for, and gets what the write waits for.
	// Nothing is counted if it is nil.
	waits *driverkit.Waited
	// holds reports whether the decision for the write still holds. It is asked
	// once the write has a connection, unless it is nil.
	holds func(*driverkit.Waited) bool
}

// outcome is the result of a conditional write.
type outcome uint8

const (
	outcomeApplied  outcome = iota // the write was carried out
	outcomeMismatch                // an object with another ETag exists, or one exists that must not
	outcomeMissing                 // no object exists
)

// object returns the request that writes an object: a head and a value.
func (b *Backend) object(key string, head, value []byte) *awss3.PutObjectInput {
	in := &awss3.PutObjectInput{
		Bucket: &b.bucket, Key: aws.String(b.full(key)), Body: joined(head, value), ContentLength: aws.Int64(int64(len(head) + len(value))),
		ExpectedBucketOwner: b.owner(), RequestPayer: b.payer(), ServerSideEncryption: types.ServerSideEncryption(b.opts.Encryption),
	}
	if b.opts.KMSKeyID != "" {
		in.SSEKMSKeyId = &b.opts.KMSKeyID
	}
	if b.opts.BucketKey {
		in.BucketKeyEnabled = aws.Bool(true)
	}
	return in
}

// put writes an object, sending the request once, and returns its ETag. It does
// not copy the value.
func (b *Backend) put(ctx context.Context, key string, head, value []byte, c precondition) (string, outcome, error) {
	in := b.object(key, head, value)
	switch {
	case c.absent:
		in.IfNoneMatch = aws.String("*")
	case c.etag != "":
		in.IfMatch = &c.etag
	}
	etag := ""
	result, err := b.sendOnce(ctx, &c, func(opts ...func(*awss3.Options)) error {
		in.Body = joined(head, value)
		out, err := b.client.PutObject(ctx, in, opts...)
		if err == nil {
			etag = aws.ToString(out.ETag)
		}
		return err
	})
	if err == nil && result == outcomeApplied && etag == "" {
		return "", outcomeMismatch, model.NewError(model.ErrUnknown, "the server answered a write without an ETag: is it a server of S3?", nil)
	}
	return etag, result, err
}

// deleteIf deletes an object if it has the ETag. Some servers ignore the ETag:
// see Backend.deletes.
func (b *Backend) deleteIf(ctx context.Context, key string, c precondition) (outcome, error) {
	return b.sendOnce(ctx, &c, func(opts ...func(*awss3.Options)) error {
		_, err := b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{
			Bucket: &b.bucket, Key: aws.String(b.full(key)), IfMatch: &c.etag, ExpectedBucketOwner: b.owner(), RequestPayer: b.payer(),
		}, opts...)
		return err
	})
}

// errOptionsDropped matches the error of a write through a client that drops the
// option functions of a call.
var errOptionsDropped = errors.New("the client drops the option functions of a call")

// handed returns an error of the kind if the client answered a call without its
// option functions. They keep a write from being sent twice, and make an error
// within an answer one.
func handed(m *internalaws.Mark, kind error) error {
	if m.Handed.Load() {
		return nil
	}
	return model.NewError(kind, errOptionsDropped.Error()+": see the comment of API", errOptionsDropped)
}

// sendOnce carries out one write. It passes do options that turn off the SDK's
// resending and that mark how far the request came. If S3 refuses the write
// because other requests hold the object, sendOnce repeats it after a pause. A
// failed precondition is an outcome and not an error.
func (b *Backend) sendOnce(ctx context.Context, c *precondition, do func(...func(*awss3.Options)) error) (outcome, error) {
	waits := c.waits
	if waits == nil {
		waits = b.waited()
	}
	for attempt := 0; ; attempt++ {
		m := b.mark()
		m.Late = c.late(*waits)
		err := do(b.settings, onlyOnce(m), errorsInAnswers)
		waits.Add(m.Waited())
		if err == nil {
			return outcomeApplied, handed(m, model.ErrUnknown)
		}
		if errors.Is(err, errLate) {
			return outcomeMismatch, nil
		}
		switch codeOf(err) {
		case codePrecondition:
			return outcomeMismatch, nil
		case codeNoKey:
			return outcomeMissing, nil
		case codeConflict, codeAborted:
			if attempt+1 < writeAttempts {
				if err := waits.Pause(ctx, attempt); err != nil {
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
		o.Retryer = retryer{internalaws.Retryer{Retryer: o.Retryer, Refused: isRefused}}
		o.APIOptions = append(o.APIOptions, m.Watch)
	}
}

// retryer also repeats a write that the server refused because of its load with
// a code that the SDK does not know.
type retryer struct{ internalaws.Retryer }

func (r retryer) IsErrorRetryable(err error) bool {
	return isThrottled(err) || r.Retryer.IsErrorRetryable(err)
}

// putEntry writes an index entry. The client may repeat the request: no other
// write has this key, and readers ignore an entry until its record exists.
// It returns what the write waited for in this process.
func (b *Backend) putEntry(ctx context.Context, key string, body []byte) (time.Duration, error) {
	m, opts := b.mayRepeat(errorsInAnswers)
	_, err := b.client.PutObject(ctx, b.object(key, body, nil), opts...)
	if err == nil {
		return m.Waited(), handed(m, model.ErrUnsupported)
	}
	return m.Waited(), b.readError(ctx, err, m)
}

// mark returns the mark of a new request.
func (b *Backend) mark() *internalaws.Mark { return &internalaws.Mark{Stopwatch: b.watch} }

// errLate ends a write whose decision no longer holds once it may be sent.
var errLate = errors.New("the record has expired while the write waited")

// late returns what is asked before a write is sent by a call that has waited as
// long as before. It has a copy: a client may ask after the call has ended.
func (c *precondition) late(before driverkit.Waited) func(time.Duration) error {
	if c.holds == nil {
		return nil
	}
	return func(more time.Duration) error {
		w := before
		if w.Add(more); !c.holds(&w) {
			return errLate
		}
		return nil
	}
}

// mayRepeat returns the options of a request that the client may repeat, and the
// mark that says whether the client got to send it.
func (b *Backend) mayRepeat(more ...func(*awss3.Options)) (*internalaws.Mark, []func(*awss3.Options)) {
	m := b.mark()
	watch := func(o *awss3.Options) { o.APIOptions = append(o.APIOptions, m.Watch) }
	return m, append(more, b.settings, watch)
}

// maxKeys is the largest number of keys in one listing or one delete request.
const maxKeys = 1000

// deleteMany deletes objects without a condition, 1,000 with each request. The
// client may repeat the requests. It is for index entries, whose keys no other
// write has, and for whole stores. It goes on after objects that are refused.
func (b *Backend) deleteMany(ctx context.Context, keys []string) error {
	var refused error
	for part := range slices.Chunk(keys, maxKeys) {
		ids := make([]types.ObjectIdentifier, len(part))
		for i, key := range part {
			ids[i].Key = aws.String(b.full(key))
		}
		m, opts := b.mayRepeat(withMD5, errorsInAnswers)
		out, err := b.client.DeleteObjects(ctx, &awss3.DeleteObjectsInput{
			Bucket: &b.bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}, ExpectedBucketOwner: b.owner(), RequestPayer: b.payer(),
		}, opts...)
		if err != nil {
			return b.bucketError(ctx, err, m)
		}
		if err := handed(m, model.ErrUnsupported); err != nil {
			return err
		}
		for i := range out.Errors {
			if code := aws.ToString(out.Errors[i].Code); code != codeNoKey && refused == nil {
				refused = model.NewError(model.ErrUnavailable, "DeleteObjects: "+textOf(code, "an object was not deleted"), &smithy.GenericAPIError{Code: code})
			}
		}
	}
	return refused
}

// withMD5 adds an MD5 checksum to DeleteObjects: older servers require it, newer
// ones accept it.
func withMD5(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions, smithyhttp.AddContentChecksumMiddleware)
}

// joined returns a reader of two byte slices, one after the other, which it does
// not copy. The SDK reads it twice: for the signature, and to send it.
func joined(head, value []byte) io.ReadSeeker {
	if len(value) == 0 {
		return bytes.NewReader(head)
	}
	return &pair{head: head, value: value}
}

type pair struct {
	head, value []byte
	at          int64
}

func (p *pair) Read(to []byte) (int, error) {
	from := p.value
	at := p.at - int64(len(p.head))
	if at < 0 {
		from, at = p.head, p.at
	}
	if at >= int64(len(from)) {
		return 0, io.EOF
	}
	n := copy(to, from[at:])
	p.at += int64(n)
	return n, nil
}

func (p *pair) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.at
	case io.SeekEnd:
		offset += int64(len(p.head) + len(p.value))
	}
	if offset < 0 {
		return 0, errors.New("a seek before the start")
	}
	p.at = offset
	return offset, nil
}
