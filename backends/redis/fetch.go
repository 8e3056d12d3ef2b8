package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/model"
)

// scanStep is how many keys the server visits in one step of a SCAN.
const scanStep = 1000

// scan visits all keys of all masters, and calls do with the ids of the store's
// records in the buckets that are wanted. It belongs into steady: the cursor of one
// server means nothing to another.
func (b *Backend) scan(ctx context.Context, wanted func(n int) bool, do func(ctx context.Context, n int, ids []string) error) error {
	nodes, err := b.masters(ctx)
	if err != nil {
		return err
	}
	for i := range nodes {
		if b.hides(nodes[i].info) {
			return model.NewError(model.ErrUnavailable, "indexes are lost, and the client hides the nodes of the cluster, which all have to be searched: "+
				"give the wrapper the method ForEachMaster of *redis.ClusterClient, or call CreateStorage with a *redis.ClusterClient", nil)
		}
	}
	for _, node := range nodes {
		for cursor, more := uint64(0), true; more; more = cursor != 0 {
			cmd := goredis.NewScanCmd(ctx, nil, "scan", cursor, "match", globEscaper.Replace(b.name)+":{*}:r:*", "count", scanStep)
			if left, err := b.await(ctx, func() error { return node.client.Process(ctx, cmd) }); left || err != nil {
				return b.scanError(ctx, err)
			}
			var keys []string
			keys, cursor = cmd.Val()
			for n, ids := range b.idsOf(keys) {
				if len(ids) > 0 && wanted(n) {
					if err := do(ctx, n, ids); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// errNoScan is the cause of an error for want of a permission.
var errNoScan = errors.New("the user may not use SCAN")

// scanError says which permission is missing.
func (b *Backend) scanError(ctx context.Context, err error) error {
	if replyCode(err) == "NOPERM" {
		return model.NewError(model.ErrUnavailable, "indexes are lost, and the user may not visit all keys to find the records: give it +scan and call again", errNoScan)
	}
	return b.readError(ctx, err)
}

// master is a server that serves writes.
type master struct {
	client goredis.UniversalClient
	info   map[string]string
}

// masters asks all masters what they are.
func (b *Backend) masters(ctx context.Context) ([]master, error) {
	var mu sync.Mutex
	var all []master
	left, err := b.await(ctx, func() error {
		return b.eachNode(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
			cmd := goredis.NewStringCmd(ctx, "info")
			err := c.Process(ctx, cmd)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, master{c, parseInfo(cmd.Val())})
			return err
		})
	})
	switch {
	case !left && replyCode(err) == "NOPERM":
		return nil, model.NewError(model.ErrUnavailable, "indexes are lost, and the user may not see whether a failover disturbs their rebuild: give it +info and call again", err)
	case left || err != nil:
		return nil, b.readError(ctx, err)
	}
	return all, nil
}

// errMoved is returned by the function of steady to begin again.
var errMoved = errors.New("another server has taken over")

// steady runs do, and again if do returns errMoved. Do calls same at its end, which
// returns errMoved unless all masters are those of the start: the same runs of
// servers, with the same history of replication.
func (b *Backend) steady(ctx context.Context, do func(same func() error) error) error {
	identify := func() (out []string, err error) {
		all, err := b.masters(ctx)
		for _, m := range all {
			out = append(out, strings.Join([]string{m.info["run_id"], m.info["master_replid"], m.info["role"]}, " "))
		}
		slices.Sort(out)
		return out, err
	}
	for range lookAgain {
		before, err := identify()
		if err != nil {
			return err
		}
		err = do(func() error {
			now, err := identify()
			if err == nil && !slices.Equal(now, before) {
				err = errMoved
			}
			return err
		})
		if !errors.Is(err, errMoved) {
			return err
		}
	}
	return model.NewError(model.ErrUnavailable, "another server has taken over, or the index by id was lost, while records were searched: call again", errMoved)
}

// recordMark is between the tag and the id in the key of a record.
const recordMark = "}:r:"

// idsOf returns the ids in keys of records, by bucket.
func (b *Backend) idsOf(keys []string) map[int][]string {
	ids := map[int][]string{}
	for _, key := range keys {
		_, id, _ := strings.Cut(key, recordMark)
		if n := b.bucketOf(id); key == b.buckets[n].records+id && model.CheckID(id) == nil {
			ids[n] = append(ids[n], id)
		}
	}
	return ids
}
