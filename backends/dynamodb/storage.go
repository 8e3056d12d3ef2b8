package dynamodb

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// CreateStorage creates the table with its index by expiry, billed by request.
// It enables the table's TTL unless Options.GraceTTL is negative. It returns
// when the table is ready, about ten seconds later for a new table, or with the
// context's error.
//
// It keeps an existing table with its records, and adds the index or the TTL if
// the table lacks it. It returns ErrCorrupt, and changes nothing, for a table
// with other keys, with a TTL by another attribute, or with an item that is not
// the store's. It scans the table before it adds something, and else looks at
// the first hundred items, if it may.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	for made := false; !made; {
		table, err := b.settled(ctx)
		if err != nil {
			return err
		}
		if table == nil {
			_, err := b.client.CreateTable(ctx, b.definition())
			made = err == nil
			if err != nil && !busyTable(codeOf(err)) { // else another node is creating it
				return b.storageError(ctx, err)
			}
			continue
		}
		if err := b.checkTable(ctx, table); err != nil {
			return err
		}
		if !hasIndex(table) {
			if err := b.addIndex(ctx); err != nil {
				return err
			}
		}
		break
	}
	ready := func(t *types.TableDescription) bool { return t != nil && active(t) && hasIndex(t) }
	if err := b.awaitTable(ctx, ready); err != nil {
		return err
	}
	return b.enableTTL(ctx)
}

// settled returns the table once it is neither being created nor deleted, and
// nil if it does not exist.
func (b *Backend) settled(ctx context.Context) (table *types.TableDescription, err error) {
	err = b.awaitTable(ctx, func(t *types.TableDescription) bool {
		table = t
		return t == nil || t.TableStatus != types.TableStatusCreating && t.TableStatus != types.TableStatusDeleting
	})
	return table, err
}

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
		if err != nil {
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
	ownItem     = "(begins_with(#pk, :records) AND #sk = :record) OR begins_with(#pk, :label)"
	foreignItem = "NOT (" + ownItem + ")"
)

func keyValues() attributes {
	return attributes{":record": str(recordSort), ":label": str(labelPrefix)}
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

// describe returns the table, and nil if it does not exist.
func (b *Backend) describe(ctx context.Context) (*types.TableDescription, error) {
	out, err := b.client.DescribeTable(ctx, &awsdynamodb.DescribeTableInput{TableName: &b.table})
	switch {
	case err == nil:
		return out.Table, nil
	case missingTable(codeOf(err)):
		return nil, nil //nolint:nilnil // it does not exist
	}
	return nil, b.readError(ctx, err)
}

func (b *Backend) addIndex(ctx context.Context) error {
	d, index := b.definition(), indexDefinition()
	_, err := b.client.UpdateTable(ctx, &awsdynamodb.UpdateTableInput{
		TableName: &b.table, AttributeDefinitions: d.AttributeDefinitions,
		GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Create: &index}},
	})
	if err != nil && !busyTable(codeOf(err)) {
		return b.storageError(ctx, err)
	}
	return nil
}

// finalStates are the states that a table does not leave by itself.
var finalStates = []types.TableStatus{
	types.TableStatusInaccessibleEncryptionCredentials, types.TableStatusArchiving, types.TableStatusArchived,
}

// awaitTable waits until the table is as wanted, or the context ends.
func (b *Backend) awaitTable(ctx context.Context, wanted func(*types.TableDescription) bool) error {
	for attempt := 0; ; attempt++ {
		table, err := b.describe(ctx)
		if err != nil {
			return err
		}
		if wanted(table) {
			return nil
		}
		if table != nil && slices.Contains(finalStates, table.TableStatus) {
			return model.NewError(model.ErrUnavailable, "the table "+b.table+" is in the state "+string(table.TableStatus), nil)
		}
		if err := wait(ctx, attempt); err != nil {
			return err
		}
	}
}

// wait pauses before the next request: 20 milliseconds, doubled with each
// attempt up to a second. It returns the context's error if that ends first.
func wait(ctx context.Context, attempt int) error {
	return driverkit.Wait(ctx, min(20*time.Millisecond<<min(attempt, 6), time.Second))
}

// ttlAttribute returns the attribute by which the table's TTL is enabled, or
// nothing.
func (b *Backend) ttlAttribute(ctx context.Context) (string, error) {
	out, err := b.client.DescribeTimeToLive(ctx, &awsdynamodb.DescribeTimeToLiveInput{TableName: &b.table})
	if err != nil {
		return "", b.readError(ctx, err)
	}
	ttl := out.TimeToLiveDescription
	if ttl == nil || ttl.TimeToLiveStatus != types.TimeToLiveStatusEnabled && ttl.TimeToLiveStatus != types.TimeToLiveStatusEnabling {
		return "", nil
	}
	return aws.ToString(ttl.AttributeName), nil
}

// enableTTL enables the table's TTL, unless it is enabled.
func (b *Backend) enableTTL(ctx context.Context) error {
	if b.grace < 0 {
		return nil
	}
	switch name, err := b.ttlAttribute(ctx); {
	case err != nil, name == attrTTL:
		return err
	case name != "":
		return b.foreign("a TTL by the attribute "+strconv.Quote(name), "give the store a table of its own")
	}
	return b.setTTL(ctx, true, "already enabled") // by another node
}

// setTTL enables or disables the TTL by the store's attribute. Done is a part of
// the server's text if it is so already.
func (b *Backend) setTTL(ctx context.Context, enabled bool, done string) error {
	_, err := b.client.UpdateTimeToLive(ctx, &awsdynamodb.UpdateTimeToLiveInput{
		TableName:               &b.table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(attrTTL), Enabled: aws.Bool(enabled)},
	})
	if err == nil || busyTable(codeOf(err)) || strings.Contains(strings.ToLower(err.Error()), done) {
		return nil
	}
	return b.storageError(ctx, err)
}

// DeleteStorage deletes the table with all its records and returns when the
// table no longer exists. It returns nil if there is no table. It scans the
// table first.
//
// It returns ErrCorrupt and keeps the table if that has an item or an index that
// is not the store's: it then removes the records, the index by expiry and the
// TTL. A table with other keys, or without the index by expiry, stays as it is.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		table, err := b.settled(ctx)
		if err != nil || table == nil {
			return err
		}
		if err := b.checkSchema(table); err != nil {
			return err
		}
		what, err := b.look(ctx, 0)
		switch {
		case missingTable(codeOf(err)):
			return nil
		case err != nil:
			return b.readError(ctx, err)
		case what == "":
			what = otherIndex(table)
		}
		if what != "" {
			return b.removeOwn(ctx, table, what)
		}
		_, err = b.client.DeleteTable(ctx, &awsdynamodb.DeleteTableInput{TableName: &b.table})
		switch code := codeOf(err); {
		case err == nil:
			gone := func(t *types.TableDescription) bool { return t == nil }
			return b.awaitTable(ctx, gone)
		case missingTable(code):
			return nil
		case !busyTable(code):
			return b.storageError(ctx, err)
		}
		if err := wait(ctx, attempt); err != nil {
			return err
		}
	}
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
	if b.grace >= 0 {
		name, err := b.ttlAttribute(ctx)
		if err == nil && name == attrTTL {
			err = b.setTTL(ctx, false, "already disabled")
		}
		if err != nil {
			return err
		}
	}
	if err := b.removeItemsOfStore(ctx); err != nil {
		return err
	}
	_, err := b.client.UpdateTable(ctx, &awsdynamodb.UpdateTableInput{
		TableName: &b.table,
		GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{
			{Delete: &types.DeleteGlobalSecondaryIndexAction{IndexName: aws.String(indexName)}},
		},
	})
	if err != nil {
		return b.storageError(ctx, err)
	}
	if err := b.awaitTable(ctx, func(t *types.TableDescription) bool { return t == nil || !hasIndex(t) }); err != nil {
		return err
	}
	return b.foreign(what, "the records and the index "+indexName+" are removed, and the table stays")
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
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(in.ExclusiveStartKey) == 0 {
			return nil
		}
	}
}
