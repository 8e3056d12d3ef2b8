package bench

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	goredis "github.com/redis/go-redis/v9"
)

// floorProgram is sessions by hand: the hash of the cookie is the key, JSON the
// value, and every change is conditional, so that nothing comes back that has been
// signed out.
func floorProgram(ctx context.Context, c *goredis.Client, name, prefix string) *program {
	set := func(token string, v map[string]string, mode string) error {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		args := goredis.SetArgs{Mode: mode, TTL: life}
		if mode == "XX" {
			args = goredis.SetArgs{Mode: mode, KeepTTL: true}
		}
		return c.SetArgs(ctx, prefix+hashed(token), data, args).Err()
	}
	get := func(r *http.Request) (token string, v map[string]string, err error) {
		cookie, err := r.Cookie("id")
		if err != nil {
			return "", nil, err
		}
		data, err := c.Get(ctx, prefix+hashed(cookie.Value)).Bytes()
		if err == nil {
			err = json.Unmarshal(data, &v)
		}
		return cookie.Value, v, err
	}
	first := func(w http.ResponseWriter) error {
		token := rand.Text()
		http.SetCookie(w, &http.Cookie{Name: "id", Value: token, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
		return set(token, values, "NX")
	}
	return &program{
		name: name, marks: map[string]string{"write": lastWins},
		handler: handler(func(w http.ResponseWriter, r *http.Request) error {
			if r.URL.Path == signIn || r.URL.Path == paths["first-values"] {
				return first(w)
			}
			token, v, err := get(r)
			if err != nil {
				return err
			}
			switch r.URL.Path {
			case paths["write"]:
				v["count"] += "1"
				if len(v["count"]) > 9 {
					v["count"] = ""
				}
				return set(token, v, "XX")
			case paths["renew"]:
				data, err := json.Marshal(v)
				if err != nil {
					return err
				}
				fresh := rand.Text()
				_, err = c.TxPipelined(ctx, func(p goredis.Pipeliner) error {
					p.Del(ctx, prefix+hashed(token))
					p.SetArgs(ctx, prefix+hashed(fresh), data, goredis.SetArgs{Mode: "NX", TTL: life})
					return nil
				})
				http.SetCookie(w, &http.Cookie{Name: "id", Value: fresh, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
				return err
			case paths["sign-out"]:
				return c.Del(ctx, prefix+hashed(token)).Err()
			}
			_, err = fmt.Fprintln(w, "hello", v["user"])
			return err
		}),
		bytes: func() (float64, error) { return bytesOf(ctx, c, prefix) },
		close: func() error { return errors.Join(dropKeys(ctx, c, prefix), c.Close()) },
	}
}

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// handler answers errors with 500.
func handler(serve func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := serve(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

// bytesOf returns the sum of MEMORY USAGE of all keys with a prefix.
func bytesOf(ctx context.Context, c *goredis.Client, prefix string) (float64, error) {
	total := int64(0)
	_, err := scan(ctx, c, prefix, func(keys []string) error {
		for _, key := range keys {
			used, err := c.MemoryUsage(ctx, key, 0).Result()
			if err != nil {
				return err
			}
			total += used
		}
		return nil
	})
	return float64(total), err
}
