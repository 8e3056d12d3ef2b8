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
	probeDir   = "p" // p/<stamp>: what CreateStorage tries the server with
	markerName = "store.json"

	maxEscaped = 128 // bytes of a short id's escaped form; MinIO allows 255 for a segment

	plainPrefix  = "i-"
	hashedPrefix = "h-"
	hexDigits    = "0123456789abcdef"

	hourDigits  = 8
	milliDigits = 7
	hour        = int64(time.Hour / time.Millisecond)
)

// place is where the record of an id is kept.
type place struct {
	id   string // empty where only the name is known and is a hash
	name string
}

// placeOf gives every id a name of its own, without dots and slashes.
func placeOf(id string) place {
	if name, ok := escaped(id); ok {
		return place{id, name}
	}
	sum := sha256.Sum256([]byte(id))
	return place{id, hashedPrefix + hex.EncodeToString(sum[:])}
}

// placeOfName is the inverse: false for a name that placeOf does not give, so
// for anything foreign.
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

// known is the id, or the name where the id is not known from it.
func (p *place) known() string {
	if p.id != "" {
		return p.id
	}
	return p.name
}

// kept says which bytes stand for themselves in a name.
func kept(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// escaped is the name of a short id: bytes other than a-z A-Z 0-9 - _ become =
// and two digits. It is false for a long one.
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

// recordKey is the key of a record below the prefix. So are all keys that have
// no full in their name.
func recordKey(name string) string { return recordsDir + "/" + name }

// full is the whole key in the bucket.
func (b *Backend) full(key string) string { return b.prefix + "/" + key }

// labelFolder has the entries of all that bear the label. The value is hashed,
// as any string is one, and keys end up in access logs.
func labelFolder(name, value string) string {
	sum := sha256.Sum256([]byte(value))
	return labelsDir + "/" + name + "/" + hex.EncodeToString(sum[:]) + "/"
}

func labelKey(l *label, name string) string {
	return labelFolder(l.name, l.value) + entryName(name, l.stamp)
}

// entryName is what an index entry is called: each write makes its own, so that
// who removes one never removes what another write relies on.
func entryName(name string, s stamp) string { return name + "." + s.String() }

// afterEntries is later in order than all entries of the name, and before those
// of any other: no name has a dot.
func afterEntries(name string) string { return name + ".g" }

// parseEntry reads an index entry's name.
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

// dueKey is the entry of the index by expiry. Its order is that of time.
func dueKey(at time.Time, name string, s stamp) string {
	ms := at.UnixMilli()
	return dueDir + "/" + padded(ms/hour, hourDigits) + "/" + padded(ms%hour, milliDigits) + "." + entryName(name, s)
}

// parseDue reads what follows the folder in a dueKey.
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

// labelKeys are the entries of all labels of a record.
func (h *head) labelKeys(name string) []string {
	keys := make([]string, 0, len(h.labels))
	for i := range h.labels {
		keys = append(keys, labelKey(&h.labels[i], name))
	}
	return keys
}

// marker says that a store is there, and what its server can do.
type marker struct {
	Format int `json:"format"`
	// Server is what the server called itself when it was tried. Another one,
	// to which a bucket was copied, may be able to do less.
	Server string `json:"server"`
	// ConditionalDeletes says that it heeds If-Match on deletes.
	ConditionalDeletes bool `json:"conditionalDeletes"`

	etag string
	here string // what the server calls itself now
}

// readMarker returns the store's marker; nil where there is none.
func (b *Backend) readMarker(ctx context.Context) (*marker, error) {
	o, err := b.get(ctx, markerName, 0)
	if err != nil || o == nil {
		return nil, err
	}
	m := &marker{etag: o.etag, here: o.server}
	if err := json.Unmarshal(o.body, m); err != nil || m.Format < 1 {
		return nil, corrupt("the object " + b.full(markerName) + " is no store's")
	}
	if m.Format > version {
		return nil, corrupt("the store has a newer layout than this version knows")
	}
	return m, nil
}

// canDelete reports whether the marker proves conditional deletes.
func (m *marker) canDelete() bool {
	return m != nil && m.ConditionalDeletes && m.Server != "" && m.Server == m.here
}

// deletes reports whether records may be deleted on a condition, or have to be
// replaced by tombstones. It reads the marker once. Tombstones are always right.
func (b *Backend) deletes(ctx context.Context) bool {
	switch b.mode.Load() {
	case modeDeletes:
		return true
	case modeTombstones:
		return false
	}
	m, err := b.readMarker(ctx)
	if err != nil && !errors.Is(err, model.ErrCorrupt) {
		return false // to be asked again
	}
	b.remember(m)
	return m.canDelete()
}

func (b *Backend) remember(m *marker) {
	if m.canDelete() {
		b.mode.Store(modeDeletes)
	} else {
		b.mode.Store(modeTombstones)
	}
}

// What is known of the server.
const (
	modeUnknown int32 = iota
	modeDeletes
	modeTombstones
)

// CreateStorage makes the bucket where there is none, in the client's region,
// tries what the server can do with small objects below the prefix, and writes
// what it found into PREFIX/store.json. It may be called again. A bucket that is
// there is kept as it is, with all that others have in it.
//
// ErrUnsupported for a server that ignores If-None-Match or If-Match on writes,
// and for a bucket that keeps versions, as far as the permissions let it be
// asked, without Options.AllowVersioned. ErrCorrupt for a store of a newer layout.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
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
		cond := condition{absent: true}
		if m != nil {
			cond = condition{etag: m.etag}
		}
		_, v, err := b.put(ctx, markerName, body, cond)
		if err != nil {
			return err
		}
		if v == held {
			found.here = found.Server
			b.remember(found)
			return nil
		}
		if m, err = b.readMarker(ctx); err != nil { // another node wrote it
			return err
		}
	}
	return contended()
}

func (b *Backend) makeBucket(ctx context.Context) error {
	in := &awss3.CreateBucketInput{Bucket: &b.bucket}
	if region := b.client.Options().Region; region != "" && region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	_, err := b.client.CreateBucket(ctx, in, b.settings)
	if err != nil && codeOf(err) != codeOwned {
		return b.readFault(ctx, err) // it is idempotent
	}
	return nil
}

// checkVersioning refuses a bucket that keeps versions, where it may be asked.
func (b *Backend) checkVersioning(ctx context.Context) error {
	if b.allowVersioned {
		return nil
	}
	out, err := b.client.GetBucketVersioning(ctx, &awss3.GetBucketVersioningInput{Bucket: &b.bucket}, b.settings)
	switch code := codeOf(err); {
	case code == codeDenied, code == codeNotImplemented, code == "MethodNotAllowed":
		return nil
	case err != nil:
		return b.readFault(ctx, err)
	case out.Status == types.BucketVersioningStatusEnabled:
		return model.NewError(model.ErrUnsupported, "the bucket "+b.bucket+" keeps versions, so that nothing would ever be removed: Options.AllowVersioned accepts it", nil)
	}
	return nil
}

// probe tries the server: two conditions on writes, without which nothing here
// is safe, and those on deletes.
func (b *Backend) probe(ctx context.Context) (*marker, error) {
	key := probeDir + "/" + newStamp().String()
	defer func() {
		_ = b.deleteMany(context.WithoutCancel(ctx), []string{key})
	}()
	etag, v, err := b.put(ctx, key, tombstone, condition{absent: true})
	if codeOf(err) == codeNotImplemented {
		return nil, noConditions()
	}
	if err != nil {
		return nil, err
	}
	other := etagOf([]byte(key))
	wants := []struct {
		cond condition
		want verdict
	}{{condition{absent: true}, failed}, {condition{etag: other}, failed}, {condition{etag: etag}, held}}
	ok := v == held
	for _, w := range wants {
		if _, v, err = b.put(ctx, key, tombstone, w.cond); err != nil {
			return nil, err
		}
		ok = ok && v == w.want
	}
	if !ok {
		return nil, noConditions()
	}
	m := &marker{Format: version}
	v, err = b.deleteIf(ctx, key, other)
	if err == nil && v != held {
		// A delete of what is not there must not say that it did it.
		if v, err = b.deleteIf(ctx, key, etag); err == nil && v == held {
			v, err = b.deleteIf(ctx, key, etag)
			m.ConditionalDeletes = err == nil && v != held
		}
	}
	if err != nil && model.Kind(err) != model.ErrUnavailable {
		return nil, err
	}
	if m.Server, err = b.serverName(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

func noConditions() error {
	return model.NewError(model.ErrUnsupported, "the server has no If-None-Match or If-Match on writes", nil)
}

// serverName is what the server calls itself.
func (b *Backend) serverName(ctx context.Context) (string, error) {
	page, err := b.list(ctx, probeDir+"/", "", 1)
	return page.server, err
}

// DeleteStorage deletes the store's own objects: records first, then what the
// indexes have, then the marker. Foreign objects below the prefix stay, and so
// does the bucket, whose name others could take. It may be called again, also
// after an error.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
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

func isLabelKey(key string) bool {
	rest, ok := strings.CutPrefix(key, labelsDir+"/")
	return ok && isLabelEntry(rest)
}

// isLabelEntry recognises what follows the folder in a labelKey.
func isLabelEntry(rest string) bool {
	parts := strings.Split(rest, "/")
	if len(parts) != 3 || model.CheckLabelName(parts[0]) != nil || len(parts[1]) != 2*sha256.Size || !isHex(parts[1]) {
		return false
	}
	_, _, ok := parseEntry(parts[2])
	return ok
}

// deleteAll deletes the objects of a folder whose names pass.
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

// StoragePlan returns what CreateStorage would make, as commands of the AWS
// CLI, and the lifecycle rule that servers without conditional deletes need. It
// does no I/O.
func (b *Backend) StoragePlan() string {
	var s strings.Builder
	fmt.Fprintf(&s, "aws s3api create-bucket --bucket %s", b.bucket)
	if region := b.client.Options().Region; region != "" && region != "us-east-1" {
		fmt.Fprintf(&s, " \\\n  --create-bucket-configuration LocationConstraint=%s", region)
	}
	rules, _ := json.Marshal(map[string]any{"Rules": []any{map[string]any{ //nolint:errchkjson // strings and numbers alone
		"ID": "sojourn-tombstones", "Status": "Enabled", "Expiration": map[string]any{"Days": 1},
		"Filter": map[string]any{"And": map[string]any{"Prefix": b.full(recordsDir + "/"), "ObjectSizeLessThan": minHead}},
	}}})
	fmt.Fprintf(&s, "\n# CreateStorage then tries what the server can do and writes it to %s.\n", b.full(markerName))
	s.WriteString("# Where that says \"conditionalDeletes\":false, add this rule to the bucket's others:\n")
	fmt.Fprintf(&s, "aws s3api put-bucket-lifecycle-configuration --bucket %s \\\n  --lifecycle-configuration '%s'\n", b.bucket, rules)
	return s.String()
}
