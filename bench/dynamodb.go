package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	dynamodocstore "gocloud.dev/docstore/awsdynamodb/v2"

	"github.com/sojourn-go/sojourn/backends/dynamodb"
)

// dynamoClient is a client as the SDK makes it, with enough idle connections.
func dynamoClient(addr string) (*awsdynamodb.Client, func()) {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.MaxIdleConns, tr.MaxIdleConnsPerHost = 0, 64
	endpoint := "http://" + addr
	return awsdynamodb.New(awsdynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: &endpoint, HTTPClient: &http.Client{Transport: tr},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}), tr.CloseIdleConnections
}

// dynamoStores returns the contestants on a DynamoDB server; the floor first, and
// again.
func dynamoStores(ctx context.Context, addr, name string) ([]*store, error) {
	c, idle := dynamoClient(addr)
	drop := func(table string) error {
		_, err := c.DeleteTable(ctx, &awsdynamodb.DeleteTableInput{TableName: &table})
		return err
	}
	var out []*store
	for i, floor := range []string{"bare aws-sdk-go-v2", "the floor again"} {
		table := fmt.Sprintf("%s-floor%d", name, i)
		if err := simpleTable(ctx, c, table); err != nil {
			return out, err
		}
		s := dynamoFloor(ctx, c, floor, table)
		s.close = func() error { return drop(table) }
		out = append(out, s)
	}
	table := name + "-docstore"
	if err := simpleTable(ctx, c, table); err != nil {
		return out, err
	}
	collection, err := dynamodocstore.OpenCollection(c, table, "id", "", &dynamodocstore.Options{AllowScans: true, ConsistentRead: true})
	if err != nil {
		return out, err
	}
	peer := documents(ctx, "docstore awsdynamodb", "id", collection, func() error { return drop(table) })
	backend, err := dynamodb.New(c, name, nil)
	if err != nil {
		return append(out, peer), err
	}
	own, err := sojourn(ctx, backend, func() error { idle(); return nil })
	if err != nil {
		return append(out, peer), err
	}
	return append(out, own, peer), nil
}

func simpleTable(ctx context.Context, c *awsdynamodb.Client, table string) error {
	_, err := c.CreateTable(ctx, &awsdynamodb.CreateTableInput{
		TableName: &table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		return err
	}
	return awsdynamodb.NewTableExistsWaiter(c).Wait(ctx, &awsdynamodb.DescribeTableInput{TableName: &table}, time.Minute)
}

// dynamoFloor is the same conditional requests by hand: a revision in each item,
// and an expiry that reads observe.
func dynamoFloor(ctx context.Context, c *awsdynamodb.Client, name, table string) *store {
	type item = map[string]types.AttributeValue
	key := func(id string) item { return item{"id": &types.AttributeValueMemberS{Value: id}} }
	number := func(n int64) types.AttributeValue {
		return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
	}
	later := func() types.AttributeValue { return number(time.Now().Add(life).UnixMilli()) }
	now := func() types.AttributeValue { return number(time.Now().UnixMilli()) }
	change := func(id, set, condition string, args item) error {
		args[":now"] = now()
		_, err := c.UpdateItem(ctx, &awsdynamodb.UpdateItemInput{
			TableName: &table, Key: key(id), UpdateExpression: &set, ConditionExpression: &condition, ExpressionAttributeValues: args,
		})
		return err
	}
	var revisions sync.Map
	return &store{
		name: name,
		create: func(id string, value []byte) error {
			it := key(id)
			it["e"], it["r"], it["v"] = later(), number(0), &types.AttributeValueMemberB{Value: value}
			_, err := c.PutItem(ctx, &awsdynamodb.PutItemInput{TableName: &table, Item: it, ConditionExpression: aws.String("attribute_not_exists(id)")})
			return err
		},
		get: func(id string) (int, error) {
			got, err := c.GetItem(ctx, &awsdynamodb.GetItemInput{TableName: &table, Key: key(id), ConsistentRead: aws.Bool(true)})
			if err != nil || got.Item == nil {
				return 0, err
			}
			value, ok := got.Item["v"].(*types.AttributeValueMemberB)
			if !ok {
				return 0, errMissing
			}
			return len(value.Value), nil
		},
		update: func(id string, value []byte) error {
			return change(id, "SET v = :v", "e > :now", item{":v": &types.AttributeValueMemberB{Value: value}})
		},
		compare: func(id string, value []byte) error {
			last, _ := revisions.LoadOrStore(id, int64(0))
			next := last.(int64) + 1
			err := change(id, "SET v = :v, r = :next", "e > :now AND r = :r", item{":v": &types.AttributeValueMemberB{Value: value}, ":r": number(last.(int64)), ":next": number(next)})
			revisions.Store(id, next)
			return err
		},
		touch: func(id string, _ []byte) error { return change(id, "SET e = :e", "e > :now", item{":e": later()}) },
		remove: func(id string) error {
			_, err := c.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{TableName: &table, Key: key(id), ConditionExpression: aws.String("attribute_exists(id)")})
			if failed := new(types.ConditionalCheckFailedException); errors.As(err, &failed) {
				return errMissing
			}
			return err
		},
	}
}
