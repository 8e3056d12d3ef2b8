package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// values is what a session holds: six keys.
var values = map[string]string{"user": "ann", "name": "Ann Example", "theme": "dark", "language": "en", "zone": "Europe/Lisbon", "cart": "apple, pear, plum"}

// sessionOps are the requests, in the order of the tables.
var sessionOps = []string{"read-only", "write", "first-values", "renew", "sign-out"}

// The paths of the program that every contestant serves.
var paths = map[string]string{"read-only": "/read", "write": "/write", "first-values": "/first", "renew": "/renew", "sign-out": "/out"}

const signIn = "/in" // sets the values, and signs in where that is more

// program is the handler of one contestant.
type program struct {
	name    string
	marks   map[string]string // by request; "" is for all of them
	lacks   []string          // requests that it has no way to answer
	handler http.Handler
	bytes   func() (float64, error) // in the server, all keys together
	close   func() error
}

// answer is a ResponseWriter that keeps headers and status.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(p []byte) (int, error) { return len(p), nil }
func (a *answer) WriteHeader(status int)      { a.status = status }

// request sends a request with a cookie and returns the cookie that the client has
// afterwards.
func (p *program) request(path, cookie string) (string, error) {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	p.handler.ServeHTTP(w, r)
	if w.status != http.StatusOK {
		return "", fmt.Errorf("%s of %s is answered with status %d", path, p.name, w.status)
	}
	for _, set := range w.header["Set-Cookie"] {
		cookie, _, _ = strings.Cut(set, ";")
	}
	return cookie, nil
}

func (p *program) end() error { return p.close() }

func (p *program) single(c cell) (side, bool) {
	if slices.Contains(p.lacks, c.op) {
		return side{}, false
	}
	marks := p.marks[c.op]
	if marks == "" {
		marks = p.marks[""]
	}
	out := side{name: p.name, marks: marks}
	path := paths[c.op]
	each := func(lo, hi int, do func(i int) error) error {
		_, err := run(preparers, lo, hi, func(_, i int) error { return do(i) })
		return err
	}
	switch c.op {
	case "read-only", "write", "renew":
		// Each client has a session of its own.
		jar := make([]string, c.clients)
		var once sync.Once
		var failed error
		out.prepare = func(int, int) error {
			once.Do(func() {
				failed = each(0, c.clients, func(i int) (err error) {
					jar[i], err = p.request(signIn, "")
					return err
				})
			})
			return failed
		}
		out.do = func(client, _ int) (err error) {
			jar[client], err = p.request(path, jar[client])
			return err
		}
	case "first-values", "sign-out":
		// Each call has a session of its own.
		jar, first := []string{}, 0
		in := func(i int) (err error) {
			if jar[i-first], err = p.request(signIn, ""); err == nil && jar[i-first] == "" {
				err = errNoCookie
			}
			return err
		}
		out.prepare = func(lo, hi int) error {
			jar, first = make([]string, hi-lo), lo
			if c.op == "first-values" {
				return nil
			}
			return each(lo, hi, in)
		}
		if c.op == "sign-out" {
			out.do = func(_, i int) error {
				_, err := p.request(path, jar[i-first])
				return err
			}
			break
		}
		out.do = func(_, i int) (err error) {
			jar[i-first], err = p.request(path, "")
			return err
		}
		out.after = func(lo, hi int) error {
			return each(lo, hi, func(i int) error {
				if jar[i-first] == "" {
					return errNoCookie
				}
				_, err := p.request(paths["sign-out"], jar[i-first])
				return err
			})
		}
	}
	return out, true
}

var errNoCookie = errors.New("a request that stores a session sets no cookie")
