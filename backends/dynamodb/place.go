package dynamodb

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// foreign returns the ErrCorrupt for a table with something that this package
// did not make.
func (b *Backend) foreign(what, then string) error {
	return driverkit.Corrupt("the table " + b.table + " has what another program made: " + what + "; " + then)
}

// checkTable returns ErrCorrupt if the table is not the store's alone.
func (b *Backend) checkTable(ctx context.Context, table *types.TableDescription) error {
	if err := b.checkSchema(table); err != nil {
		return err
	}
	complete := hasIndex(table)
	if b.grace >= 0 {
		name, err := b.ttlAttribute(ctx)
		if err != nil && codeOf(err) != codeNoOperation {
			return err
		}
		if name != "" && name != attrTTL {
			return b.foreign("a TTL by the attribute "+strconv.Quote(name), "give the store a table of its own")
		}
		complete = complete && name == attrTTL
	}
	limit := 0
	if complete {
		limit = lookStep
	}
	what, err := b.look(ctx, limit)
	switch {
	case complete && codeOf(err) == codeDenied: // nothing will change
		return nil
	case err != nil:
		return b.readError(ctx, err)
	case what != "":
		return b.foreign(what, "give the store a table of its own")
	}
	return nil
}

// lookStep is the number of items that CreateStorage looks at in a table that
// lacks nothing.
const lookStep = 100

// The filters of the store's own items, which their keys tell, and of all
// others.
const (
	ownItem     = "(begins_with(#pk, :records) AND #sk = :record) OR begins_with(#pk, :label) OR begins_with(#pk, :other)"
	foreignItem = "NOT (" + ownItem + ")"
)

func keyValues() attributes {
	return attributes{":record": str(recordSort), ":label": str(labelPrefix), ":other": str(otherPrefix)}
}

// look returns a description of an item that is not the store's, or nothing. A
// limit above zero bounds the items that it looks at.
func (b *Backend) look(ctx context.Context, limit int) (string, error) {
	names, values := fill(keyValues(), foreignItem)
	in := &awsdynamodb.ScanInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), FilterExpression: aws.String(foreignItem),
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}
	if limit > 0 {
		in.Limit = aws.Int32(int32(limit))
	}
	for {
		out, err := b.client.Scan(ctx, in)
		switch {
		case err != nil:
			return "", err
		case len(out.Items) > 0:
			return attributesOf(out.Items[0]), nil
		case limit > 0 || len(out.LastEvaluatedKey) == 0:
			return "", nil
		case !movedOn(in.ExclusiveStartKey, out.LastEvaluatedKey):
			return "", badOrder()
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// maxNames bounds the names in a description of an item.
const maxNames = 8

// attributesOf describes an item by the names of its attributes, without a
// value.
func attributesOf(it attributes) string {
	names := slices.Sorted(maps.Keys(it))
	for i := range names {
		names[i] = strconv.Quote(names[i])
	}
	if len(names) > maxNames {
		names = append(names[:maxNames], "…")
	}
	return "an item with the attributes " + strings.Join(names, ", ")
}

// otherIndex describes an index that is not the store's, or returns nothing.
func otherIndex(t *types.TableDescription) string {
	for _, index := range t.GlobalSecondaryIndexes {
		if name := aws.ToString(index.IndexName); name != indexName {
			return "the index " + strconv.Quote(name)
		}
	}
	if len(t.LocalSecondaryIndexes) > 0 {
		return "the index " + strconv.Quote(aws.ToString(t.LocalSecondaryIndexes[0].IndexName))
	}
	return ""
}

// removeOwn removes the store from a table that stays, and returns ErrCorrupt
// with what else is in it. The TTL goes first, since it may remove the other
// items. A table without the index by expiry was never the store's.
func (b *Backend) removeOwn(ctx context.Context, table *types.TableDescription, what string) error {
	if !hasIndex(table) {
		return b.foreign(what, "the table stays as it is")
	}
	off := true // the TTL
	if b.grace >= 0 {
		name, err := b.ttlAttribute(ctx)
		if err == nil && name == attrTTL {
			off, err = b.setTTL(ctx, false, "already disabled")
		}
		if err != nil && codeOf(err) != codeNoOperation {
			return err
		}
	}
	if err := b.removeItemsOfStore(ctx); err != nil {
		return err
	}
	if !off { // the index tells the next call that the TTL is the store's
		return b.foreign(what, "the records are removed; the TTL by "+attrTTL+" and the index "+indexName+
			" are left, because DynamoDB changes a TTL once in an hour: call DeleteStorage again then")
	}
	if err := b.removeIndex(ctx); err != nil {
		return err
	}
	return b.foreign(what, "the records and the index "+indexName+" are removed, and the table stays")
}

// removeIndex removes the index by expiry and returns when it is gone. It waits
// while the table is busy.
func (b *Backend) removeIndex(ctx context.Context) error {
	asked := false
	return b.await(ctx, func() (bool, string, error) {
		var refused error
		if !asked {
			_, err := b.client.UpdateTable(ctx, &awsdynamodb.UpdateTableInput{
				TableName: &b.table,
				GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{
					{Delete: &types.DeleteGlobalSecondaryIndexAction{IndexName: aws.String(indexName)}},
				},
			})
			asked = err == nil
			refused = b.unlessBusy(ctx, err)
			if driverkit.Ended(ctx) != nil {
				return false, "", refused
			}
		}
		t, err := b.describe(ctx)
		switch {
		case err != nil:
			return false, "", err
		case t == nil || !hasIndex(t): // perhaps another node has removed it
			return true, "", nil
		}
		return false, "still has the index " + indexName, refused
	})
}

// removeItemsOfStore removes the records and label items, 16 at a time.
func (b *Backend) removeItemsOfStore(ctx context.Context) error {
	names, values := fill(keyValues(), ownItem)
	in := &awsdynamodb.ScanInput{
		TableName: &b.table, ConsistentRead: aws.Bool(true), FilterExpression: aws.String(ownItem),
		ProjectionExpression: aws.String("#pk, #sk"), ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}
	for {
		out, err := b.client.Scan(ctx, in)
		if err != nil {
			return b.readError(ctx, err)
		}
		errs := make([]error, len(out.Items))
		driverkit.Parallel(len(errs), parallelism, func(i int) {
			if errs[i] = ctx.Err(); errs[i] == nil {
				_, errs[i] = b.client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{TableName: &b.table, Key: out.Items[i]})
			}
		})
		for _, err := range errs {
			if err != nil {
				return b.storageError(ctx, err)
			}
		}
		if !movedOn(in.ExclusiveStartKey, out.LastEvaluatedKey) {
			return badOrder()
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(in.ExclusiveStartKey) == 0 {
			return nil
		}
	}
}
