package dynamodb

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Check looks at the table and its settings, and tries on a few items of its own
// what the store rests on: conditions under concurrency, transactions, and the
// order of queries. It removes the items at the end. It takes some 60 requests,
// most of them in parallel. It returns ErrUnavailable if there is no table.
func (b *Backend) Check(ctx context.Context) (driver.Checks, error) {
	if err := b.gate.Enter(ctx); err != nil {
		return nil, err
	}
	clock := driverkit.Clock{Removes: max(b.opts.GraceTTL, 0)}
	checks, err := b.settled(ctx, &clock)
	if err != nil {
		return nil, err
	}
	shared, err := b.shared(ctx)
	if err != nil {
		return nil, err
	}
	tried, err := b.try(ctx)
	return append(append(checks, clock.Finding(), shared), tried...), err
}

// shared looks for another program's items among the first ones of the table.
func (b *Backend) shared(ctx context.Context) (driver.Finding, error) {
	const name, need = "table", "a table of the store's own"
	what, err := b.look(ctx, lookStep)
	if code := codeOf(err); code == codeDenied || code == codeNoOperation {
		return driver.Finding{Name: name, Level: driver.CheckUnknown, Seen: code, Need: need, Fix: "allow dynamodb:Scan"}, nil
	}
	if err != nil {
		return driver.Finding{}, b.readError(ctx, err)
	}
	return driverkit.Finding(name, need, cmp.Or(what, "no item of another program among the first "+strconv.Itoa(lookStep)), what == "",
		driver.CheckUnsafe, "give the store a table of its own"), nil
}

// settled looks at the table and its settings, and reads the server's clock.
func (b *Backend) settled(ctx context.Context, clock *driverkit.Clock) (driver.Checks, error) {
	table, err := b.describeAt(ctx, clock)
	if err != nil {
		return nil, err
	}
	if table == nil {
		return nil, model.NewError(model.ErrUnavailable, "the table "+b.table+" does not exist in this region and account: CreateStorage creates it, StoragePlan prints the commands", nil)
	}
	checks, err := b.replicated(ctx, table)
	if err != nil {
		return nil, err
	}
	checks = append(checks, b.indexed(table)...)
	checks = append(checks, b.protected(table)...)
	for _, look := range []func(context.Context) (driver.Finding, error){b.partitioned, b.timed, b.recoverable} {
		one, err := look(ctx)
		if err != nil && codeOf(err) != codeDenied && codeOf(err) != codeNoOperation {
			return nil, err
		}
		if err != nil {
			one = driver.Finding{Name: one.Name, Level: driver.CheckUnknown, Seen: codeOf(err), Need: one.Need, Fix: "allow what the package comment lists"}
		}
		if one.Name != "" {
			checks = append(checks, one)
		}
	}
	return checks, nil
}

// codeNoOperation is the code of a server that lacks an operation.
const codeNoOperation = "UnknownOperationException"

// right returns the finding of something that is as it must be.
func right(name, seen string) driver.Finding {
	return driver.Finding{Name: name, Level: driver.CheckRight, Seen: seen, Need: seen}
}

// replicated looks at the table's copies in other regions.
// docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
func (b *Backend) replicated(ctx context.Context, t *types.TableDescription) (driver.Checks, error) {
	const name = "replicas"
	var regions []string
	for _, r := range t.Replicas {
		regions = append(regions, aws.ToString(r.RegionName))
	}
	seen := "a global table with replicas in " + strings.Join(regions, ", ")
	if len(regions) == 0 {
		others, unknown, err := b.replicasOf2017(ctx, t)
		if err != nil {
			return nil, err
		}
		if unknown != "" {
			return driver.Checks{{
				Name: name, Level: driver.CheckUnknown, Seen: unknown, Need: "no global table of version " + version2017,
				Fix: "look yourself: aws dynamodb describe-global-table --global-table-name " + tableName(b.table),
			}}, nil
		}
		regions = others
		seen = "a global table of version " + version2017 + " with replicas in " + strings.Join(regions, ", ")
	}
	return b.copied(name, seen, len(regions), t), nil
}

// copied returns the findings on n copies in other regions.
func (b *Backend) copied(name, seen string, n int, t *types.TableDescription) driver.Checks {
	switch {
	case t.MultiRegionConsistency == types.MultiRegionConsistencyStrong:
		return driver.Checks{{
			Name: name, Level: driver.CheckUnsafe, Seen: "a global table with multi-region strong consistency",
			Need: "transactions and a TTL, which such a table lacks", Fix: "give the store a table in one region",
		}}
	case n == 0:
		return driver.Checks{right(name, "one region")}
	case b.opts.AllowReplicas:
		return driver.Checks{{
			Name: name, Level: driver.CheckWarning, Seen: seen,
			Need: "all programs in one region", Fix: "use the others only after the loss of the first",
		}}
	}
	return driver.Checks{{
		Name: name, Level: driver.CheckUnsafe, Seen: seen, Need: "one region: in two, the last of two writers wins",
		Fix: "remove the replicas, or set Options.AllowReplicas if all programs use one region",
	}}
}

const version2017 = "2017.11.29"

// describer is a client that knows global tables of version 2017.11.29.
// *dynamodb.Client of the SDK does.
type describer interface {
	DescribeGlobalTable(context.Context, *awsdynamodb.DescribeGlobalTableInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeGlobalTableOutput, error)
}

// replicasOf2017 returns the other regions of a global table of version
// 2017.11.29, which DescribeTable does not name, or why they are unknown. It asks
// only if the table has the stream that such a table needs.
// docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_versions.html
// and globaltables_reqs_bestpractices.html
func (b *Backend) replicasOf2017(ctx context.Context, t *types.TableDescription) (regions []string, unknown string, _ error) {
	version, s := aws.ToString(t.GlobalTableVersion), t.StreamSpecification
	streams := s != nil && aws.ToBool(s.StreamEnabled) && s.StreamViewType == types.StreamViewTypeNewAndOldImages
	if version != version2017 && (version != "" || !streams) {
		return nil, "", nil
	}
	client, ok := b.client.(describer)
	if !ok {
		return nil, "a stream of new and old images, and a client without DescribeGlobalTable", nil
	}
	out, err := client.DescribeGlobalTable(ctx, &awsdynamodb.DescribeGlobalTableInput{GlobalTableName: aws.String(tableName(b.table))})
	switch code := codeOf(err); {
	case code == "GlobalTableNotFoundException" && (version == version2017 || b.table != tableName(b.table)):
		return nil, "a table that may be of another account, where global tables cannot be described", nil
	case code == "GlobalTableNotFoundException", code == codeNoOperation:
		return nil, "", nil
	case code == codeDenied:
		return nil, "a stream of new and old images; DescribeGlobalTable is denied: " + code, nil
	case err != nil:
		return nil, "", b.readError(ctx, err)
	case out == nil || out.GlobalTableDescription == nil:
		return nil, "a server that does not describe the global table", nil
	}
	own, found := regionOf(aws.ToString(t.TableArn)), false
	for _, r := range out.GlobalTableDescription.ReplicationGroup {
		if region := aws.ToString(r.RegionName); region == own {
			found = true
		} else {
			regions = append(regions, region)
		}
	}
	if own != "" && !found { // a global table of the same name in other regions
		return nil, "", nil
	}
	return regions, "", nil
}

// regionOf returns the region in an ARN.
func regionOf(arn string) string {
	const region = 3
	if parts := strings.Split(arn, ":"); len(parts) > region {
		return parts[region]
	}
	return ""
}

// indexed looks at the index by expiry.
func (b *Backend) indexed(t *types.TableDescription) driver.Checks {
	const name = "index by expiry"
	for _, index := range t.GlobalSecondaryIndexes {
		if aws.ToString(index.IndexName) != indexName {
			continue
		}
		if index.IndexStatus != "" && index.IndexStatus != types.IndexStatusActive {
			return driver.Checks{{
				Name: name, Level: driver.CheckWarning, Seen: "the index is " + string(index.IndexStatus),
				Need: string(types.IndexStatusActive), Fix: "wait: until then sweeps fail",
			}}
		}
		if p := index.Projection; p != nil && p.ProjectionType != types.ProjectionTypeAll && !contains(p.NonKeyAttributes, attrLabels) {
			return driver.Checks{{
				Name: name, Level: driver.CheckWarning, Seen: "the index does not contain " + attrLabels,
				Need: attrLabels + " in it: a sweep of a record with labels takes a request more", Fix: "delete the index: CreateStorage adds it anew",
			}}
		}
		own, all := index.ProvisionedThroughput, provisioned(t)
		if all != nil && own != nil && aws.ToInt64(own.WriteCapacityUnits) < aws.ToInt64(all.WriteCapacityUnits) {
			return driver.Checks{{
				Name: name, Level: driver.CheckWarning,
				Seen: strconv.FormatInt(aws.ToInt64(own.WriteCapacityUnits), 10) + " write units for the index",
				Need: strconv.FormatInt(aws.ToInt64(all.WriteCapacityUnits), 10) + ", as the table has: a throttled index throttles the table's writes",
				Fix:  "raise the index's throughput, or bill the table by request",
			}}
		}
		return driver.Checks{right(name, "active")}
	}
	return driver.Checks{{
		Name: name, Level: driver.CheckUnsafe, Missing: true, Seen: "no index " + indexName, Need: "the index: sweeps fail without it", Fix: "call CreateStorage, which adds it",
	}}
}

func contains(list []string, name string) bool {
	for _, one := range list {
		if one == name {
			return true
		}
	}
	return false
}

// protected looks at what the Options ask of the table.
func (b *Backend) protected(t *types.TableDescription) (checks driver.Checks) {
	if b.opts.DeletionProtection {
		one := right("deletion protection", "on")
		if !aws.ToBool(t.DeletionProtectionEnabled) {
			one = driver.Finding{Name: one.Name, Level: driver.CheckWarning, Seen: "off", Need: "on, by Options.DeletionProtection", Fix: "call CreateStorage, which switches it on"}
		}
		checks = append(checks, one)
	}
	if b.opts.KMSKey != "" {
		const name = "encryption key"
		one := right(name, "the key of Options.KMSKey")
		arn := ""
		if d := t.SSEDescription; d != nil {
			arn = aws.ToString(d.KMSMasterKeyArn)
		}
		switch key := b.opts.KMSKey; {
		case arn != "" && isAlias(key) && mayBe(key, arn):
			one = driver.Finding{
				Name: name, Level: driver.CheckUnknown, Seen: "the key " + arn, Need: "the key of " + key + ", by Options.KMSKey",
				Fix: "compare them: aws kms describe-key --key-id " + key + "; with the key's ARN as Options.KMSKey, this check does",
			}
		case arn == "":
			one = driver.Finding{
				Name: name, Level: driver.CheckUnsafe, Seen: "the key that AWS owns", Need: "the key of Options.KMSKey",
				Fix: "change it: aws dynamodb update-table --table-name " + b.table + " --sse-specification",
			}
		case arn != key && !strings.HasSuffix(arn, "key/"+key):
			one = driver.Finding{
				Name: name, Level: driver.CheckUnsafe, Seen: "the key " + arn, Need: "the key of Options.KMSKey",
				Fix: "change it: aws dynamodb update-table --table-name " + b.table + " --sse-specification",
			}
		}
		checks = append(checks, one)
	}
	return checks
}

// isAlias reports whether a key is named by an alias, which only KMS can resolve:
// alias/NAME or its ARN.
func isAlias(key string) bool {
	name := key[strings.LastIndex(key, ":")+1:]
	return strings.HasPrefix(name, "alias/")
}

// mayBe reports whether an alias can be that of a key. An alias has the region
// and the account of its key.
func mayBe(alias, arn string) bool {
	place, _, isARN := strings.Cut(alias, ":alias/")
	return !isARN || strings.HasPrefix(arn, place+":")
}

// partitions returns the number of partitions with which the table was created.
func (b *Backend) partitions(ctx context.Context) (n int, stored bool, err error) {
	out, err := b.client.GetItem(ctx, &awsdynamodb.GetItemInput{TableName: &b.table, ConsistentRead: aws.Bool(true), Key: settingsKey()})
	if err != nil {
		return 0, false, b.readError(ctx, err)
	}
	if out.Item == nil {
		return defaultPartitions, false, nil
	}
	fixed, ok := intOf(out.Item[attrPartitions])
	if !ok || fixed < 1 || fixed > maxPartitions {
		return 0, false, model.NewError(model.ErrCorrupt, "the item of settings of the table "+b.table+" cannot be read: a newer version may have written it", nil)
	}
	return int(fixed), true, nil
}

// fixPartitions stores the number of partitions if it is not the default and no
// record in the table expires yet.
func (b *Backend) fixPartitions(ctx context.Context) error {
	if b.shards == defaultPartitions {
		return nil
	}
	_, stored, err := b.partitions(ctx)
	if err != nil || stored {
		return err
	}
	found, err := b.client.Scan(ctx, &awsdynamodb.ScanInput{TableName: &b.table, IndexName: aws.String(indexName), Limit: aws.Int32(1)})
	if err != nil {
		return b.readError(ctx, err)
	}
	if len(found.Items) > 0 {
		return nil // the check reports the difference
	}
	it := settingsKey()
	it[attrPartitions] = number(int64(b.shards))
	cond := condAbsent
	names, _ := fill(nil, cond)
	out, err := b.sendOnce(ctx, b.untimed(), nil, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
		_, err := b.client.PutItem(ctx, &awsdynamodb.PutItemInput{TableName: &b.table, Item: it, ConditionExpression: &cond, ExpressionAttributeNames: names}, opts)
		return err
	})
	if out.failed { // another node was first
		return nil
	}
	return err
}

// partitioned compares Options.Partitions with what is fixed.
func (b *Backend) partitioned(ctx context.Context) (driver.Finding, error) {
	const name = "partitions of the index by expiry"
	fixed, _, err := b.partitions(ctx)
	if err != nil || fixed == b.shards {
		return right(name, strconv.Itoa(b.shards)), err
	}
	return driver.Finding{
		Name: name, Level: driver.CheckUnsafe, Seen: "a table with " + strconv.Itoa(fixed),
		Need: strconv.Itoa(b.shards) + " by Options.Partitions: sweeps would miss records, or look where none are",
		Fix:  "set Options.Partitions to " + strconv.Itoa(fixed) + ", or use another table",
	}, nil
}

// timed looks at the table's TTL.
func (b *Backend) timed(ctx context.Context) (driver.Finding, error) {
	const name = "TTL"
	if b.grace < 0 {
		return driver.Finding{}, nil
	}
	attribute, err := b.ttlAttribute(ctx)
	switch {
	case err != nil:
		return driver.Finding{Name: name, Need: "the TTL by " + attrTTL}, err
	case attribute == attrTTL:
		return right(name, "by "+attrTTL), nil
	}
	return driver.Finding{
		Name: name, Level: driver.CheckWarning, Seen: "no TTL by the attribute " + attrTTL,
		Need: "the TTL: without it only DeleteExpired removes expired records",
		Fix:  "call CreateStorage, or run the commands of StoragePlan; DynamoDB changes a TTL once in an hour, and other servers may not have it",
	}, nil
}

// recoverable looks at the table's continuous backups.
func (b *Backend) recoverable(ctx context.Context) (driver.Finding, error) {
	const name = "point-in-time recovery"
	if !b.opts.PointInTimeRecovery {
		return driver.Finding{}, nil
	}
	on, err := b.recovery(ctx)
	switch {
	case err != nil:
		return driver.Finding{Name: name, Need: "on, by Options.PointInTimeRecovery"}, err
	case on:
		return right(name, "on"), nil
	}
	return driver.Finding{Name: name, Level: driver.CheckWarning, Seen: "off", Need: "on, by Options.PointInTimeRecovery", Fix: "call CreateStorage, which switches it on"}, nil
}
