package s3

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	internalaws "github.com/sojourn-go/sojourn/internal/aws"
	"github.com/sojourn-go/sojourn/model"
)

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
// returns nil if the object does not exist. With a turn it reads the body only
// if that is granted, and else returns errNoTurn.
func (b *Backend) get(ctx context.Context, key string, first int, t *turn) (*object, error) {
	in := &awss3.GetObjectInput{Bucket: &b.bucket, Key: aws.String(b.full(key)), ExpectedBucketOwner: b.owner(), RequestPayer: b.payer()}
	if first > 0 {
		in.Range = aws.String("bytes=0-" + strconv.Itoa(first-1))
	}
	m, opts := b.mayRepeat()
	out, err := b.client.GetObject(ctx, in, opts...)
	t.waited(m.Waited())
	switch code := codeOf(err); {
	case err == nil:
	case code == codeNoKey:
		return nil, nil //nolint:nilnil // it does not exist
	case code == codeEmpty:
		return &object{}, nil
	default:
		return nil, b.bucketError(ctx, err, m)
	}
	defer func() { _ = out.Body.Close() }()
	if err := handed(m, model.ErrUnsupported); err != nil {
		return nil, err
	}
	o := &object{etag: aws.ToString(out.ETag), total: aws.ToInt64(out.ContentLength), server: responseHeader(out.ResultMetadata, "Server")}
	if o.etag == "" {
		return nil, unexpected("an object without an ETag: is it a server of S3?")
	}
	length := o.total
	if _, total, ok := strings.Cut(aws.ToString(out.ContentRange), "/"); ok {
		if o.total, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, unexpected("a Content-Range without the object's size")
		}
	}
	if first > 0 {
		length = min(length, int64(first)) // the server may ignore the range
	}
	unsized := out.ContentLength == nil // some proxies drop it
	if !t.grant(length, unsized) {
		return nil, errNoTurn
	}
	if unsized {
		o.body, err = io.ReadAll(io.LimitReader(out.Body, maxMaxValue+maxHead))
		o.total = int64(len(o.body))
	} else {
		o.body, err = readBody(out.Body, length)
	}
	if err != nil {
		return nil, b.readError(ctx, err, m)
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

// unexpected returns the error for an answer that S3's protocol does not allow.
func unexpected(what string) error {
	return model.NewError(model.ErrUnavailable, "the server sent "+what, nil)
}

// budget shares the bytes that a page may hold among concurrent reads, in the
// order of the page. Each read learns the size of its object before the body. It
// waits until all reads before it have done so, and takes the body only if
// bytes are left then.
type budget struct {
	mu   sync.Mutex
	left int64
	// at has a channel for each read, which is closed once it may decide.
	at []chan struct{}
}

// turn is the place of one read in a budget. Without a budget, and if it is nil,
// a turn grants everything.
type turn struct {
	of    *budget
	i     int
	taken bool
	waits *driverkit.Waited // gets what the read waits for, if not nil
}

// waited counts a time for which the read has waited.
func (t *turn) waited(d time.Duration) {
	if t != nil && t.waits != nil {
		t.waits.Add(d)
	}
}

// errNoTurn is the error of a read that found the budget used up.
var errNoTurn = errors.New("the page is full")

func newBudget(reads int, bytes int64) *budget {
	b := &budget{left: bytes, at: make([]chan struct{}, reads+1)}
	for i := range b.at {
		b.at[i] = make(chan struct{})
	}
	close(b.at[0])
	return b
}

// turn returns the turn of a read. A nil budget grants everything.
func (b *budget) turn(i int) *turn { return &turn{of: b, i: i} }

// full reports whether a read before this one has used up the budget.
func (t *turn) full() bool {
	if t == nil || t.of == nil {
		return false
	}
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	return t.of.left <= 0
}

// grant takes the size off the budget, or all of it for an object of unknown
// size. It reports false if nothing was left.
func (t *turn) grant(size int64, unsized bool) bool {
	if t == nil || t.of == nil || t.taken {
		return true
	}
	t.taken = true
	<-t.of.at[t.i] // the reads before this one have begun, and all end
	defer close(t.of.at[t.i+1])
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.of.left <= 0 {
		return false
	}
	if t.of.left -= size; unsized {
		t.of.left = 0
	}
	return true
}

// end lets the reads after this one decide, if it found nothing to read.
func (t *turn) end() { t.grant(0, false) }

// bucketError is readError, and matches errNoBucket if the bucket is missing.
func (b *Backend) bucketError(ctx context.Context, err error, m *internalaws.Mark) error {
	out := b.readError(ctx, err, m)
	if err == nil {
		return nil
	}
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
	mangled string    // a key that the server could not express, or nothing
}

// list returns the objects of a folder after a name, in order of their keys. It
// returns an error if the server's keys do not rise: a listing would miss
// records or would not end. What it waits for is added to w, which may be nil.
func (b *Backend) list(ctx context.Context, w *driverkit.Waited, dir, after string, limit int) (listing, error) {
	prefix := b.full(dir)
	in := &awss3.ListObjectsV2Input{Prefix: &prefix, MaxKeys: aws.Int32(int32(min(limit, maxKeys)))}
	if after != "" {
		in.StartAfter = aws.String(prefix + after)
	}
	page := listing{}
	for {
		out, err := b.listOnce(ctx, w, in)
		if err != nil {
			return listing{}, err
		}
		page.more, page.server = aws.ToBool(out.IsTruncated), responseHeader(out.ResultMetadata, "Server")
		if at, err := time.Parse(time.RFC1123, responseHeader(out.ResultMetadata, "Date")); err == nil {
			page.now = at
		}
		last := after
		for i := range out.Contents {
			o := &out.Contents[i]
			rest, ok := strings.CutPrefix(aws.ToString(o.Key), prefix)
			switch {
			case !ok:
				return listing{}, unordered("a key outside the prefix of the listing")
			case strings.ContainsRune(rest, utf8.RuneError):
				// A server that does not escape keys puts this in the place of what XML
				// does not have. The key is foreign, and no place to go on from.
				page.mangled = rest
				continue
			case rest <= last && (rest != "" || i > 0 || after != ""):
				return listing{}, unordered("keys that do not rise")
			}
			last = rest
			page.objects = append(page.objects, listed{rest, aws.ToString(o.ETag), aws.ToInt64(o.Size), aws.ToTime(o.LastModified)})
		}
		if len(page.objects) > 0 || !page.more {
			return page, nil
		}
		// A server may look at many keys and list none of them.
		next := aws.ToString(out.NextContinuationToken)
		if next == "" || next == aws.ToString(in.ContinuationToken) {
			return listing{}, unordered("a part of a listing without keys and without a way to go on")
		}
		in.ContinuationToken = &next
	}
}

// listOnce sends one ListObjectsV2. It returns keys as they are: on the wire they
// are escaped, since XML has no form for some characters that a key may have.
func (b *Backend) listOnce(ctx context.Context, w *driverkit.Waited, in *awss3.ListObjectsV2Input) (*awss3.ListObjectsV2Output, error) {
	in.Bucket, in.EncodingType, in.ExpectedBucketOwner, in.RequestPayer = &b.bucket, types.EncodingTypeUrl, b.owner(), b.payer()
	m, opts := b.mayRepeat(errorsInAnswers)
	out, err := b.client.ListObjectsV2(ctx, in, opts...)
	if w != nil {
		w.Add(m.Waited())
	}
	if err != nil {
		return nil, b.bucketError(ctx, err, m)
	}
	if err := handed(m, model.ErrUnsupported); err != nil {
		return nil, err
	}
	if out.EncodingType != types.EncodingTypeUrl {
		return out, nil
	}
	for i := range out.Contents {
		if out.Contents[i].Key, err = plainKey(out.Contents[i].Key); err != nil {
			return nil, err
		}
	}
	for i := range out.CommonPrefixes {
		if out.CommonPrefixes[i].Prefix, err = plainKey(out.CommonPrefixes[i].Prefix); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func plainKey(key *string) (*string, error) {
	plain, err := url.QueryUnescape(aws.ToString(key))
	if err != nil {
		return nil, unexpected("a key that is not escaped as it says")
	}
	return &plain, nil
}

// errUnordered matches the errors of listings that break S3's rules.
var errUnordered = errors.New("the listing breaks the rules of S3")

func unordered(what string) error {
	return model.NewError(model.ErrUnsupported, "the server lists "+what+": a store would lose records there, see the servers in the comment of package s3", errUnordered)
}
