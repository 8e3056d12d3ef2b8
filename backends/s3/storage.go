package s3

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// marker is the content of a store's marker object.
type marker struct {
	Format int `json:"format"`
	// Server is the server's name when it was tested. The bucket may have been
	// copied to another server since then, which may have fewer features.
	Server string `json:"server"`
	// ConditionalDeletes says that the server obeys If-Match on deletes.
	ConditionalDeletes bool `json:"conditionalDeletes"`

	etag string
	here string // the server's present name
}

// markerAt returns the marker under the key, or nil if there is none. It
// returns ErrCorrupt for an object that is not the marker of a store.
func (b *Backend) markerAt(ctx context.Context, key string) (*marker, error) {
	o, err := b.get(ctx, key, 0)
	if err != nil || o == nil {
		return nil, err
	}
	m := &marker{etag: o.etag, here: o.server}
	if err := json.Unmarshal(o.body, m); err != nil || m.Format < 1 {
		return nil, driverkit.Corrupt("the object " + b.full(key) + " is not the marker of a store: another program made it")
	}
	return m, nil
}

// readMarker returns the store's marker, or nil if the store has none. It also
// returns ErrCorrupt for one of a newer layout.
func (b *Backend) readMarker(ctx context.Context) (*marker, error) {
	m, err := b.markerAt(ctx, markerName)
	if err == nil && m != nil && m.Format > version {
		return nil, driverkit.Corrupt("the store has a newer layout than this version reads")
	}
	return m, err
}

// canDelete reports whether the marker proves that this server has conditional
// deletes.
func (m *marker) canDelete() bool {
	return m != nil && m.ConditionalDeletes && m.Server != "" && m.Server == m.here
}

// deletes reports whether the server has conditional deletes. If not, records
// are replaced by tombstones, which work on every server. It reads the marker
// once.
func (b *Backend) deletes(ctx context.Context) bool {
	switch b.mode.Load() {
	case modeDeletes:
		return true
	case modeTombstones:
		return false
	}
	m, err := b.readMarker(ctx)
	if err != nil && !errors.Is(err, model.ErrCorrupt) {
		return false // the next call reads the marker again
	}
	b.remember(m)
	return m.canDelete()
}

// remember keeps what the marker says about the server.
func (b *Backend) remember(m *marker) {
	if m.canDelete() {
		b.mode.Store(modeDeletes)
	} else {
		b.mode.Store(modeTombstones)
	}
}

// The modes say what is known about deletes on the server.
const (
	modeUnknown int32 = iota
	modeDeletes
	modeTombstones
)

// CreateStorage creates the bucket, in the client's region, if it does not exist.
// It tests the server with small objects below the prefix and writes the result
// into PREFIX/store.json. It may be repeated. A bucket that exists stays as it
// is, with all its objects.
//
// CreateStorage returns ErrUnsupported if the server ignores If-None-Match or
// If-Match on writes. It returns ErrUnsupported for a bucket that keeps versions,
// unless Options.AllowVersioned is set or the permissions hide the versions. It
// returns ErrCorrupt for a store with a newer layout, and below a prefix with
// objects that belong to no store. It then writes nothing.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	m, err := b.readMarker(ctx)
	if errors.Is(err, errNoBucket) {
		m, err = nil, b.makeBucket(ctx)
	}
	if err == nil {
		err = b.checkVersioning(ctx)
	}
	if err == nil {
		err = b.checkPlace(ctx, m == nil)
	}
	if err != nil {
		return err
	}
	for range writeAttempts {
		if m.canDelete() {
			b.remember(m)
			return nil
		}
		found, err := b.probe(ctx)
		if err != nil {
			return err
		}
		if m != nil && m.Server == found.Server && m.ConditionalDeletes == found.ConditionalDeletes {
			b.remember(m)
			return nil
		}
		body, err := json.Marshal(found)
		if err != nil {
			return err
		}
		cond := precondition{absent: true}
		if m != nil {
			cond = precondition{etag: m.etag}
		}
		_, result, err := b.put(ctx, markerName, body, cond)
		if err != nil {
			return err
		}
		if result == outcomeApplied {
			found.here = found.Server
			b.remember(found)
			return nil
		}
		if m, err = b.readMarker(ctx); err != nil { // another node has written it
			return err
		}
	}
	return driverkit.Contended()
}

func (b *Backend) makeBucket(ctx context.Context) error {
	in := &awss3.CreateBucketInput{Bucket: &b.bucket}
	if region := b.client.Options().Region; region != "" && region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	_, err := b.client.CreateBucket(ctx, in, b.settings)
	if err != nil && codeOf(err) != codeOwned {
		return b.readError(ctx, err) // the request is idempotent
	}
	return nil
}

// checkVersioning returns ErrUnsupported for a bucket that keeps versions. It
// returns nil if the server does not tell.
func (b *Backend) checkVersioning(ctx context.Context) error {
	if b.allowVersioned {
		return nil
	}
	out, err := b.client.GetBucketVersioning(ctx, &awss3.GetBucketVersioningInput{Bucket: &b.bucket}, b.settings)
	switch code := codeOf(err); {
	case code == codeDenied, code == codeNotImplemented, code == "MethodNotAllowed":
		return nil
	case err != nil:
		return b.readError(ctx, err)
	case out.Status == types.BucketVersioningStatusEnabled:
		return model.NewError(model.ErrUnsupported, "the bucket "+b.bucket+" keeps versions, so removed records stay stored: set Options.AllowVersioned to accept it", nil)
	}
	return nil
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

// probe tests the server: conditions on writes, which a store needs, and
// conditions on deletes.
func (b *Backend) probe(ctx context.Context) (*marker, error) {
	key := probeDir + "/" + newStamp().String()
	defer func() {
		after, cancel := afterwards(ctx)
		defer cancel()
		_ = b.deleteMany(after, []string{key})
	}()
	etag, result, err := b.put(ctx, key, tombstone, precondition{absent: true})
	if codeOf(err) == codeNotImplemented {
		return nil, noConditions()
	}
	if err != nil {
		return nil, err
	}
	other := etagOf([]byte(key))
	wants := []struct {
		cond precondition
		want outcome
	}{{precondition{absent: true}, outcomeMismatch}, {precondition{etag: other}, outcomeMismatch}, {precondition{etag: etag}, outcomeApplied}}
	ok := result == outcomeApplied
	for _, w := range wants {
		if _, result, err = b.put(ctx, key, tombstone, w.cond); err != nil {
			return nil, err
		}
		ok = ok && result == w.want
	}
	if !ok {
		return nil, noConditions()
	}
	m := &marker{Format: version}
	if m.ConditionalDeletes, err = b.probeDeletes(ctx, key, etag, other); err != nil && model.Kind(err) != model.ErrUnavailable {
		return nil, err
	}
	// Every answer has the server's name.
	page, err := b.list(ctx, probeDir+"/", "", 1)
	m.Server = page.server
	return m, err
}

// probeDeletes reports whether the server obeys If-Match on deletes: it keeps the
// object under another ETag, deletes it under its own, and does not claim to
// delete a missing object.
func (b *Backend) probeDeletes(ctx context.Context, key, etag, other string) (bool, error) {
	for _, try := range []struct {
		etag    string
		applied bool
	}{{other, false}, {etag, true}, {etag, false}} {
		result, err := b.deleteIf(ctx, key, try.etag)
		if err != nil || (result == outcomeApplied) != try.applied {
			return false, err
		}
	}
	return true, nil
}

func noConditions() error {
	return model.NewError(model.ErrUnsupported, "the server does not obey If-None-Match and If-Match on writes", nil)
}
