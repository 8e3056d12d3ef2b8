package dynamodb

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// CreateStorage creates the table with its index by expiry, billed by request.
// It enables the table's TTL unless Options.GraceTTL is negative, and what else
// the Options say. It returns when the table is ready, about ten seconds later
// for a new table, or with the context's error. It waits for half an hour at
// most, and then returns ErrUnavailable with the table's state.
//
// It keeps an existing table with its records, and adds the index or the TTL if
// the table lacks it. It waits while the table is busy. DynamoDB changes a TTL
// once in an hour: if that has been, the TTL stays off until the next
// CreateStorage, and Check says so. It returns ErrCorrupt, and changes nothing, for a table
// with other keys, with a TTL by another attribute, or with an item that is not
// the store's. It scans the table before it adds something, and else looks at
// the first hundred items, if it may.
//
// At the end it makes the checks of Check, and returns ErrUnsupported with what
// was found. A Backend tries the server once.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	checked := false
	var table *types.TableDescription
	err := b.await(ctx, func() (ready bool, state string, err error) {
		if table, err = b.describe(ctx); err != nil {
			return false, "", err
		}
		switch {
		case table == nil: // or another node is creating or deleting it
			checked = false
			_, err := b.client.CreateTable(ctx, b.definition())
			return false, "does not exist yet", b.unlessBusy(ctx, err)
		case table.TableStatus == types.TableStatusCreating || table.TableStatus == types.TableStatusDeleting:
			return false, stateOf(table), nil
		case !checked:
			if err := b.checkTable(ctx, table); err != nil {
				return false, "", err
			}
			checked = true
		}
		if !hasIndex(table) {
			return false, "lacks the index " + indexName, b.addIndex(ctx, table)
		}
		return active(table), stateOf(table), nil
	})
	if err != nil {
		return err
	}
	return b.settings(ctx, table)
}

// settings puts the settings of a table that is ready in force, and makes the
// checks.
func (b *Backend) settings(ctx context.Context, table *types.TableDescription) error {
	copies, err := b.replicated(ctx, table)
	if err == nil {
		err = copies.Err()
	}
	if err != nil {
		return err // such a table has no TTL
	}
	if err := b.fixPartitions(ctx); err != nil {
		return err
	}
	if err := b.enableTTL(ctx); err != nil {
		return err
	}
	if b.opts.DeletionProtection {
		if err := b.protect(ctx, table); err != nil {
			return err
		}
	}
	if b.opts.PointInTimeRecovery {
		if err := b.enableRecovery(ctx); err != nil {
			return err
		}
	}
	checks, err := b.settled(ctx, &driverkit.Clock{})
	if err != nil {
		return err
	}
	if !b.tried.Load() {
		tried, err := b.try(ctx)
		if err != nil {
			return err
		}
		checks = append(checks, tried...)
	}
	err = checks.Err()
	b.tried.Store(b.tried.Load() || err == nil)
	return err
}

// unlessBusy returns the error of a change to the table, and nil if another
// node is changing it.
func (b *Backend) unlessBusy(ctx context.Context, err error) error {
	if err == nil || busyTable(codeOf(err)) {
		return nil
	}
	return b.storageError(ctx, err)
}

// protect switches deletion protection on, unless it is on. It waits while the
// table is busy: meanwhile, another node may do the same.
func (b *Backend) protect(ctx context.Context, table *types.TableDescription) error {
	return b.await(ctx, func() (bool, string, error) {
		if table != nil && aws.ToBool(table.DeletionProtectionEnabled) {
			return true, "", nil
		}
		_, err := b.client.UpdateTable(ctx, &awsdynamodb.UpdateTableInput{TableName: &b.table, DeletionProtectionEnabled: aws.Bool(true)})
		busy := busyTable(codeOf(err))
		if err = b.unlessBusy(ctx, err); busy {
			table, err = b.describe(ctx)
		}
		return err == nil && !busy, "is busy, and has no deletion protection yet", err
	})
}

// stateOf describes a table that is not ready.
func stateOf(t *types.TableDescription) string {
	for _, index := range t.GlobalSecondaryIndexes {
		if aws.ToString(index.IndexName) == indexName && index.IndexStatus != types.IndexStatusActive {
			return "is " + string(t.TableStatus) + " and its index " + indexName + " is " + string(index.IndexStatus)
		}
	}
	return "is " + string(t.TableStatus)
}

// describe returns the table, and nil if it does not exist. It returns
// ErrUnavailable for a table in a state that it does not leave by itself.
func (b *Backend) describe(ctx context.Context) (*types.TableDescription, error) {
	return b.describeAt(ctx, &driverkit.Clock{})
}

// describeAt also reads the server's clock.
func (b *Backend) describeAt(ctx context.Context, clock *driverkit.Clock) (*types.TableDescription, error) {
	clock.Sent = time.Now()
	out, err := b.client.DescribeTable(ctx, &awsdynamodb.DescribeTableInput{TableName: &b.table})
	if out != nil {
		if r, ok := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response); ok && r != nil {
			clock.ReadDate(r.Header.Get("Date"))
		}
	}
	switch {
	case err == nil && (out == nil || out.Table == nil):
		return nil, model.NewError(model.ErrUnavailable, "the server does not describe the table "+b.table, nil)
	case err == nil && slices.Contains(finalStates, out.Table.TableStatus):
		return nil, model.NewError(model.ErrUnavailable, "the table "+b.table+" is in the state "+string(out.Table.TableStatus)+
			", which it does not leave by itself: give it back its key or its replicas, or restore it from its backup", nil)
	case err == nil:
		return out.Table, nil
	case missingTable(codeOf(err)):
		return nil, nil //nolint:nilnil // it does not exist
	}
	return nil, b.readError(ctx, err)
}

// finalStates are the states that a table does not leave by itself.
var finalStates = []types.TableStatus{
	types.TableStatusInaccessibleEncryptionCredentials, types.TableStatusArchiving, types.TableStatusArchived,
	types.TableStatusReplicationNotAuthorized,
}

// busyStates are those of a table that is being changed.
var busyStates = []types.TableStatus{types.TableStatusCreating, types.TableStatusUpdating, types.TableStatusDeleting}

// addIndex adds the index by expiry, with the throughput of a table that is
// billed for it.
func (b *Backend) addIndex(ctx context.Context, table *types.TableDescription) error {
	d, index := b.definition(), indexDefinition()
	if p := provisioned(table); p != nil {
		index.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: p.ReadCapacityUnits, WriteCapacityUnits: p.WriteCapacityUnits}
	}
	_, err := b.client.UpdateTable(ctx, &awsdynamodb.UpdateTableInput{
		TableName: &b.table, AttributeDefinitions: d.AttributeDefinitions,
		GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Create: &index}},
	})
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == codeValidation && hasOneOf(api.ErrorMessage(), textsIndexed) {
		return nil // another node was first, or DescribeTable is late
	}
	return b.unlessBusy(ctx, err)
}

// provisioned returns the throughput of a table that is billed for it, else
// nil. A table that was always billed so has no summary of its billing.
func provisioned(t *types.TableDescription) *types.ProvisionedThroughputDescription {
	if t.BillingModeSummary != nil && t.BillingModeSummary.BillingMode == types.BillingModePayPerRequest {
		return nil
	}
	if p := t.ProvisionedThroughput; p != nil && aws.ToInt64(p.WriteCapacityUnits) > 0 {
		return p
	}
	return nil
}

// maxWait is the time that a change to the table may take. A new index on many
// records takes longer; then another call goes on waiting.
const maxWait = 30 * time.Minute

// await calls look until it reports that the table is ready, at growing
// intervals, or the context ends. State is what the table is like until then.
func (b *Backend) await(ctx context.Context, look func() (ready bool, state string, err error)) error {
	waited := time.Duration(0)
	clock := b.untimed()
	for attempt := 0; ; attempt++ {
		ready, state, err := look()
		if err != nil || ready {
			return err
		}
		// Looks take time as well: one may read the whole table.
		if max(waited, clock.Read()-clock.began) > b.patience {
			return model.NewError(model.ErrUnavailable, "the table "+b.table+" "+state+", for "+b.patience.String()+": another call goes on waiting", nil)
		}
		waited += interval(attempt)
		if err := wait(ctx, b.pause, attempt); err != nil {
			return err
		}
	}
}

// interval returns the pause before the next request: 20 milliseconds, doubled
// with each attempt up to a second.
func interval(attempt int) time.Duration {
	return min(20*time.Millisecond<<min(attempt, 6), time.Second)
}

// wait pauses before the next request. It returns the context's error if that
// ends first.
func wait(ctx context.Context, pause func(context.Context, time.Duration) error, attempt int) error {
	return pause(ctx, interval(attempt))
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

// enableTTL enables the table's TTL, unless it is enabled. If DynamoDB puts the
// change off, the check says so.
func (b *Backend) enableTTL(ctx context.Context) error {
	if b.grace < 0 {
		return nil
	}
	switch name, err := b.ttlAttribute(ctx); {
	case codeOf(err) == codeNoOperation: // the check says so
		return nil
	case err != nil, name == attrTTL:
		return err
	case name != "":
		return b.foreign("a TTL by the attribute "+strconv.Quote(name), "give the store a table of its own")
	}
	_, err := b.setTTL(ctx, true, "already enabled") // by another node
	return err
}

// setTTL enables or disables the TTL by the store's attribute, and waits while
// the table is busy. Done is a part of the server's text if it is so already. It
// reports false if DynamoDB puts the change off, since it allows one in an hour.
func (b *Backend) setTTL(ctx context.Context, enabled bool, done string) (changed bool, _ error) {
	err := b.await(ctx, func() (bool, string, error) {
		_, err := b.client.UpdateTimeToLive(ctx, &awsdynamodb.UpdateTimeToLiveInput{
			TableName:               &b.table,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(attrTTL), Enabled: aws.Bool(enabled)},
		})
		switch {
		case err == nil, strings.Contains(strings.ToLower(err.Error()), done):
			changed = true
			return true, "", nil
		case codeOf(err) == codeValidation && hasOneOf(err.Error(), textsPutOff):
			return true, "", nil
		}
		return false, "is busy, and its TTL did not change yet", b.unlessBusy(ctx, err)
	})
	return changed, err
}

// textsPutOff is the text of a second change of a TTL within an hour.
// docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html
// and github.com/aws/aws-cdk/pull/13720 have the code and the text.
var textsPutOff = []string{"modified multiple times within a fixed interval"}

// recovery reports whether the table has point-in-time recovery.
func (b *Backend) recovery(ctx context.Context) (bool, error) {
	out, err := b.client.DescribeContinuousBackups(ctx, &awsdynamodb.DescribeContinuousBackupsInput{TableName: &b.table})
	if err != nil {
		return false, b.readError(ctx, err)
	}
	d := out.ContinuousBackupsDescription
	return d != nil && d.PointInTimeRecoveryDescription != nil &&
		d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled, nil
}

// enableRecovery enables point-in-time recovery, unless it is enabled. DynamoDB
// prepares the backups of a new table for some seconds.
func (b *Backend) enableRecovery(ctx context.Context) error {
	if on, err := b.recovery(ctx); err != nil || on {
		return err
	}
	return b.await(ctx, func() (bool, string, error) {
		_, err := b.client.UpdateContinuousBackups(ctx, &awsdynamodb.UpdateContinuousBackupsInput{
			TableName:                        &b.table,
			PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)},
		})
		if code := codeOf(err); busyTable(code) || code == "ContinuousBackupsUnavailableException" {
			return false, "has no continuous backups yet", nil
		}
		if err != nil {
			return false, "", b.storageError(ctx, err)
		}
		return true, "", nil
	})
}

// DeleteStorage deletes the table with all its records and returns when the
// table no longer exists. It returns nil if there is no table. It scans the
// table first.
//
// It returns ErrCorrupt and keeps the table if that has an item or an index that
// is not the store's: it then removes the records, the index by expiry and the
// TTL. If the TTL was changed within the last hour, DynamoDB does not change it
// again: the error says that the TTL and the index are left, and a call an hour
// later removes them. A table with other keys, or without the index by expiry, stays as it is.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	var id string // of the table that this call has deleted
	return b.await(ctx, func() (gone bool, state string, err error) {
		table, err := b.describe(ctx)
		switch {
		case err != nil || table == nil:
			return true, "", err
		case id != "" && aws.ToString(table.TableId) != id: // another node made a new one
			return true, "", nil
		case id != "" || slices.Contains(busyStates, table.TableStatus): // DynamoDB would not delete it
			return false, stateOf(table), nil
		}
		if err := b.checkSchema(table); err != nil {
			return false, "", err
		}
		what, err := b.look(ctx, 0)
		switch {
		case missingTable(codeOf(err)):
			return true, "", nil
		case err != nil:
			return false, "", b.readError(ctx, err)
		case what == "":
			what = otherIndex(table)
		}
		if what != "" {
			return false, "", b.removeOwn(ctx, table, what)
		}
		_, err = b.client.DeleteTable(ctx, &awsdynamodb.DeleteTableInput{TableName: &b.table})
		switch {
		case err == nil:
			id = aws.ToString(table.TableId)
		case missingTable(codeOf(err)):
			return true, "", nil
		}
		return false, stateOf(table), b.unlessBusy(ctx, err)
	})
}
