package s3

import (
	"context"
	"encoding/json"
	"errors"

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
	// Probe is the version of the tests that the server has passed.
	Probe int `json:"probe,omitempty"`

	etag string
	here string // the server's present name
}

// markerAt returns the marker under the key, or nil if there is none. It
// returns ErrCorrupt for an object that is not the marker of a store.
func (b *Backend) markerAt(ctx context.Context, key string) (*marker, error) {
	o, err := b.get(ctx, key, 0, nil)
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
// once. The time of that is added to w, which is nil for a sweep (rule R100).
func (b *Backend) deletes(ctx context.Context, w *driverkit.Waited) bool {
	switch b.mode.Load() {
	case modeDeletes:
		return true
	case modeTombstones:
		return false
	}
	if w == nil {
		w = b.waited()
	}
	var m *marker
	err := w.During(func() (err error) {
		m, err = b.readMarker(ctx)
		return err
	})
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
// into PREFIX/store.json. It may be repeated, and tests again, except on AWS. A
// bucket that exists stays as it is, with all its objects.
//
// CreateStorage returns ErrUnsupported for what Check calls unsafe, and says what
// it has seen, what is needed and what to do. It returns ErrCorrupt for a store
// with a newer layout, and below a prefix with objects that belong to no store.
// It then writes nothing.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	m, err := b.readMarker(ctx)
	if errors.Is(err, errNoBucket) && !isARN(b.bucket) {
		m, err = nil, b.makeBucket(ctx)
	}
	if err == nil {
		err = b.checkPlace(ctx, m == nil)
	}
	for attempt := 0; err == nil && attempt < writeAttempts; attempt++ {
		checks, found, err := b.examine(ctx, m, &driverkit.Clock{})
		if err == nil {
			err = checks.Err()
		}
		if err == nil && b.opts.TombstoneRule && !found.ConditionalDeletes {
			err = b.addTombstoneRule(ctx)
		}
		if err != nil {
			return err
		}
		if m != nil && m.says(found) {
			b.remember(m)
			return nil
		}
		written, err := b.writeMarker(ctx, m, found)
		if err != nil || written {
			return err
		}
		if m, err = b.readMarker(ctx); err != nil { // another node has written it
			return err
		}
	}
	if err != nil {
		return err
	}
	return driverkit.Contended()
}

// says reports whether the marker has the result of these tests.
func (m *marker) says(found *marker) bool {
	return m.Server == found.Server && m.ConditionalDeletes == found.ConditionalDeletes && m.Probe >= found.Probe
}

// writeMarker replaces the marker, or writes the first one if m is nil. It
// reports false if another node was faster.
func (b *Backend) writeMarker(ctx context.Context, m, found *marker) (written bool, err error) {
	body, err := json.Marshal(found)
	if err != nil {
		return false, err
	}
	cond := precondition{absent: true}
	if m != nil {
		cond = precondition{etag: m.etag}
	}
	_, result, err := b.put(ctx, markerName, body, nil, cond)
	if err != nil || result != outcomeApplied {
		return false, err
	}
	found.here = found.Server
	b.remember(found)
	return true, nil
}

// makeBucket creates the bucket.
func (b *Backend) makeBucket(ctx context.Context) error {
	in := &awss3.CreateBucketInput{Bucket: &b.bucket}
	if region := b.clientOptions().Region; region != "" && region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	for attempt := 0; ; attempt++ {
		m, opts := b.mayRepeat()
		_, err := b.client.CreateBucket(ctx, in, opts...)
		switch code := codeOf(err); {
		case code == codeOwned:
			return nil
		case code != codeAborted && code != codeConflict:
			return b.readError(ctx, err, m) // the request is idempotent
		case attempt+1 == writeAttempts:
			return model.NewError(model.ErrUnavailable, code+": another request creates or deletes the bucket "+b.bucket+": call CreateStorage again in some minutes", err)
		}
		if err := driverkit.Pause(ctx, attempt); err != nil {
			return err
		}
	}
}
