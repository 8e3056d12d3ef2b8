package sessions

import (
	"context"
	"strings"

	"github.com/sojourn-go/sojourn/session"
)

// request is one unit of work: a session, and a context that carries it.
type request struct {
	c *C
	s *session.Session
	context.Context
}

// open begins a request with the token, on the first node.
func (c *C) open(token string) *request { return c.openOn(c.svc, token) }

func (c *C) openOn(svc *session.Service, token string) *request {
	s := svc.Open(token)
	return &request{c, s, session.NewContext(c.Context(), s)}
}

func (r *request) commit() session.Credential {
	r.c.Helper()
	k, err := r.s.Commit(r)
	r.c.ok(err, "Commit")
	return k
}

// commitRead is the end of a request that reads.
func (r *request) commitRead() session.Credential {
	r.c.Helper()
	r.info()
	return r.commit()
}

func (r *request) signIn(principal string) {
	r.c.Helper()
	r.c.ok(r.s.SignIn(r, principal, nil), "SignIn")
}

func (r *request) set(v string) { r.c.Helper(); r.c.ok(text.Set(r, v), "Set") }

func (r *request) info() session.Info {
	r.c.Helper()
	info, err := r.s.Info(r)
	r.c.ok(err, "Info")
	return info
}

// has stops the case unless text has the value.
func (r *request) has(want string) {
	r.c.Helper()
	v, ok, err := text.Get(r)
	r.c.ok(err, "Get")
	if !ok || v != want {
		r.c.Fatalf("text is %q (present: %v), want %q", v, ok, want)
	}
}

// empty stops the case unless the session is a new one.
func (r *request) empty() {
	r.c.Helper()
	info, err := r.s.Info(r)
	r.c.ok(err, "Info")
	_, ok, err := text.Get(r)
	r.c.ok(err, "Get")
	if info.Handle != "" || ok {
		r.c.Fatalf("the session exists: %+v", info)
	}
}

// client is a browser. It keeps a token and does what credentials say.
type client struct {
	c     *C
	token string
}

// take does what the credential says.
func (cl *client) take(k session.Credential) {
	switch k.Action {
	case session.ActionGive:
		cl.token = k.Token()
	case session.ActionClear:
		cl.token = ""
	}
}

// do makes a request that must succeed, and does what its credential says.
func (cl *client) do(run func(*request)) session.Credential {
	cl.c.Helper()
	r := cl.c.open(cl.token)
	run(r)
	k := r.commit()
	cl.take(k)
	return k
}

// newClient returns a client with an anonymous session, in which text has the
// value.
func (c *C) newClient(value string) *client {
	c.Helper()
	cl := &client{c: c}
	cl.do(func(r *request) { r.set(value) })
	if cl.token == "" {
		c.Fatal("a session with a value has no token")
	}
	return cl
}

// signedIn returns a client with a session of the principal.
func (c *C) signedIn(principal string) *client {
	c.Helper()
	cl := &client{c: c}
	cl.do(func(r *request) { r.signIn(principal) })
	return cl
}

// trySignIn signs a new client in as alice on the service. It returns the
// client's token.
func (c *C) trySignIn(svc *session.Service) (string, error) {
	r := c.openOn(svc, "")
	if err := r.s.SignIn(r, "alice", nil); err != nil {
		return "", err
	}
	k, err := r.s.Commit(r)
	return k.Token(), err
}

func handleOf(token string) string { h, _, _ := strings.Cut(token, "."); return h }
