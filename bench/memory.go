package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/backends/redis"
)

// held is what one kind of key takes, for each session.
type held struct {
	kind        string
	keys        float64 // keys of that kind for each session
	name, value float64 // bytes of the key's name and of a string's value; 0 for sets
	usage       float64 // MEMORY USAGE, all samples
}

// memory is what a session of one contestant takes in the server.
type memory struct {
	name    string
	bytes   float64
	buckets int    // of Sojourn
	parts   []held // of Sojourn
}

// memories signs in the given number of sessions of every contestant, and asks the
// server what its keys take.
func memories(ctx context.Context, addr, name string, sessions int) (out []memory, err error) {
	all, err := redisPrograms(ctx, addr, name)
	defer func() {
		if e := closeAll(all); err == nil {
			err = e
		}
	}()
	if err != nil {
		return nil, err
	}
	divided, err := sojournProgram(ctx, redisClient(addr), name+"-divided", &redis.Options{Buckets: manyBuckets})
	if err != nil {
		return nil, err
	}
	divided.name = fmt.Sprintf("%s, %d buckets", divided.name, manyBuckets)
	all = append(all, divided)
	for _, p := range all {
		before, err := p.bytes()
		if err != nil {
			return nil, err
		}
		if _, err := run(preparers, 0, sessions, func(int, int) error { _, err := p.request(signIn, ""); return err }); err != nil {
			return nil, err
		}
		after, err := p.bytes()
		if err != nil {
			return nil, err
		}
		m := memory{name: p.name, bytes: (after - before) / float64(sessions)}
		if prefix, buckets := name+":", 16; p.name == "Sojourn" || p == divided {
			if p == divided {
				prefix, buckets = name+"-divided:", manyBuckets
			}
			c := redisClient(addr)
			m.buckets = buckets
			m.parts, err = parts(ctx, c, prefix, sessions)
			if err := closing(c, err); err != nil {
				return nil, err
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// manyBuckets is a number with which the sets of these sessions are small.
const manyBuckets = 256

func closing(c *goredis.Client, err error) error {
	if e := c.Close(); err == nil {
		err = e
	}
	return err
}

// kindOf returns the kind of a key of package redis: NAME:{TAG}:KIND or
// NAME:{TAG}:KIND:REST.
func kindOf(key string) string {
	_, rest, _ := strings.Cut(key, "}:")
	kind, _, more := strings.Cut(rest, ":")
	switch {
	case kind == "r":
		return "r: records"
	case kind == "l" && more:
		return rest + ": a label's index"
	case kind == "x":
		return "x: the index by expiry"
	case kind == "i":
		return "i: the index by id"
	}
	return "the rest"
}

// parts returns what the keys of Sojourn take, by kind.
func parts(ctx context.Context, c *goredis.Client, prefix string, sessions int) ([]held, error) {
	kinds := map[string]*held{}
	_, err := scan(ctx, c, prefix, func(keys []string) error {
		for _, key := range keys {
			kind := kindOf(key)
			h := kinds[kind]
			if h == nil {
				h = &held{kind: kind}
				kinds[kind] = h
			}
			used, err := c.MemoryUsage(ctx, key, 0).Result()
			if err != nil {
				return err
			}
			h.keys, h.usage = h.keys+1, h.usage+float64(used)
			h.name += float64(len(key))
			if strings.HasPrefix(kind, "r:") {
				n, err := c.StrLen(ctx, key).Result()
				if err != nil {
					return err
				}
				h.value += float64(n)
			}
		}
		return nil
	})
	var out []held
	for _, h := range kinds {
		per := float64(sessions)
		out = append(out, held{h.kind, h.keys / per, h.name / per, h.value / per, h.usage / per})
	}
	slices.SortFunc(out, func(a, b held) int { return int(b.usage - a.usage) })
	return out, err
}

// memoryTables writes both tables.
func memoryTables(b *strings.Builder, all []memory, sessions int) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "## Bytes of a session on Redis\n\n%s sessions with six keys of text, signed in: the sum of MEMORY USAGE of all keys, for each session.\n\n| contestant | bytes |\n|---|--:|\n", thousands(float64(sessions)))
	for i := range all {
		fmt.Fprintf(b, "| %s | %.0f |\n", all[i].name, all[i].bytes)
	}
	b.WriteString("\nWhere Sojourn's bytes are. Sets have less than one key for each session, because a store has one of each kind in each bucket.\n\n" +
		"| buckets | keys | keys for each session | of it names | of it values | bytes |\n|--:|---|--:|--:|--:|--:|\n")
	for i := range all {
		for _, h := range all[i].parts {
			fmt.Fprintf(b, "| %d | %s | %.3f | %.0f | %.0f | %.0f |\n", all[i].buckets, h.kind, h.keys, h.name, h.value, h.usage)
		}
	}
	b.WriteString("\n")
}
