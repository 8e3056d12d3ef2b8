package s3

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// probeVersion is the version of the tests of a server.
const probeVersion = 2

// Check tests the server with small objects below the prefix, which it removes:
// conditions on writes that compete, the order of listings, and removals. It looks
// at versions, lifecycle rules, the server's clock, and objects of other programs.
// What the permissions or the server do not show is driver.CheckUnknown. It takes at
// most 75 requests.
func (b *Backend) Check(ctx context.Context) (driver.Checks, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	clock := driverkit.Clock{}
	checks, _, err := b.examine(ctx, nil, &clock)
	if err != nil {
		return checks, err
	}
	shared, err := b.shared(ctx)
	return append(checks, clock.Finding(), shared), err
}

// shared looks for another program's objects below the prefix.
func (b *Backend) shared(ctx context.Context) (driver.Finding, error) {
	const need = "a prefix of the store's own"
	key, err := b.look(ctx, "")
	seen := "no object of another program"
	if key != "" {
		seen = "the object " + strconv.Quote(key) + " of another program"
	}
	return driverkit.Finding("prefix", need, seen, key == "", driver.CheckUnsafe, "give the store a prefix of its own"), err
}

// examine makes all checks, and returns the marker for their result. It skips
// the tests of the server if the marker says that AWS has passed them: its
// features do not disappear. It reads the server's clock.
func (b *Backend) examine(ctx context.Context, m *marker, clock *driverkit.Clock) (driver.Checks, *marker, error) {
	versions, err := b.checkVersioning(ctx, clock)
	if err != nil {
		return nil, nil, err
	}
	checks, rules, seen, err := b.checkLifecycle(ctx)
	if err == nil && (!seen || versions.Level == driver.CheckUnknown) {
		err = b.askAnswers(ctx, &versions, checks, seen)
	}
	checks = append(checks, versions)
	if err != nil || checks.Err() != nil {
		return checks, nil, err
	}
	if m.canDelete() && m.Server == awsName && m.Probe >= probeVersion {
		return checks, m, nil
	}
	if b.passed != nil {
		found := *b.passed
		return checks, &found, nil
	}
	own := newStamp()
	t := &probe{b: b, ctx: ctx, stamp: own.String()}
	var found *marker
	err = b.testing(ctx, own, []string{t.key(0), t.key(1), t.key(2), t.key(3), t.key(witness)}, func() (err error) {
		found, err = t.run()
		return err
	})
	if codeOf(err) == codeNotImplemented {
		t.verdict("writes", false, "an answer "+codeNotImplemented, "the server writes objects")
		found, err = &marker{Format: version, Probe: probeVersion}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	checks = append(checks, t.checks...)
	if checks.Err() == nil && !found.ConditionalDeletes {
		checks = append(checks, b.tombstoneFinding(rules, seen))
	}
	return checks, found, nil
}

// awsName is how AWS names its server.
const awsName = "AmazonS3"

// unseen returns the finding for settings that the server does not show, or
// false for another error.
func unseen(name, need, permission string, err error) (driver.Finding, bool) {
	f := driver.Finding{Name: name, Level: driver.CheckUnknown, Need: need, Fix: "grant " + permission + " to see it"}
	switch code := codeOf(err); {
	case !isRefused(err) || isThrottled(err) || code == codeNoBucket:
		return f, false
	default:
		f.Seen = "an answer " + safeCode(code)
	}
	return f, true
}

// checkVersioning looks whether the bucket keeps versions.
func (b *Backend) checkVersioning(ctx context.Context, clock *driverkit.Clock) (driver.Finding, error) {
	const name, need = "versions", "a bucket that keeps no versions, since removed records stay stored in one that does"
	m, opts := b.mayRepeat()
	clock.Sent = time.Now()
	out, err := b.client.GetBucketVersioning(ctx, &awss3.GetBucketVersioningInput{Bucket: &b.bucket, ExpectedBucketOwner: b.owner()}, opts...)
	var refused *smithyhttp.ResponseError
	switch {
	case err == nil && out != nil:
		clock.ReadDate(responseHeader(out.ResultMetadata, "Date"))
	case errors.As(err, &refused) && refused.Response != nil:
		clock.ReadDate(refused.Response.Header.Get("Date"))
	}
	if err != nil {
		f, denied := unseen(name, need, "s3:GetBucketVersioning", err)
		if denied {
			return f, nil
		}
		return driver.Finding{}, b.bucketError(ctx, err, m)
	}
	f := driver.Finding{Name: name, Need: need}
	switch out.Status {
	case types.BucketVersioningStatusEnabled:
		b.keepsVersions(&f, "versions are kept in the bucket "+b.bucket)
	case types.BucketVersioningStatusSuspended:
		b.suspends(&f, "versions are suspended in the bucket "+b.bucket)
	default:
		f.Seen = "no versions are kept"
	}
	return f, nil
}

// keepsVersions makes the finding that of a bucket that keeps versions.
func (b *Backend) keepsVersions(f *driver.Finding, seen string) {
	f.Seen, f.Level = seen, driver.CheckUnsafe
	f.Fix = "use another bucket, or set Options.AllowVersioned and add the rule for versions that StoragePlan prints"
	if b.opts.AllowVersioned {
		f.Level = driver.CheckWarning
	}
}

// suspends makes the finding that of a bucket that kept versions before.
func (b *Backend) suspends(f *driver.Finding, seen string) {
	f.Seen, f.Level = seen+": those of before stay stored, and each delete leaves a marker", driver.CheckWarning
	f.Fix = "use another bucket, or add the rule for versions that StoragePlan prints"
}

// probe is one test of a server.
type probe struct {
	b      *Backend
	ctx    context.Context //nolint:containedctx // of one call
	stamp  string
	checks driver.Checks
}

// contenders is how many writes compete in a test.
const contenders = parallelism

// key returns the key of a test object.
func (t *probe) key(n int) string { return probeDir + "/" + t.name(n) }
func (t *probe) name(n int) string {
	if n == witness {
		return t.stamp + "=!"
	}
	return t.stamp + "=" + strconv.Itoa(n)
}

// body returns a text for a test object. Each has an ETag of its own.
func (t *probe) body(i int) []byte { return fmt.Appendf(nil, "%s %d", t.stamp, i) }

func (t *probe) note(name string, level driver.CheckLevel, seen, need, fix string) {
	f := driver.Finding{Name: name, Level: level, Seen: seen, Need: need}
	if level != driver.CheckRight {
		f.Fix = fix
	}
	t.checks = append(t.checks, f)
}

// verdict notes a property that a store cannot do without.
func (t *probe) verdict(name string, ok bool, seen, need string) {
	level := driver.CheckRight
	if !ok {
		level = driver.CheckUnsafe
	}
	t.note(name, level, seen, need, "use a server that has it: see the list in the comment of package s3")
}

// run makes the tests and returns the marker for their result. It stops at the
// first property that is missing.
func (t *probe) run() (*marker, error) {
	m := &marker{Format: version, Probe: probeVersion}
	if _, err := t.b.putEntry(t.ctx, t.key(witness), nil); err != nil {
		return m, err
	}
	for _, test := range []func() error{t.creates, t.updates, t.listings, t.bulkDeletes} {
		if err := test(); err != nil {
			return m, err
		}
		if t.checks.Err() != nil {
			return m, t.undisturbed()
		}
	}
	deletes, err := t.deletes()
	if err == nil && !deletes {
		err = t.undisturbed()
	}
	if err != nil {
		return m, err
	}
	m.ConditionalDeletes = deletes
	page, err := t.b.list(t.ctx, nil, probeDir+"/", "", 1) // every answer has the server's name
	m.Server = page.server
	return m, err
}

// witness is the test object that no test changes. Its name comes before the others', so
// that a DeleteStorage, which goes by the order of a listing, removes it first. Else a test
// could miss an object while the witness is still there, and call the server unsafe.
const witness = 4

// undisturbed returns ErrUnavailable if another node deletes the storage, and the
// test objects with it.
func (t *probe) undisturbed() error {
	o, err := t.b.get(t.ctx, t.key(witness), 0, nil)
	if err == nil && o == nil {
		err = model.NewError(model.ErrUnavailable, "the test objects are gone: another node deletes the storage: call CreateStorage again", nil)
	}
	return err
}

// testing makes a test with objects under the keys, and removes these. Before it
// writes an entry by expiry that names them, as a write does for its label entries:
// sweeps find by it what an interrupted test has left.
func (b *Backend) testing(ctx context.Context, s stamp, keys []string, test func() error) error {
	entry := dueKey(time.Now(), placeOf(s.String()).name, s)
	defer func() {
		b.cleanUp(ctx, keys)
		b.cleanUp(ctx, []string{entry}) // it leads to the others
	}()
	if _, err := b.putEntry(ctx, entry, lines(keys)); err != nil {
		return err
	}
	return test()
}

// cleanUp removes test objects, also on a server without DeleteObjects.
func (b *Backend) cleanUp(ctx context.Context, keys []string) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	if b.deleteMany(ctx, keys) == nil {
		return
	}
	parallel(len(keys), func(i int) {
		full := b.full(keys[i])
		_, opts := b.mayRepeat()
		_, _ = b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.bucket, Key: &full, ExpectedBucketOwner: b.owner()}, opts...)
	})
}

// compete lets writes compete for one object, of which one may win. It returns
// how many won, and the ETag of one that did. A server without the condition, and
// a client that drops options, are findings.
func (t *probe) compete(name string, send func(i int) (string, outcome, error)) (won int, etag string, err error) {
	results := make([]outcome, contenders)
	etags := make([]string, contenders)
	errs := make([]error, contenders)
	parallel(contenders, func(i int) { etags[i], results[i], errs[i] = send(i) })
	for i, err := range errs {
		switch code := codeOf(err); {
		case errors.Is(err, errOptionsDropped):
			t.note("client", driver.CheckUnsafe, errOptionsDropped.Error(), "a client that hands them to the SDK", "pass opts on in every method: see the comment of API")
			return 0, "", nil
		case code == codeNotImplemented || code == codeNotAllowed:
			t.verdict(name, false, "an answer "+code, "one of many writers wins")
			return 0, "", nil
		case err != nil:
			return 0, "", err
		case results[i] == outcomeApplied:
			won, etag = won+1, etags[i]
		}
	}
	return won, etag, nil
}

// creates tests If-None-Match.
func (t *probe) creates() error {
	const name = "conditional creates"
	won, _, err := t.compete(name, func(i int) (string, outcome, error) {
		return t.b.put(t.ctx, t.key(0), t.body(i), nil, precondition{absent: true})
	})
	if err != nil || t.checks.Err() != nil {
		return err
	}
	t.verdict(name, won == 1, fmt.Sprintf("of %d concurrent writes with If-None-Match %d succeeded", contenders, won), "exactly one succeeds")
	return nil
}

// updates tests If-Match, with an ETag that is in force and one that is not, and
// reads what was written.
func (t *probe) updates() error {
	const name = "conditional updates"
	o, err := t.b.get(t.ctx, t.key(0), 0, nil)
	if err != nil {
		return err
	}
	if o == nil {
		t.verdict("reads", false, "an object that was just written is missing", "a read returns the last write")
		return nil
	}
	_, stale, err := t.b.put(t.ctx, t.key(0), t.body(-1), nil, precondition{etag: etagOf([]byte(t.stamp))})
	if codeOf(err) == codeNotImplemented {
		t.verdict(name, false, "an answer "+codeNotImplemented, "one of many writers wins")
		return nil
	}
	if err != nil {
		return err
	}
	won, etag, err := t.compete(name, func(i int) (string, outcome, error) {
		return t.b.put(t.ctx, t.key(0), t.body(contenders+i), nil, precondition{etag: o.etag})
	})
	if err != nil || t.checks.Err() != nil {
		return err
	}
	t.verdict(name, won == 1 && stale == outcomeMismatch,
		fmt.Sprintf("of %d concurrent writes with If-Match %d succeeded, and with another ETag: %v", contenders, won, stale == outcomeApplied),
		"exactly one succeeds, and none with another ETag")
	if o, err = t.b.get(t.ctx, t.key(0), 0, nil); err != nil {
		return err
	}
	t.verdict("reads", o != nil && o.etag == etag, "a read after the last write", "a read returns the last write, with the ETag that the write returned")
	return nil
}

// listings tests the start, the length and the order of listings.
func (t *probe) listings() error {
	const name, need = "listings", "keys in rising order, from StartAfter on, with what was written last"
	errs := make([]error, 3)
	parallel(len(errs), func(i int) { _, errs[i] = t.b.putEntry(t.ctx, t.key(i+1), nil) })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	ok := true
	for _, one := range []struct {
		limit, want int
		more        bool
	}{{1, 1, true}, {maxKeys, 2, false}} {
		page, err := t.b.list(t.ctx, nil, probeDir+"/", t.name(1), one.limit)
		if errors.Is(err, errUnordered) {
			t.verdict(name, false, err.Error(), need)
			return nil
		}
		if err != nil {
			return err
		}
		own := 0
		for _, o := range page.objects {
			if own < one.want && o.rest == t.name(2+own) {
				own++
			}
		}
		ok = ok && own == one.want && page.objects[0].rest == t.name(2) && (!one.more || page.more && len(page.objects) == 1)
	}
	t.verdict(name, ok, "test objects listed from the second one on", need)
	return nil
}

// bulkDeletes tests DeleteObjects.
func (t *probe) bulkDeletes() error {
	const name, need = "bulk deletes", "DeleteObjects removes the objects"
	err := t.b.deleteMany(t.ctx, []string{t.key(1), t.key(2), t.key(3)})
	if isRefused(err) && !isThrottled(err) {
		t.note(name, driver.CheckUnsafe, err.Error(), need, "grant s3:DeleteObject, or use a server that has DeleteObjects")
		return nil
	}
	if err != nil {
		return err
	}
	o, err := t.b.get(t.ctx, t.key(1), 0, nil)
	t.verdict(name, o == nil, "DeleteObjects answered without an error", need)
	return err
}

// deletes tests If-Match on deletes: the server keeps the object under another
// ETag, lets one of many writes and deletes under its own win, and does not claim
// to delete a missing object. Without it tombstones take the place of records.
func (t *probe) deletes() (bool, error) {
	const name, need = "conditional deletes", "a delete with If-Match is exact; else each removed record leaves 64 bytes"
	ok, seen, err := t.tryDeletes()
	if err != nil {
		return false, err
	}
	level := driver.CheckRight
	if !ok {
		level = driver.CheckWarning
	}
	t.note(name, level, seen, need, "add the lifecycle rule that StoragePlan prints, or set Options.TombstoneRule")
	return ok, nil
}

func (t *probe) tryDeletes() (ok bool, seen string, err error) {
	key := t.key(0)
	etag, _, err := t.b.put(t.ctx, key, t.body(-2), nil, precondition{})
	if err != nil {
		return false, "", err
	}
	try := func(etag string) (outcome, error) {
		result, err := t.b.deleteIf(t.ctx, key, precondition{etag: etag})
		if codeOf(err) != "" && !isThrottled(err) {
			return outcomeApplied, nil // it does not have the condition, whatever it did
		}
		return result, err
	}
	if result, err := try(etagOf([]byte(t.stamp))); err != nil || result == outcomeApplied {
		return false, "a delete with another ETag is not refused by its condition", err
	}
	won, _, err := t.compete("conditional deletes", func(i int) (string, outcome, error) {
		if i%2 == 0 {
			result, err := try(etag)
			return "", result, err
		}
		return t.b.put(t.ctx, key, t.body(2*contenders+i), nil, precondition{etag: etag})
	})
	if err != nil || won != 1 {
		return false, fmt.Sprintf("of %d concurrent deletes and writes with If-Match %d succeeded", contenders, won), err
	}
	if o, err := t.b.get(t.ctx, key, 0, nil); err != nil || o != nil { // a write has won
		if err != nil {
			return false, "", err
		}
		if result, err := try(o.etag); err != nil || result != outcomeApplied {
			return false, "a delete with the object's ETag is refused", err
		}
	}
	if result, err := try(etag); err != nil || result == outcomeApplied {
		return false, "a delete of a missing object succeeds", err
	}
	return true, "deletes obey If-Match", nil
}
