package foreign

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/backends"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// redisTarget is what a URL says besides what go-redis reads.
type redisTarget struct {
	prefix, encoding string
	passed           url.Values
}

func (t *redisTarget) params(k *kind) *backends.Params {
	var p backends.Params
	p.Text(&t.prefix, "prefix", "What the library puts in front of its keys. The default is "+k.prefix+".")
	if k.gob {
		p.Text(&t.encoding, "encoding", "The library's serializer: gob, which is the default, or json.")
	}
	t.passed = url.Values{}
	p.Pass(t.passed, backends.Param{Name: "skip_verify", Form: backends.FormSwitch, Doc: "An option of go-redis."})
	return &p
}

func init() {
	for library, k := range kinds {
		for _, scheme := range []string{"redis", "rediss"} {
			backends.Register(library+"+"+scheme, openRedis, new(redisTarget).params(&k).List()...)
		}
	}
}

// openRedis opens a URL of the form scs+redis://user:password@host:port/db.
func openRedis(_ context.Context, u *url.URL) (driver.ModelExpirySupport, error) {
	library, own := split(u)
	k := kinds[library]
	t := redisTarget{prefix: k.prefix}
	if err := t.params(&k).Parse(u); err != nil {
		return nil, err
	}
	switch t.encoding {
	case "":
	case "gob", "json":
		k.encoding = t.encoding
	default:
		return nil, model.NewError(model.ErrInvalid, "the parameter encoding is neither gob nor json", nil)
	}
	own.RawQuery = t.passed.Encode()
	o, err := redis.ParseURL(own.String())
	if err != nil { // its text may quote a password
		return nil, model.NewError(model.ErrInvalid, "the URL is not "+u.Scheme+"://user:password@host:port/db", nil)
	}
	o.ContextTimeoutEnabled = true
	return &Source{scheme: u.Scheme, kind: k, server: &redisServer{client: redis.NewClient(o), prefix: t.prefix}}, nil
}

type redisServer struct {
	client *redis.Client
	prefix string
}

func (s *redisServer) close() error { return s.client.Close() }

// pattern finds all keys with the prefix. What a pattern gives a meaning is
// escaped.
func (s *redisServer) pattern() string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s.prefix) + "*"
}

func (s *redisServer) list(ctx context.Context, after string, limit int) ([]entry, string, error) {
	var cursor uint64
	if after != "" {
		var err error
		if cursor, err = strconv.ParseUint(after, 10, 64); err != nil {
			return nil, "", model.NewError(model.ErrInvalid, "the page token is not one of this store", nil)
		}
	}
	keys, cursor, err := s.client.Scan(ctx, cursor, s.pattern(), int64(limit)).Result()
	if err != nil {
		return nil, "", said(err)
	}
	slices.Sort(keys)
	keys = slices.Compact(keys) // a scan may find a key twice
	for i := range keys {
		keys[i] = keys[i][len(s.prefix):]
	}
	entries, err := s.get(ctx, keys)
	next := ""
	if cursor != 0 {
		next = strconv.FormatUint(cursor, 10)
	}
	return entries, next, err
}

// get reads values with the times at which they expire, as the server has them:
// a time that is left would differ with each pass.
func (s *redisServer) get(ctx context.Context, names []string) ([]entry, error) {
	if len(names) == 0 {
		return nil, nil
	}
	values, times := make([]*redis.StringCmd, len(names)), make([]*redis.DurationCmd, len(names))
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			values[i], times[i] = p.Get(ctx, s.prefix+name), p.PExpireTime(ctx, s.prefix+name)
		}
		return nil
	})
	entries := make([]entry, 0, len(names))
	for i, name := range names {
		e := entry{name: name}
		value, valueErr := values[i].Bytes()
		left, timeErr := times[i].Result()
		switch {
		case errors.Is(valueErr, redis.Nil) || timeErr == nil && left == -2:
			continue // it ended
		case redis.HasErrorPrefix(valueErr, "WRONGTYPE"):
			e.broken = true
		case valueErr != nil:
			return nil, said(valueErr)
		case timeErr != nil:
			return nil, said(timeErr)
		case left >= 0:
			e.expires = time.UnixMilli(left.Milliseconds()).UTC()
		}
		e.value = value
		entries = append(entries, e)
	}
	return entries, nil
}

// said names the kind of an error of the server.
func said(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case redis.HasErrorPrefix(err, "ERR unknown command"):
		return model.NewError(model.ErrUnsupported, "the server does not know PEXPIRETIME: Redis 7.0 or Valkey is needed", nil)
	}
	return model.NewError(model.ErrUnavailable, "the server's sessions cannot be read", err)
}
