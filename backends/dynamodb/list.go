package dynamodb

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Page lists live records: by a consistent Scan, in the order of the table's
// hashes, or with a label by a consistent Query of its items, in the order of
// ids, and a BatchGetItem of their records.
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
	if err := b.enter(ctx); err != nil {
		return driver.Page{}, err
	}
	if q.Label != "" {
		return b.pageByLabel(ctx, now, &q, after)
	}
	var page driver.Page
	// A stretch without a record is passed over, up to a point.
	for range emptyScans {
		if after, err = b.scanPage(ctx, now, &q, after, &page); err != nil {
			return driver.Page{}, err
		}
		if after == nil || len(page.Records)+len(page.Corrupt) > 0 {
			break
		}
	}
	page.Next = b.token(&q, after)
	return page, nil
}

const (
	// emptyScans is how many stretches without a record one page passes over.
	emptyScans = 16
	// minScan is how many items a scan looks at, even for a smaller page.
	minScan = 32
)

func (b *Backend) checkLabel(label string) error {
	if label != "" && !slices.Contains(b.labels, label) {
		return model.NewError(model.ErrInvalid, "the label is not declared in Options.Labels", nil)
	}
	return nil
}

// scanRecords leaves label items out of a scan's answer.
const scanRecords = "begins_with(#pk, :records)"

// scanPage looks at as many items as the page may have records, and a few more
// for a small one, and returns the key to go on from; nil at the end.
func (b *Backend) scanPage(ctx context.Context, now time.Time, q *driver.Query, after attributes, page *driver.Page) (attributes, error) {
	names, projection := b.projection(q.KeysOnly)
	filterNames, values := fill(nil, scanRecords)
	if names == nil {
		names = filterNames
	}
	out, err := b.client.Scan(ctx, &awsdynamodb.ScanInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: after,
		Limit: aws.Int32(int32(max(min(q.Limit, maxScan), minScan))), FilterExpression: aws.String(scanRecords),
		ExpressionAttributeNames: names, ExpressionAttributeValues: values, ProjectionExpression: projection,
	})
	if err != nil {
		return nil, b.readFault(ctx, err)
	}
	for i, it := range out.Items {
		id, ok := idOf(it)
		if !ok {
			continue // of a key that no record has
		}
		switch rec, err := decode(id, it, q.KeysOnly); {
		case err != nil:
			page.Corrupt = append(page.Corrupt, id)
		case !rec.Expired(now):
			page.Records = append(page.Records, rec)
		}
		if len(page.Records) == q.Limit && (i+1 < len(out.Items) || len(out.LastEvaluatedKey) > 0) {
			return recordKey(id), nil
		}
	}
	if len(out.LastEvaluatedKey) == 0 {
		return nil, nil //nolint:nilnil // the end
	}
	return out.LastEvaluatedKey, nil
}

// maxScan keeps a limit within what the service takes.
const maxScan = 100_000

// pageByLabel reads the ids of a page and their records.
func (b *Backend) pageByLabel(ctx context.Context, now time.Time, q *driver.Query, after attributes) (driver.Page, error) {
	ids, next, err := b.bearers(ctx, q, after)
	if err != nil {
		return driver.Page{}, err
	}
	page := driver.Page{Next: b.token(q, next)}
	err = b.eachBearer(ctx, q, ids, func(id string, rec *model.Record) {
		switch {
		case rec == nil:
			page.Corrupt = append(page.Corrupt, id)
		case !rec.Expired(now):
			page.Records = append(page.Records, *rec)
		}
	})
	if err != nil {
		return driver.Page{}, err
	}
	return page, nil
}

// bearers reads ids from the items of a label, and the key to go on from; nil
// at the end.
func (b *Backend) bearers(ctx context.Context, q *driver.Query, after attributes) ([]string, attributes, error) {
	const query = "#pk = :label"
	names, values := fill(attributes{":label": str(labelPK(q.Label, q.Value))}, query+" #sk")
	out, err := b.client.Query(ctx, &awsdynamodb.QueryInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: after,
		Limit: aws.Int32(int32(min(q.Limit, maxScan))), KeyConditionExpression: aws.String(query),
		ExpressionAttributeNames: names, ExpressionAttributeValues: values, ProjectionExpression: aws.String("#sk"),
	})
	if err != nil {
		return nil, nil, b.readFault(ctx, err)
	}
	ids := make([]string, 0, len(out.Items))
	for _, it := range out.Items {
		if id, ok := stringOf(it[attrSK]); ok {
			ids = append(ids, id)
		}
	}
	if len(out.LastEvaluatedKey) == 0 {
		return ids, nil, nil
	}
	return ids, out.LastEvaluatedKey, nil
}

// eachBearer reads the records of the ids and shows those that bear the label,
// live or not, in order; nil for one that cannot be read. Items of the label
// without such a record are removed.
func (b *Backend) eachBearer(ctx context.Context, q *driver.Query, ids []string, show func(id string, rec *model.Record)) error {
	var strays []string
	for i, f := range b.fetch(ctx, ids, q.KeysOnly) {
		switch {
		case errors.Is(f.Err, model.ErrCorrupt):
			show(ids[i], nil)
		case errors.Is(f.Err, model.ErrNotFound), f.Err == nil && !q.Bears(&f.Record):
			strays = append(strays, ids[i])
		case f.Err != nil:
			return f.Err
		default:
			show(ids[i], &f.Record)
		}
	}
	if len(strays) > 0 {
		b.prune(ctx, q.Label, q.Value, strays)
	}
	return nil
}

// countPage is how many label items a count reads with one Query.
const countPage = 1000

// Count counts live records: by label it reads the label's items and the heads
// of their records, else it scans the table, whose cost grows with the store.
func (b *Backend) Count(ctx context.Context, now time.Time, query driver.Query) (int, error) {
	if err := b.checkLabel(query.Label); err != nil {
		return 0, err
	}
	if err := b.enter(ctx); err != nil {
		return 0, err
	}
	if query.Label == "" {
		return b.countAll(ctx, now)
	}
	n := 0
	q := driver.Query{Label: query.Label, Value: query.Value, Limit: countPage, KeysOnly: true}
	var after attributes
	for {
		ids, next, err := b.bearers(ctx, &q, after)
		if err != nil {
			return 0, err
		}
		err = b.eachBearer(ctx, &q, ids, func(_ string, rec *model.Record) {
			if rec != nil && !rec.Expired(now) {
				n++
			}
		})
		if err != nil || next == nil {
			return n, err
		}
		after = next
	}
}

func (b *Backend) countAll(ctx context.Context, now time.Time) (int, error) {
	const filter = scanRecords + " AND " + condShape + " AND " + condLive
	names, values := fill(attributes{":now": millis(now)}, filter)
	n := 0
	var after attributes
	for {
		out, err := b.client.Scan(ctx, &awsdynamodb.ScanInput{
			TableName: &b.table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: after, Select: types.SelectCount,
			FilterExpression: aws.String(filter), ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		})
		if err != nil {
			return 0, b.readFault(ctx, err)
		}
		n += int(out.Count)
		if after = out.LastEvaluatedKey; len(after) == 0 {
			return n, nil
		}
	}
}

// Tokens hold a version, the length of the partition key, both keys, and a
// checksum over that and what the listing is of.
const tokenVersion = 1

func (b *Backend) token(q *driver.Query, key attributes) string {
	if key == nil {
		return ""
	}
	pk, _ := stringOf(key[attrPK])
	sk, _ := stringOf(key[attrSK])
	raw := append([]byte{tokenVersion}, binary.BigEndian.AppendUint16(nil, uint16(len(pk)))...)
	raw = append(append(raw, pk...), sk...)
	raw = binary.BigEndian.AppendUint32(raw, b.tokenSum(q, raw))
	return base64.RawURLEncoding.EncodeToString(raw)
}

func (b *Backend) tokenSum(q *driver.Query, raw []byte) uint32 {
	sum := crc32.NewIEEE()
	for _, part := range []string{b.table, q.Label, q.Value} {
		_, _ = sum.Write(append([]byte(part), 0))
	}
	_, _ = sum.Write(raw)
	return sum.Sum32()
}

// parseToken is the key to go on from; nil for the beginning.
func (b *Backend) parseToken(q *driver.Query) (attributes, error) {
	if q.After == "" {
		return nil, nil //nolint:nilnil // the beginning
	}
	bad := model.NewError(model.ErrInvalid, "no page token of this listing", nil)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(q.After)
	if err != nil || len(raw) < 8 || raw[0] != tokenVersion {
		return nil, bad
	}
	body, sum := raw[:len(raw)-4], raw[len(raw)-4:]
	size := 3 + int(binary.BigEndian.Uint16(body[1:3]))
	if binary.BigEndian.Uint32(sum) != b.tokenSum(q, body) || size >= len(body) {
		return nil, bad
	}
	return itemKey(string(body[3:size]), string(body[size:])), nil
}
