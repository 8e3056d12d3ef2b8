package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/boj/redistore"
	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/backends/redis"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// The marks beside figures of sessions.
const (
	comesBack = "r" // a session that was signed out meanwhile comes back
	lastWins  = "l" // of two requests at the same time, one's change is lost
	noIdle    = "i" // no idle timeout
)

// redisPrograms returns all contestants on the server at addr; the floor first, and
// again.
func redisPrograms(ctx context.Context, addr, name string) ([]*program, error) {
	var out []*program
	for i, floor := range []string{"by hand on go-redis", "the floor again"} {
		out = append(out, floorProgram(ctx, redisClient(addr), floor, fmt.Sprintf("%s-floor%d:", name, i)))
	}
	own, err := sojournProgram(ctx, redisClient(addr), name, nil)
	if err != nil {
		return out, err
	}
	out = append(out, own,
		scsProgram(ctx, redisClient(addr), "scs", name+"-scs:", 0),
		scsProgram(ctx, redisClient(addr), "scs, idle timeout", name+"-scsidle:", 30*time.Minute))
	gorilla, err := gorillaProgram(ctx, addr, name+"-gorilla:")
	if err != nil {
		return out, err
	}
	return append(out, gorilla), nil
}

func sojournProgram(ctx context.Context, c *goredis.Client, name string, opts *redis.Options) (*program, error) {
	backend, err := redis.New(c, name, opts)
	if err != nil {
		return nil, err
	}
	svc, err := session.New(backend, &session.Options{SweptElsewhere: true})
	if err != nil {
		return nil, err
	}
	if err := svc.CreateStorage(ctx); err != nil {
		return nil, err
	}
	user, count := session.NewKey[string]("user"), session.NewKey[int]("count")
	keys := map[string]session.Key[string]{}
	for k := range values {
		keys[k] = session.NewKey[string](k)
	}
	first := func(ctx context.Context) error {
		for k, v := range values {
			if err := keys[k].Set(ctx, v); err != nil {
				return err
			}
		}
		return nil
	}
	next := handler(func(w http.ResponseWriter, r *http.Request) error {
		ctx := r.Context()
		s, err := session.Require(ctx)
		if err != nil {
			return err
		}
		switch r.URL.Path {
		case signIn:
			if err := first(ctx); err != nil {
				return err
			}
			return s.SignIn(ctx, "user-"+rand.Text(), nil) // few sessions have the same principal
		case paths["first-values"]:
			return first(ctx)
		case paths["write"]:
			return count.Update(ctx, func(n *int) error { *n++; return nil })
		case paths["renew"]:
			return s.Rotate(ctx)
		case paths["sign-out"]:
			return s.SignOut(ctx)
		}
		who, _, err := user.Get(ctx)
		if err == nil && who != "ann" {
			err = errStranger
		}
		if err == nil {
			_, err = fmt.Fprintln(w, "hello", who)
		}
		return err
	})
	return &program{
		name: "Sojourn", handler: sessionhttp.Handler(svc, next),
		bytes: func() (float64, error) { return bytesOf(ctx, c, name+":") },
		close: func() error { return errors.Join(backend.DeleteStorage(ctx), c.Close()) },
	}, nil
}

var errStranger = errors.New("the session is of somebody else")

// scsProgram hashes ids in the store, as the others do: it is an option of scs.
func scsProgram(ctx context.Context, c *goredis.Client, name, prefix string, idle time.Duration) *program {
	m := scs.New()
	m.Store = goredisstore.NewWithPrefix(c, prefix)
	m.IdleTimeout, m.HashTokenInStore = idle, true
	marks := map[string]string{"": noIdle, "write": noIdle + lastWins + comesBack, "renew": noIdle + comesBack}
	if idle > 0 {
		marks = map[string]string{"read-only": lastWins + comesBack, "write": lastWins + comesBack, "renew": comesBack}
	}
	next := handler(func(w http.ResponseWriter, r *http.Request) error {
		ctx := r.Context()
		switch r.URL.Path {
		case signIn, paths["first-values"]:
			for k, v := range values {
				m.Put(ctx, k, v)
			}
			return nil
		case paths["write"]:
			m.Put(ctx, "count", m.GetInt(ctx, "count")+1)
			return nil
		case paths["renew"]:
			return m.RenewToken(ctx)
		case paths["sign-out"]:
			return m.Destroy(ctx)
		}
		who := m.GetString(ctx, "user")
		if who != "ann" {
			return errStranger
		}
		_, err := fmt.Fprintln(w, "hello", who)
		return err
	})
	return &program{
		name: name, marks: marks, handler: m.LoadAndSave(next),
		bytes: func() (float64, error) { return bytesOf(ctx, c, prefix) },
		close: func() error { return errors.Join(dropKeys(ctx, c, prefix), c.Close()) },
	}
}

// gorillaProgram is gorilla/sessions with redistore, with as many connections as
// go-redis has.
func gorillaProgram(ctx context.Context, addr, prefix string) (*program, error) {
	c := redisClient(addr)
	m, err := redistore.NewRediStore(c.Options().PoolSize, "tcp", addr, "", "", []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		return nil, err
	}
	m.SetKeyPrefix(prefix)
	m.SetMaxAge(int(life / time.Second))
	next := handler(func(w http.ResponseWriter, r *http.Request) error {
		s, err := m.Get(r, "id")
		if err != nil {
			return err
		}
		switch r.URL.Path {
		case signIn, paths["first-values"]:
			for k, v := range values {
				s.Values[k] = v
			}
			return s.Save(r, w)
		case paths["write"]:
			n, _ := s.Values["count"].(int)
			s.Values["count"] = n + 1
			return s.Save(r, w)
		case paths["sign-out"]:
			s.Options.MaxAge = -1
			return s.Save(r, w)
		}
		who, _ := s.Values["user"].(string)
		if who != "ann" {
			return errStranger
		}
		_, err = fmt.Fprintln(w, "hello ann")
		return err
	})
	return &program{
		name: "gorilla redistore", lacks: []string{"renew"}, handler: next,
		marks: map[string]string{"": noIdle, "write": noIdle + lastWins + comesBack},
		bytes: func() (float64, error) { return bytesOf(ctx, c, prefix) },
		close: func() error { return errors.Join(dropKeys(ctx, c, prefix), m.Close(), c.Close()) },
	}, nil
}
