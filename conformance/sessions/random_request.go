package sessions

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// request1 is one request of a sequence.
type request1 struct {
	w        *world
	d        *device
	call     call
	exchange *sessiontest.Exchange
	left     time.Time
	brought  []string // values of the cookie
	visitor  bool     // no node can know these from those of a new visitor

	started, finished    bool
	paused, resume, done chan struct{}

	// What the handler saw and did.
	loaded int     // when, in the order of the sequence
	opened []*life // what its cookies opened then, to a node that reads it
	life   *life   // the session that was loaded; nil: a new one
	gen    int     // its generation then
	after  string
	value  string // what it wrote
	err    error
	status int
	header http.Header

	// What the model concluded.
	ok      bool
	seq     int
	gave    *token
	again   bool // the token was given before
	cleared bool
	becomes bearer // with a verb that succeeded
}

// leave lets a request leave a browser.
func (w *world) leave(d *device, c call) *request1 {
	w.checkJar(d)
	x := &request1{
		w: w, d: d, call: c, left: w.clock.Now(),
		paused: make(chan struct{}), resume: make(chan struct{}), done: make(chan struct{}),
	}
	id := w.callID()
	w.calls[id] = x
	o := sessiontest.Outgoing{Kind: c.kind, URL: shop, Header: http.Header{"X-Call": {id}}}
	if c.op != view {
		o.Method = http.MethodPost
	}
	d.turn++
	x.exchange = d.tabs[d.turn%len(d.tabs)].Send(o)
	if x.exchange.Request != nil {
		x.brought = w.brought(x.exchange.Request)
	}
	x.visitor = !slices.ContainsFunc(x.brought, func(text string) bool {
		k := w.tokens[text]
		return k != nil && !k.forgotten(x.left)
	})
	return x
}

// start runs the handler until it has loaded the session.
func (x *request1) start() {
	x.started = true
	go func() {
		defer close(x.done)
		x.exchange.Serve()
	}()
	select {
	case <-x.paused:
	case <-x.done:
	}
}

// run runs the handler to its end. Afterwards the model knows its effect.
func (x *request1) run() {
	if x.finished {
		return
	}
	x.finished = true
	if x.started {
		close(x.resume)
		<-x.done
	} else {
		x.call.early = false
		x.exchange.Serve()
	}
	x.w.served(x)
}

// handle is the program.
func (w *world) handle(rw http.ResponseWriter, r *http.Request) {
	x, ctx := w.calls[r.Header.Get("X-Call")], r.Context()
	s, ok := session.From(ctx)
	if !ok {
		w.fail(ruleServed, "there is no session in the context")
		return
	}
	x.err = x.load(ctx, s)
	if x.call.early {
		close(x.paused)
		<-x.resume
	}
	if x.err == nil {
		x.err = x.act(ctx, s)
	}
	if info, err := s.Info(ctx); err == nil {
		x.after = info.Handle
	}
	switch {
	case x.err == nil:
	case errors.Is(x.err, session.ErrUnauthenticated):
		rw.WriteHeader(http.StatusUnauthorized)
	case errors.Is(x.err, model.ErrInvalid), errors.Is(x.err, session.ErrImpersonating):
		rw.WriteHeader(http.StatusForbidden)
	case errors.Is(x.err, session.ErrGone):
		rw.WriteHeader(http.StatusConflict)
	default:
		rw.WriteHeader(http.StatusServiceUnavailable)
	}
}

// load reads the session and compares it with the model.
func (x *request1) load(ctx context.Context, s *session.Session) error {
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	w, now := x.w, x.w.clock.Now()
	x.loaded = w.next()
	for _, text := range x.brought {
		if k := w.tokens[text]; k != nil && k.opens(now) != no {
			x.opened = append(x.opened, k.of)
		}
	}
	if x.life = w.lives[info.Handle]; x.life == nil && info.Handle != "" {
		w.fail(ruleServed, "%s is served a session that no answer knows: %.6s", x.d.name, info.Handle)
		return nil
	}
	if x.life != nil {
		x.gen = x.life.gen
		x.life.usedMax = now
	}
	owner, sure := w.owner(x, now)
	if !sure {
		return nil
	}
	if owner != x.life {
		w.fail(ruleServed, "%s is served as %s, want %s", x.d.name, x.life.describe(), owner.describe())
		return nil
	}
	if owner == nil {
		return nil
	}
	actor := ""
	if owner.actor != nil {
		actor = owner.actor.principal
	}
	if info.Principal != owner.principal || info.Actor != actor {
		w.fail(ruleServed, "the session of %s says %q by %q", owner.describe(), info.Principal, info.Actor)
	}
	return x.loadData(ctx, owner)
}

func (x *request1) loadData(ctx context.Context, owner *life) error {
	for i, key := range []session.Key[string]{text, other} {
		v, _, err := key.Get(ctx)
		if err != nil {
			return err
		}
		if want := owner.data[keys[i]]; v != want {
			x.w.fail(ruleData, "%s of %s is %q, acknowledged was %q", keys[i], owner.describe(), v, want)
		}
	}
	n, _, err := count.Get(ctx)
	if err == nil && n != owner.count {
		x.w.fail(ruleData, "the count of %s is %d, acknowledged were %d", owner.describe(), n, owner.count)
	}
	return err
}

// owner returns the session that the request's cookies open. It returns false
// if the model cannot say so: near the idle deadline, with two sessions, and for
// a row that the node cannot read.
func (w *world) owner(x *request1, now time.Time) (*life, bool) {
	var out *life
	for _, text := range x.brought {
		k := w.tokens[text]
		if k == nil {
			continue
		}
		if x.blind(k.of) || x.blind(k.of.actor) {
			return nil, false
		}
		switch k.opens(now) {
		case unsure:
			return nil, false
		case yes:
			if out != nil && out != k.of {
				return nil, false
			}
			out = k.of
		}
	}
	return out, true
}

func (x *request1) act(ctx context.Context, s *session.Session) error {
	switch c := x.call; c.op {
	case write:
		x.value = "v" + strconv.Itoa(x.w.next())
		return []session.Key[string]{text, other}[c.key].Set(ctx, x.value)
	case count1:
		return count.Update(ctx, func(n *int) error { *n++; return nil })
	case login:
		return s.SignIn(ctx, x.w.person(c.user), nil)
	case logout:
		return s.SignOut(ctx)
	case rotateNow:
		return s.Rotate(ctx)
	case reauth:
		return s.Reauthenticate(ctx)
	case elevate:
		return s.Elevate(ctx, 2, time.Hour)
	case impersonate:
		return s.Impersonate(ctx, x.w.person(c.user), "support")
	case endImpersonation:
		return s.EndImpersonation(ctx)
	case destroyOthers:
		_, err := s.DestroyOthers(ctx)
		return err
	}
	return nil
}

func (w *world) person(i int) string { return people[i] + w.rank }

// given returns the tokens in the answer.
func (x *request1) given() []string {
	var out []string
	for _, line := range x.header["Set-Cookie"] {
		pair, _, _ := strings.Cut(line, ";")
		if name, value, _ := strings.Cut(pair, "="); name == x.w.cookie && value != "" {
			out = append(out, value)
		}
	}
	return out
}

// credentials records the token in the answer.
func (w *world) credentials(x *request1) {
	given := x.given()
	x.cleared = len(given) == 0 && len(x.header["Set-Cookie"]) > 0
	for _, text := range given {
		l := w.lives[handleOf(text)]
		if l == nil {
			w.fail(ruleCookie, "%s: the answer has a cookie of a session that nothing asked for", x.d.name)
			return
		}
		if k := w.tokens[text]; k != nil && (!x.ok || !x.call.op.verb()) {
			// The secret of a rotation, offered again as of the load.
			x.gave, x.again = k, true
			continue
		}
		if l.ended != "" {
			w.fail(ruleCookie, "%s: the answer has a cookie of a session that ended: %s", x.d.name, l.ended)
			return
		}
		x.gave = w.give(l, text)
		if x.gave.gen != l.gen {
			w.fail(ruleCookie, "%s: the answer has a cookie that was replaced", x.d.name)
		}
	}
}

// arrive delivers an answer, and says what the browser must have afterwards.
func (w *world) arrive(x *request1) {
	x.exchange.Deliver()
	must, now := &x.d.must, w.clock.Now()
	switch k := x.gave; {
	case x.ok && x.call.op == logout, x.ok && x.call.op.verb() && x.becomes.life != nil:
		*must = x.becomes
	case x.cleared && x.call.kind == sessiontest.Navigate && len(slices.Compact(slices.Clone(x.opened))) != 1:
		// A page whose cookies opened nothing, or two sessions. They are cleared
		// with every such page, also with one that arrives after a sign-in.
		*must = bearer{}
	case k == nil, k.of == must.life && k.gen == must.gen:
	case !must.certain(now), x.visitor, x.seq < must.seq, x.again && x.loaded < must.seq:
		// There was nothing to lose; or the request was a new visitor's; or the
		// answer is older than the sign-in, or offers a secret that was current
		// then. No server can know the order of its answers.
		*must = bearer{k.of, k.gen, x.seq}
	}
	if w.ambiguous(x.d) {
		*must = bearer{} // by design nobody: it is unknown which cookie is the user's own
	}
	w.checkJar(x.d)
}

// ambiguous reports whether the browser has cookies of two sessions that live.
func (w *world) ambiguous(d *device) bool {
	var first *life
	for _, c := range d.browser.Cookies() {
		k := w.tokens[c.Value]
		if k == nil || k.opens(w.clock.Now()) == no {
			continue
		}
		if first != nil && first != k.of {
			return true
		}
		first = k.of
	}
	return false
}

// checkJar checks that a user who must be signed in has the cookie for it.
func (w *world) checkJar(d *device) {
	now := w.clock.Now()
	if !d.must.certain(now) {
		return
	}
	for _, c := range d.browser.Cookies() {
		if k := w.tokens[c.Value]; c.Name == w.cookie && k != nil && k.of == d.must.life && k.opens(now) == yes {
			return
		}
	}
	w.fail(ruleLost, "%s lost its session: the browser has no cookie of %s, which lives; it has %v", d.name, d.must.life.describe(), d.browser.Cookies())
}

// clears checks that a browser got rid of cookies that open nothing: not of several
// without the prefix __Host-, since one of a subdomain would stay alone.
func (w *world) clears(d *device) {
	sent := w.brought(d.tabs[0].Send(sessiontest.Outgoing{URL: shop}).Request)
	live := 0
	for _, text := range sent {
		if k := w.tokens[text]; k != nil && k.opens(w.clock.Now()) != no {
			live++
		}
	}
	several := len(slices.Compact(slices.Sorted(slices.Values(sent)))) > 1 && !strings.HasPrefix(w.cookie, "__Host-")
	if len(sent) > 0 && live == 0 && !several {
		w.fail(ruleStale, "%s still sends %d cookies that open nothing, after two pages", d.name, len(sent))
	}
}
