package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	fiberredis "github.com/gofiber/storage/redis/v3"
	"github.com/philippgille/gokv/encoding"
	gokvredis "github.com/philippgille/gokv/redis"
	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/backends/redis"
)

// The marks beside figures. The page explains them.
const (
	blind   = "u" // an upsert: neither create-only nor must-exist
	rewrite = "w" // a touch rewrites the record
	endless = "x" // records do not expire
	partial = "p" // only SCAN, which reads all keys of the server
)

// redisClient is a go-redis client with its defaults, and as a URL opens it.
func redisClient(addr string) *goredis.Client {
	return goredis.NewClient(&goredis.Options{Addr: addr, ContextTimeoutEnabled: true})
}

// redisStores returns all contestants on the server at addr. The first one is the
// floor, the second one the floor again. Each has a client of its own.
func redisStores(ctx context.Context, addr, name string) ([]*store, error) {
	var out []*store
	for i, floor := range []string{"bare go-redis", "the floor again"} {
		out = append(out, redisFloor(ctx, redisClient(addr), floor, fmt.Sprintf("%s-floor%d:", name, i)))
	}
	client := redisClient(addr)
	backend, err := redis.New(client, name, nil)
	if err != nil {
		return out, err
	}
	own, err := sojourn(ctx, backend, client.Close)
	if err != nil {
		return out, err
	}
	out = append(out, own, scsRedis(ctx, redisClient(addr), name+"-scs:"), fiberRedis(ctx, redisClient(addr), name+"-fiber:"))
	kv, err := gokvRedis(addr, name+"-gokv:")
	if err != nil {
		return out, err
	}
	return append(out, kv), nil
}

// compareScript is the least that a compare-and-set can be: the first 16 bytes of
// a value are its revision.
var compareScript = goredis.NewScript(`if redis.call('GETRANGE',KEYS[1],0,15)==ARGV[1] then return redis.call('SET',KEYS[1],ARGV[2],'KEEPTTL') end return false`)

func redisFloor(ctx context.Context, c *goredis.Client, name, prefix string) *store {
	existing := func(id string, value []byte, mode string, ttl time.Duration) error {
		return c.SetArgs(ctx, prefix+id, value, goredis.SetArgs{Mode: mode, TTL: ttl, KeepTTL: ttl == 0}).Err()
	}
	return &store{
		name:   name,
		marks:  map[string]string{"count": partial, "list": partial},
		create: func(id string, value []byte) error { return existing(id, value, "NX", life) },
		get: func(id string) (int, error) {
			value, err := c.Get(ctx, prefix+id).Bytes()
			if errors.Is(err, goredis.Nil) {
				return 0, nil
			}
			return len(value), err
		},
		update: func(id string, value []byte) error { return existing(id, value, "XX", 0) },
		compare: func(id string, value []byte) error {
			return compareScript.Run(ctx, c, []string{prefix + id}, value[:16], value).Err()
		},
		touch: func(id string, _ []byte) error {
			there, err := c.PExpire(ctx, prefix+id, life).Result()
			if err == nil && !there {
				err = errMissing
			}
			return err
		},
		remove: func(id string) error {
			n, err := c.Del(ctx, prefix+id).Result()
			if err == nil && n == 0 {
				err = errMissing
			}
			return err
		},
		count: func() (int, error) { return scan(ctx, c, prefix, func([]string) error { return nil }) },
		list: func() (int, error) {
			return scan(ctx, c, prefix, func(keys []string) error { return c.MGet(ctx, keys...).Err() })
		},
		close: func() error { return errors.Join(dropKeys(ctx, c, prefix), c.Close()) },
	}
}

var errMissing = errors.New("the record is not there")

// scan visits the keys with a prefix, a thousand at a time.
func scan(ctx context.Context, c *goredis.Client, prefix string, see func(keys []string) error) (int, error) {
	n := 0
	for cursor := uint64(0); ; {
		keys, next, err := c.Scan(ctx, cursor, prefix+"*", 1000).Result()
		if err != nil {
			return n, err
		}
		n += len(keys)
		if len(keys) > 0 {
			if err := see(keys); err != nil {
				return n, err
			}
		}
		if next == 0 {
			return n, nil
		}
		cursor = next
	}
}

func dropKeys(ctx context.Context, c *goredis.Client, prefix string) error {
	_, err := scan(ctx, c, prefix, func(keys []string) error { return c.Unlink(ctx, keys...).Err() })
	return err
}

func scsRedis(ctx context.Context, c *goredis.Client, prefix string) *store {
	s := goredisstore.NewWithPrefix(c, prefix)
	set := func(id string, value []byte) error { return s.CommitCtx(ctx, id, value, time.Now().Add(life)) }
	return &store{
		name:   "scs goredisstore",
		marks:  map[string]string{"create": blind, "update": blind, "touch": blind + rewrite, "list": partial},
		create: set, update: set, touch: set,
		get: func(id string) (int, error) {
			value, _, err := s.FindCtx(ctx, id)
			return len(value), err
		},
		remove: func(id string) error { return s.DeleteCtx(ctx, id) },
		list: func() (int, error) {
			all, err := s.AllCtx(ctx)
			return len(all), err
		},
		close: func() error { return errors.Join(dropKeys(ctx, c, prefix), c.Close()) },
	}
}

func fiberRedis(ctx context.Context, c *goredis.Client, prefix string) *store {
	s := fiberredis.NewFromConnection(c)
	set := func(id string, value []byte) error { return s.SetWithContext(ctx, prefix+id, value, life) }
	return &store{
		name:   "gofiber redis",
		marks:  map[string]string{"create": blind, "update": blind, "touch": blind + rewrite, "count": partial},
		create: set, update: set, touch: set,
		count: func() (int, error) {
			all, err := s.Keys() // of everybody
			n := 0
			for _, key := range all {
				if bytes.HasPrefix(key, []byte(prefix)) {
					n++
				}
			}
			return n, err
		},
		get: func(id string) (int, error) {
			value, err := s.GetWithContext(ctx, prefix+id)
			return len(value), err
		},
		remove: func(id string) error { return s.DeleteWithContext(ctx, prefix+id) },
		close:  func() error { return errors.Join(dropKeys(ctx, c, prefix), s.Close()) },
	}
}

// asIs is a codec of gokv that leaves values as they are, so that nobody pays for
// an encoding.
type asIs struct{}

func (asIs) Marshal(v any) ([]byte, error) { return v.([]byte), nil }

func (asIs) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

var _ encoding.Codec = asIs{}

func gokvRedis(addr, prefix string) (*store, error) {
	kv, err := gokvredis.NewClient(gokvredis.Options{Address: addr, Codec: asIs{}})
	if err != nil {
		return nil, err
	}
	set := func(id string, value []byte) error { return kv.Set(prefix+id, value) }
	return &store{
		name:   "gokv redis",
		marks:  map[string]string{"": endless, "create": blind + endless, "update": blind + endless, "touch": blind + rewrite + endless},
		create: set, update: set, touch: set,
		get: func(id string) (int, error) {
			var value []byte
			_, err := kv.Get(prefix+id, &value)
			return len(value), err
		},
		remove: func(id string) error { return kv.Delete(prefix + id) },
		close: func() error {
			c := redisClient(addr)
			return errors.Join(dropKeys(context.Background(), c, prefix), c.Close(), kv.Close())
		},
	}, nil
}
