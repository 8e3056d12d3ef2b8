package mongo

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Page lists live records in the order of their ids: one find, by the index on
// _id or by that of the label, which ends with the ids. What cannot be read has
// no expiry or one of its own, so the filter says what is not wanted.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	if err := b.checkLabel(q.Label); err != nil {
		return driver.Page{}, err
	}
	if q.Limit < 1 {
		return driver.Page{}, model.NewError(model.ErrInvalid, "the limit is less than 1", nil)
	}
	after, err := b.parseToken(&q)
	if err != nil {
		return driver.Page{}, err
	}
	ctx, err = b.enter(ctx)
	if err != nil {
		return driver.Page{}, err
	}
	filter := bson.D{
		{Key: fieldID, Value: bson.D{{Key: "$gt", Value: after}}}, // strings alone, also behind the empty one
		{Key: fieldExpiry, Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$lte", Value: dateOf(now)}}}}},
	}
	hint := idKeys
	if q.Label != "" {
		filter = append(filter, bson.E{Key: labelField(q.Label), Value: q.Value})
		hint = labelKeys(q.Label)
	}
	projection := withValue
	if q.KeysOnly {
		projection = headOnly
	}
	limit := min(q.Limit, maxPage)
	cur, err := b.coll.Find(ctx, filter, options.Find().SetProjection(projection).SetSort(idKeys).SetHint(hint).
		SetLimit(int64(limit)).SetBatchSize(int32(limit)+1))
	if err != nil {
		return driver.Page{}, hintedFault(ctx, err)
	}
	// An answer ends early where the documents are large; so does the page.
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }()
	var page driver.Page
	n, last := 0, ""
	for (n == 0 || cur.RemainingBatchLength() > 0) && cur.Next(ctx) {
		n++
		last = storedID(cur.Current)
		switch rec, err := decode(cur.Current); {
		case err != nil:
			page.Corrupt = append(page.Corrupt, last)
		case !rec.Expired(now):
			page.Records = append(page.Records, rec)
		}
	}
	if err := cur.Err(); err != nil {
		return driver.Page{}, readFault(ctx, err)
	}
	if n > 0 && (n == limit || cur.ID() != 0) {
		page.Next = b.token(&q, last)
	}
	return page, nil
}

// maxPage bounds what one answer is asked for.
const maxPage = 10_000

func (b *Backend) checkLabel(name string) error {
	if name != "" && !slices.Contains(b.labels, name) {
		return model.NewError(model.ErrInvalid, "the label is not declared in Options.Labels", nil)
	}
	return nil
}

// Count counts on the server: without a label by the index on the expiry
// alone, with one by the documents that bear it.
func (b *Backend) Count(ctx context.Context, now time.Time, q driver.Query) (int, error) {
	if err := b.checkLabel(q.Label); err != nil {
		return 0, err
	}
	ctx, err := b.enter(ctx)
	if err != nil {
		return 0, err
	}
	filter := bson.D{{Key: fieldExpiry, Value: bson.D{{Key: "$gt", Value: dateOf(now)}}}}
	hint := expiryKeys
	if q.Label != "" {
		filter = append(filter, bson.E{Key: labelField(q.Label), Value: q.Value})
		hint = labelKeys(q.Label)
	}
	n, err := b.coll.CountDocuments(ctx, filter, options.Count().SetHint(hint))
	if err != nil {
		return 0, hintedFault(ctx, err)
	}
	return int(n), nil
}

// Tokens hold a version, the last id, and a checksum over that and what the
// listing is of.
const tokenVersion = 1

func (b *Backend) token(q *driver.Query, last string) string {
	raw := append([]byte{tokenVersion}, last...)
	raw = binary.BigEndian.AppendUint32(raw, b.tokenSum(q, raw))
	return base64.RawURLEncoding.EncodeToString(raw)
}

func (b *Backend) tokenSum(q *driver.Query, raw []byte) uint32 {
	sum := crc32.NewIEEE()
	for _, part := range []string{b.coll.Database().Name(), b.coll.Name(), q.Label, q.Value} {
		_, _ = sum.Write(append([]byte(part), 0))
	}
	_, _ = sum.Write(raw)
	return sum.Sum32()
}

func (b *Backend) parseToken(q *driver.Query) (after string, err error) {
	if q.After == "" {
		return "", nil
	}
	bad := model.NewError(model.ErrInvalid, "no page token of this listing", nil)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(q.After)
	if err != nil || len(raw) < 6 || raw[0] != tokenVersion {
		return "", bad
	}
	body, sum := raw[:len(raw)-4], raw[len(raw)-4:]
	if binary.BigEndian.Uint32(sum) != b.tokenSum(q, body) {
		return "", bad
	}
	return string(body[1:]), nil
}
