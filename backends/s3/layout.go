package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// The folders of a store, below its prefix.
const (
	recordsDir = "r" // r/<name>
	dueDir     = "x" // x/<hour>/<ms>.<name>.<stamp>
	labelsDir  = "l" // l/<label>/<64 digits of the value's hash>/<name>.<stamp>
	probeDir   = "p" // p/<stamp>: test objects of CreateStorage
	markerName = "store.json"

	maxEscaped = 128 // bytes of a short id's escaped form; MinIO allows 255 in a segment

	plainPrefix  = "i-"
	hashedPrefix = "h-"
	hexDigits    = "0123456789abcdef"

	hourDigits  = 8
	milliDigits = 7
	hour        = int64(time.Hour / time.Millisecond)
)

// place is where the record of an id is kept.
type place struct {
	id   string // empty if only the name is known and the name is a hash
	name string
}

// placeOf returns the place of an id. Its name has no dots and no slashes, and
// no other id has it.
func placeOf(id string) place {
	if name, ok := escaped(id); ok {
		return place{id, name}
	}
	sum := sha256.Sum256([]byte(id))
	return place{id, hashedPrefix + hex.EncodeToString(sum[:])}
}

// placeOfName returns the place with the name. It reports false for a name that
// placeOf does not return: the object is foreign then.
func placeOfName(name string) (place, bool) {
	if digits, ok := strings.CutPrefix(name, hashedPrefix); ok {
		return place{name: name}, len(digits) == 2*sha256.Size && isHex(digits)
	}
	id, ok := unescaped(name)
	if !ok || model.CheckID(id) != nil {
		return place{}, false
	}
	p := placeOf(id)
	return p, p.name == name
}

// idOrName returns the id, or the name if only a hash of the id is known.
func (p *place) idOrName() string {
	if p.id != "" {
		return p.id
	}
	return p.name
}

// kept reports whether a byte is not escaped in a name.
func kept(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// escaped returns the name of a short id: bytes other than a-z A-Z 0-9 - _ become
// = and two digits. It reports false for a long id.
func escaped(id string) (string, bool) {
	if len(id) > maxEscaped {
		return "", false
	}
	name := driverkit.EscapeID(plainPrefix, id, kept)
	return name, len(name) <= maxEscaped+len(plainPrefix)
}

func unescaped(name string) (string, bool) { return driverkit.UnescapeID(plainPrefix, name, kept) }

func isHex(s string) bool {
	for i := range len(s) {
		if strings.IndexByte(hexDigits, s[i]) < 0 {
			return false
		}
	}
	return true
}

// recordKey returns the key of a record, without the prefix. All keys are
// without the prefix, except those that full returns.
func recordKey(name string) string { return recordsDir + "/" + name }

// full returns the whole key in the bucket.
func (b *Backend) full(key string) string { return b.prefix + "/" + key }

// labelFolder returns the folder with the entries of all records that bear the
// label. The value is hashed: it may be any string, and keys appear in access
// logs.
func labelFolder(name, value string) string {
	sum := sha256.Sum256([]byte(value))
	return labelsDir + "/" + name + "/" + hex.EncodeToString(sum[:]) + "/"
}

func labelKey(l *label, name string) string {
	return labelFolder(l.name, l.value) + entryName(name, l.stamp)
}

// entryName returns the name of an index entry. No two writes share an entry, so
// that removing one never affects another write.
func entryName(name string, s stamp) string { return name + "." + s.String() }

// afterEntries returns a name that sorts after all entries of the name and before
// the entries of the next one: no name has a dot.
func afterEntries(name string) string { return name + ".g" }

// parseEntry parses the name of an index entry.
func parseEntry(entry string) (p place, s stamp, ok bool) {
	name, digits, ok := strings.Cut(entry, ".")
	if !ok || !parseStamp(digits, &s) {
		return place{}, s, false
	}
	p, ok = placeOfName(name)
	return p, s, ok
}

func parseStamp(digits string, s *stamp) bool {
	if len(digits) != 2*len(s) || !isHex(digits) {
		return false
	}
	_, err := hex.Decode(s[:], []byte(digits))
	return err == nil
}

// dueKey returns the key of an entry in the index by expiry. The keys sort by
// time.
func dueKey(at time.Time, name string, s stamp) string {
	ms := at.UnixMilli()
	return dueDir + "/" + padded(ms/hour, hourDigits) + "/" + padded(ms%hour, milliDigits) + "." + entryName(name, s)
}

// parseDue parses a dueKey without its folder.
func parseDue(rest string) (at time.Time, p place, s stamp, ok bool) {
	hours, rest, ok1 := strings.Cut(rest, "/")
	millis, entry, ok2 := strings.Cut(rest, ".")
	h, ok3 := parsePadded(hours, hourDigits)
	ms, ok4 := parsePadded(millis, milliDigits)
	p, s, ok5 := parseEntry(entry)
	ok = ok1 && ok2 && ok3 && ok4 && ok5 && ms < hour
	return time.UnixMilli(h*hour + ms).UTC(), p, s, ok
}

func padded(n int64, digits int) string {
	s := strconv.FormatInt(n, 10)
	return strings.Repeat("0", max(0, digits-len(s))) + s
}

func parsePadded(s string, digits int) (int64, bool) {
	if len(s) != digits {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err == nil
}

// labelKeys returns the keys of the record's label entries.
func (h *head) labelKeys(name string) []string {
	keys := make([]string, 0, len(h.labels))
	for i := range h.labels {
		keys = append(keys, labelKey(&h.labels[i], name))
	}
	return keys
}

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

// readMarker returns the store's marker, or nil if the store has none.
func (b *Backend) readMarker(ctx context.Context) (*marker, error) {
	o, err := b.get(ctx, markerName, 0)
	if err != nil || o == nil {
		return nil, err
	}
	m := &marker{etag: o.etag, here: o.server}
	if err := json.Unmarshal(o.body, m); err != nil || m.Format < 1 {
		return nil, driverkit.Corrupt("the object " + b.full(markerName) + " is not the marker of a store")
	}
	if m.Format > version {
		return nil, driverkit.Corrupt("the store has a newer layout than this version reads")
	}
	return m, nil
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
// returns ErrCorrupt for a store with a newer layout.
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

// probe tests the server: conditions on writes, which a store needs, and
// conditions on deletes.
func (b *Backend) probe(ctx context.Context) (*marker, error) {
	key := probeDir + "/" + newStamp().String()
	defer func() {
		_ = b.deleteMany(context.WithoutCancel(ctx), []string{key})
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

// DeleteStorage deletes the store's own objects: the records, the index entries
// and then the marker. Foreign objects below the prefix stay. The bucket also
// stays, since another account could take its name. It may be repeated, also
// after an error.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	own := []struct {
		dir string
		is  func(rest string) bool
	}{
		{recordsDir, func(rest string) bool { _, ok := placeOfName(rest); return ok }},
		{dueDir, func(rest string) bool { _, _, _, ok := parseDue(rest); return ok }},
		{labelsDir, isLabelEntry},
		{probeDir, func(rest string) bool { var s stamp; return parseStamp(rest, &s) }},
	}
	for _, o := range own {
		err := b.deleteAll(ctx, o.dir+"/", o.is)
		if errors.Is(err, errNoBucket) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return b.deleteMany(ctx, []string{markerName})
}

// isLabelKey reports whether a key is a labelKey.
func isLabelKey(key string) bool {
	rest, ok := strings.CutPrefix(key, labelsDir+"/")
	return ok && isLabelEntry(rest)
}

// isLabelEntry reports whether rest is a labelKey without its folder.
func isLabelEntry(rest string) bool {
	parts := strings.Split(rest, "/")
	if len(parts) != 3 || model.CheckLabelName(parts[0]) != nil || len(parts[1]) != 2*sha256.Size || !isHex(parts[1]) {
		return false
	}
	_, _, ok := parseEntry(parts[2])
	return ok
}

// deleteAll deletes the objects of a folder whose names own accepts.
func (b *Backend) deleteAll(ctx context.Context, dir string, own func(rest string) bool) error {
	after := ""
	for {
		page, err := b.list(ctx, dir, after, maxKeys)
		if err != nil {
			return err
		}
		var keys []string
		for _, o := range page.objects {
			if own(o.rest) {
				keys = append(keys, dir+o.rest)
			}
			after = o.rest
		}
		if err := b.deleteMany(ctx, keys); err != nil {
			return err
		}
		if !page.more {
			return nil
		}
	}
}

// StoragePlan returns the commands of the AWS CLI that do what CreateStorage
// does, and the lifecycle rule that servers without conditional deletes need. It
// does no I/O.
func (b *Backend) StoragePlan() string {
	var s strings.Builder
	fmt.Fprintf(&s, "aws s3api create-bucket --bucket %s", b.bucket)
	if region := b.client.Options().Region; region != "" && region != "us-east-1" {
		fmt.Fprintf(&s, " \\\n  --create-bucket-configuration LocationConstraint=%s", region)
	}
	rules, _ := json.Marshal(map[string]any{"Rules": []any{map[string]any{ //nolint:errchkjson // only strings and numbers
		"ID": "sojourn-tombstones", "Status": "Enabled", "Expiration": map[string]any{"Days": 1},
		"Filter": map[string]any{"And": map[string]any{"Prefix": b.full(recordsDir + "/"), "ObjectSizeLessThan": minHead}},
	}}})
	fmt.Fprintf(&s, "\n# CreateStorage then tests the server and writes the result to %s.\n", b.full(markerName))
	s.WriteString("# If that says \"conditionalDeletes\":false, add this rule to the rules of the bucket:\n")
	fmt.Fprintf(&s, "aws s3api put-bucket-lifecycle-configuration --bucket %s \\\n  --lifecycle-configuration '%s'\n", b.bucket, rules)
	return s.String()
}
