package dynamodb

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

const (
	creators    = 16 // concurrent creates of one item
	rivals      = 6  // concurrent updates, and deletes, of one item
	transactors = 4  // concurrent transactions on one item
	// trialTTL is when the TTL removes what an interrupted trial has left, and
	// trialLife is when a sweep does. All trials have ended by then, also if the
	// sweep's clock is a day ahead.
	trialTTL  = time.Hour
	trialLife = 72 * time.Hour
	attrTrial = "trial"
)

// trial tries the server on items of its own, in one partition. Other servers of
// DynamoDB's protocol differ: some take conditions for atomic that are not, and
// some have no transactions.
type trial struct {
	b  *Backend
	pk string
	at time.Time
}

// try makes the trials and removes their items.
func (b *Backend) try(ctx context.Context) (driver.Checks, error) {
	t := &trial{b, trialPrefix + rand.Text(), time.Now()}
	defer t.clean(ctx)
	var checks driver.Checks
	for _, one := range []func(context.Context) (driver.Finding, error){t.creates, t.updates, t.order, t.transactions, t.deletes} {
		found, err := one(ctx)
		if code := codeOf(err); err != nil && refused(err) && !slices.Contains(passing, code) {
			found.Level, found.Seen, err = driver.CheckUnsafe, "a refusal: "+code, nil
			found.Fix = "use DynamoDB, or a server that the package comment lists"
			if code == codeDenied {
				found.Level, found.Fix = driver.CheckUnknown, "allow what the package comment lists"
			}
		}
		if err != nil {
			return checks, err
		}
		if found.Name != "" {
			checks = append(checks, found)
		}
	}
	return checks, nil
}

// passing are refusals that say nothing about the server.
var passing = []string{
	"ProvisionedThroughputExceededException", "ThrottlingException", "Throttling", "RequestLimitExceeded", "TransactionConflictException",
	"TransactionCanceledException", "ResourceNotFoundException", "ResourceInUseException", "LimitExceededException",
}

// item returns an item of the trial. The index by expiry has it, for sweeps.
func (t *trial) item(sk string, n int) attributes {
	it := itemKey(t.pk, sk)
	it[attrTrial], it[attrTTL] = number(int64(n)), number(t.at.Add(trialTTL).Unix())
	it[attrDue], it[attrExpires] = str(shardName(0)), millis(t.at.Add(trialLife))
	return it
}

// race makes n calls at a time. It returns the one that succeeded, the number of
// those, and whether each of the others got the stored item.
func race(n int, one func(i int) (outcome, error)) (winner, won int, told bool, err error) {
	outs, errs := make([]outcome, n), make([]error, n)
	driverkit.Parallel(n, n, func(i int) { outs[i], errs[i] = one(i) })
	told = true
	for i := range outs {
		switch {
		case errs[i] != nil:
			return 0, 0, false, errs[i]
		case !outs[i].failed:
			winner = i
			won++
		case outs[i].item == nil:
			told = false
		}
	}
	return winner, won, told, nil
}

// verdict returns the finding of a race in which one must win.
func verdict(name, what string, n, won int, err error) (driver.Finding, error) {
	found := driver.Finding{
		Name: name, Level: driver.CheckRight, Need: "one of several concurrent " + what + " succeeds",
		Seen: fmt.Sprintf("%d of %d concurrent %s succeeded", won, n, what),
	}
	if won != 1 {
		found.Level = driver.CheckUnsafe
		found.Fix = "use DynamoDB, or a server whose conditions are atomic: the package comment has a list"
	}
	return found, err
}

func (t *trial) put(ctx context.Context, it attributes, cond string) (outcome, error) {
	names, _ := fill(nil, cond)
	return t.b.sendOnce(ctx, t.b.untimed(), nil, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
		_, err := t.b.client.PutItem(ctx, &awsdynamodb.PutItemInput{
			TableName: &t.b.table, Item: it, ConditionExpression: &cond, ExpressionAttributeNames: names,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}, opts)
		return err
	})
}

// creates tries conditional creates, and whether a refusal has the stored item
// and a consistent read the item that won.
func (t *trial) creates(ctx context.Context) (driver.Finding, error) {
	const name, what = "conditional creates", "creates of one item"
	winner, won, told, err := race(creators, func(i int) (outcome, error) { return t.put(ctx, t.item("b", i), condAbsent) })
	found, err := verdict(name, what, creators, won, err)
	if err != nil || won != 1 {
		return found, err
	}
	if !told {
		found.Level, found.Seen = driver.CheckUnsafe, "a refused write without the stored item"
		found.Need, found.Fix = "the item, as ReturnValuesOnConditionCheckFailure asks", "use DynamoDB, or a newer server"
		return found, nil
	}
	n, err := t.read(ctx, "b")
	if err == nil && n != int64(winner) {
		found.Level, found.Seen = driver.CheckUnsafe, "a consistent read of another item than the one that was created"
		found.Need, found.Fix = "the last acknowledged write", "use DynamoDB, or a server with consistent reads"
	}
	return found, err
}

// read returns the number in an item of the trial, and -1 without the item.
func (t *trial) read(ctx context.Context, sk string) (int64, error) {
	out, err := t.b.client.GetItem(ctx, &awsdynamodb.GetItemInput{TableName: &t.b.table, ConsistentRead: aws.Bool(true), Key: itemKey(t.pk, sk)})
	if err != nil {
		return 0, t.b.readError(ctx, err)
	}
	if n, ok := intOf(out.Item[attrTrial]); ok {
		return n, nil
	}
	return -1, nil
}

// updates tries updates of one item that all expect the same number in it.
func (t *trial) updates(ctx context.Context) (driver.Finding, error) {
	const name, what = "conditional updates", "updates of one revision"
	known, err := t.read(ctx, "b")
	if err != nil {
		return driver.Finding{Name: name}, err
	}
	const set, cond = "SET #trial = :next", "#trial = :known"
	_, won, _, err := race(rivals, func(i int) (outcome, error) {
		names, values := fill(attributes{":known": number(known), ":next": number(int64(creators + i))}, set, cond)
		return t.b.sendOnce(ctx, t.b.untimed(), nil, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
			_, err := t.b.client.UpdateItem(ctx, &awsdynamodb.UpdateItemInput{
				TableName: &t.b.table, Key: itemKey(t.pk, "b"), UpdateExpression: aws.String(set), ConditionExpression: aws.String(cond),
				ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			}, opts)
			return err
		})
	})
	return verdict(name, what, rivals, won, err)
}

// order tries whether a query has the sort keys in order, and goes on after the
// last one of a page.
func (t *trial) order(ctx context.Context) (driver.Finding, error) {
	found := right("order of queries", "a, b and c, in pages of two")
	for _, sk := range []string{"c", "a"} {
		if _, err := t.put(ctx, t.item(sk, 0), condAbsent); err != nil {
			return found, err
		}
	}
	const query = "#pk = :trial"
	names, values := fill(attributes{":trial": str(t.pk)}, query)
	seen := ""
	var after attributes
	for range 3 {
		out, err := t.b.client.Query(ctx, &awsdynamodb.QueryInput{
			TableName: &t.b.table, ConsistentRead: aws.Bool(true), Limit: aws.Int32(2), ExclusiveStartKey: after,
			KeyConditionExpression: aws.String(query), ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		})
		if err != nil {
			return found, t.b.readError(ctx, err)
		}
		for _, it := range out.Items {
			sk, _ := stringOf(it[attrSK])
			seen += sk
		}
		seen += "|"
		if after = out.LastEvaluatedKey; len(after) == 0 {
			break
		}
	}
	if seen != "ab|c|" {
		found.Level, found.Seen = driver.CheckUnsafe, "the pages "+strconv.Quote(seen)
		found.Need, found.Fix = `"ab|c|"`, "use DynamoDB, or a server that the package comment lists"
	}
	return found, nil
}

// transactions tries whether one of several transactions succeeds, and whether
// one that fails leaves nothing. A store without labels needs none.
func (t *trial) transactions(ctx context.Context) (driver.Finding, error) {
	if len(t.b.gate.Labels()) == 0 {
		return driver.Finding{}, nil
	}
	const name, what = "transactions", "transactions that create one item"
	send := func(sk string, i int) (outcome, error) {
		cond := condAbsent
		names, _ := fill(nil, cond)
		return t.b.transact(ctx, t.b.untimed(), nil, []types.TransactWriteItem{
			{Put: &types.Put{
				TableName: &t.b.table, Item: t.item("d", i), ConditionExpression: &cond, ExpressionAttributeNames: names,
				ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			}},
			{Put: &types.Put{TableName: &t.b.table, Item: t.item(sk, i)}},
		})
	}
	_, won, told, err := race(transactors, func(i int) (outcome, error) { return send("e", i) })
	found, err := verdict(name, what, transactors, won, err)
	if err != nil || won != 1 {
		return found, err
	}
	out, err := send("f", 0)
	if err != nil {
		return found, err
	}
	left, err := t.read(ctx, "f")
	switch {
	case err != nil:
		return found, err
	case !out.failed || left >= 0:
		found.Seen = "a transaction that should fail wrote an item"
	case !told || out.item == nil:
		found.Seen = "a cancelled transaction without the stored item"
	default:
		return found, nil
	}
	found.Level, found.Need, found.Fix = driver.CheckUnsafe, "all or nothing, and the reasons of a failure", "use DynamoDB, or declare no labels"
	return found, nil
}

// deletes tries conditional deletes.
func (t *trial) deletes(ctx context.Context) (driver.Finding, error) {
	const name, what = "conditional deletes", "deletes of one item"
	known, err := t.read(ctx, "b")
	if err != nil {
		return driver.Finding{Name: name}, err
	}
	const cond = "#trial = :known"
	remove := func(n int64) (outcome, error) {
		names, values := fill(attributes{":known": number(n)}, cond)
		return t.b.sendOnce(ctx, t.b.untimed(), nil, func(ctx context.Context, opts func(*awsdynamodb.Options)) error {
			_, err := t.b.client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{
				TableName: &t.b.table, Key: itemKey(t.pk, "b"), ConditionExpression: aws.String(cond),
				ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			}, opts)
			return err
		})
	}
	if out, err := remove(known + 1); err != nil || !out.failed {
		return driver.Finding{
			Name: name, Level: driver.CheckUnsafe, Seen: "a delete at another revision succeeded", Need: "a refusal",
			Fix: "use DynamoDB, or a server that the package comment lists",
		}, err
	}
	_, won, _, err := race(rivals, func(int) (outcome, error) { return remove(known) })
	return verdict(name, what, rivals, won, err)
}

// clean removes the items of the trial. What stays is removed by the TTL or by a
// sweep.
func (t *trial) clean(ctx context.Context) {
	keys := []string{"a", "b", "c", "d", "e", "f"}
	driverkit.Parallel(len(keys), len(keys), func(i int) {
		_, _ = t.b.client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{TableName: &t.b.table, Key: itemKey(t.pk, keys[i])})
	})
}
