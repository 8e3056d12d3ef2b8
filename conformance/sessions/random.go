package sessions

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// A sequence has 60 steps on average, in parts that rapid makes shorter each for
// itself.
const (
	parts   = 12
	partLen = 10
)

// RunRandom runs random sequences of what people and networks do: sign-ins,
// writes, rotations, lost answers, answers in another order, two nodes, two
// versions of a node. Two simulated browsers use a handler of package
// sessionhttp, and a model says what each user must see. A failed sequence is
// made shorter and printed. The flag -rapid.checks sets the number of sequences,
// 100 by default for each setting.
//
// It uses Harness.Open. It is apart from Run because a long run takes minutes.
func RunRandom(t *testing.T, h conformance.Harness) {
	t.Helper()
	if h.Open == nil {
		t.Fatal("sessions: Harness.Open is missing")
	}
	for _, s := range settings() {
		t.Run(s.name, func(t *testing.T) {
			store, ctx := newStore(t, h), context.WithoutCancel(t.Context())
			rapid.Check(t, func(t *rapid.T) {
				steps := drawSteps(t)
				failed, err := store.run(ctx, s, steps)
				if err != nil {
					t.Fatal(err)
				}
				if failed != nil {
					t.Log(failed.what + "\n  " + strings.Join(failed.trace, "\n  "))
					// One text for each rule, so that the sequence is made shorter.
					t.Fatal(string(failed.rule))
				}
			})
		})
	}
}

// setting is how the nodes of a sequence are set up.
type setting struct {
	name string
	http sessionhttp.Options
	// rolling lets the second node write rows of a newer version, which the
	// first one cannot read.
	rolling bool
	// plant puts an old fault into a node. Nil means none.
	plant func(w *world, node http.Handler) http.Handler
	// forgive are rules that are not checked.
	forgive []rule
}

const shop = "https://app.example.com/"

func settings() []setting {
	return []setting{
		{name: "HostCookie"},
		{name: "DomainCookie", http: sessionhttp.Options{Domain: "example.com", CookieName: "__Secure-sid"}},
		{name: "RollingDeploy", rolling: true},
	}
}

// action says what a step does.
type action uint8

const (
	visit   action = iota // send, serve and deliver a request
	send                  // let a request leave
	serve                 // run the handler of a request under way to its end
	deliver               // let an answer arrive
	lose                  // lose an answer
	advance               // move the clock
	plant                 // another cookie of the name appears
	socket                // open or touch a view that outlives its request
	stay                  // an hour with a page every 20 minutes: the next request rotates
)

// opKind says what a request asks for.
type opKind uint8

const (
	view opKind = iota
	write
	count1
	login
	logout
	rotateNow
	reauth
	elevate
	impersonate
	endImpersonation
	destroyOthers
	opKinds
)

var opNames = [opKinds]string{"view", "write", "count", "sign in", "sign out", "rotate", "reauthenticate", "elevate", "impersonate", "end impersonation", "destroy others"}

// verb reports whether a person asks for the operation and its answer changes
// who they are.
func (o opKind) verb() bool { return o >= login && o != destroyOthers }

// call is a request.
type call struct {
	op    opKind
	kind  sessiontest.Kind
	user  int  // of people, to sign in as or to impersonate
	key   int  // of keys, to write
	node  int  // that serves it
	early bool // it loads its session when it leaves, and acts later
}

var (
	people = []string{"ann", "bob"}
	keys   = []string{"cart", "note"}
)

// step is one step of a sequence.
type step struct {
	do    action
	phone bool // the second browser
	call  call
	at    int // which request under way, which cookie
	wait  time.Duration
}

// String prints the step as a Go program of a regression case writes it.
func (s step) String() string {
	who := "laptop"
	if s.phone {
		who = "phone"
	}
	switch s.do {
	case visit, send:
		verb := map[action]string{visit: "visits", send: "sends"}[s.do]
		out := fmt.Sprintf("%s %s: %s by %s on node %d", who, verb, s.call.text(), s.call.kind, s.call.node)
		if s.call.early && s.do == send {
			out += ", loads now"
		}
		return out
	case serve:
		return fmt.Sprintf("serve request %d", s.at)
	case deliver:
		return fmt.Sprintf("deliver request %d", s.at)
	case lose:
		return fmt.Sprintf("lose request %d", s.at)
	case advance:
		return "advance " + s.wait.String()
	case plant:
		return fmt.Sprintf("%s gets cookie %d", who, s.at)
	case stay:
		return who + " stays for an hour"
	}
	return who + " uses a socket"
}

func (c call) text() string {
	switch c.op {
	case login, impersonate:
		return opNames[c.op] + " as " + people[c.user]
	case write:
		return "write " + keys[c.key]
	}
	return opNames[c.op]
}

// waits are from the most to the least frequent.
var waits = []time.Duration{
	time.Second, time.Second, time.Second, 31 * time.Second, 31 * time.Second, 4 * time.Minute, 4 * time.Minute,
	20 * time.Minute, 20 * time.Minute, 26 * time.Minute, 31 * time.Minute, 12 * time.Hour,
}

var drawnActions = []action{
	visit, visit, visit, visit, send, send, send, send, deliver, deliver, deliver, lose, advance, advance, serve, plant, socket, stay,
}

func drawSteps(t *rapid.T) []step {
	var out []step
	for range parts {
		out = append(out, rapid.SliceOfN(rapid.Custom(drawStep), 0, partLen).Draw(t, "steps")...)
	}
	return out
}

// drawStep draws a step. Small numbers mean the simple and frequent ones.
func drawStep(t *rapid.T) step {
	do := rapid.SampledFrom(drawnActions).Draw(t, "do")
	s := step{do: do}
	switch do {
	case visit, send:
		s.phone = rapid.IntRange(0, 5).Draw(t, "phone") == 5
		s.call = drawCall(t, do == send)
	case serve, deliver, lose:
		s.at = rapid.IntRange(0, maxUnderWay-1).Draw(t, "request")
	case advance:
		s.wait = rapid.SampledFrom(waits).Draw(t, "wait")
	case plant:
		s.at = rapid.IntRange(0, len(planted)-1).Draw(t, "cookie")
	}
	return s
}

func drawCall(t *rapid.T, background bool) call {
	c := call{op: rapid.SampledFrom([]opKind{
		view, view, view, view, write, write, count1, login, login, login, logout, rotateNow, reauth, elevate, impersonate, impersonate, endImpersonation, destroyOthers,
	}).Draw(t, "op")}
	c.node = rapid.IntRange(0, 1).Draw(t, "node")
	switch c.op {
	case login, impersonate:
		c.user = rapid.IntRange(0, len(people)-1).Draw(t, "user")
	case write:
		c.key = rapid.IntRange(0, len(keys)-1).Draw(t, "key")
	}
	if background {
		c.early = rapid.Bool().Draw(t, "early")
		if !c.op.verb() {
			c.kind = rapid.SampledFrom([]sessiontest.Kind{sessiontest.Navigate, sessiontest.Fetch, sessiontest.Beacon}).Draw(t, "kind")
		}
	}
	return c
}

// rule is what must hold in every sequence.
type rule string

const (
	ruleLost    rule = "a signed-in user stays so: through background requests, lost answers and races"
	ruleServed  rule = "a request is served as the session that its cookies open, and as nobody if that has ended"
	ruleEnded   rule = "nothing happens in a session that has ended"
	ruleData    rule = "an acknowledged value is there"
	ruleRows    rule = "the rows of the store are the sessions that live, one for each sign-in"
	ruleCookie  rule = "an answer has the cookie of a session that lives, or none"
	ruleRefused rule = "a request that may succeed does, unless something has overtaken it"
	ruleStale   rule = "a cookie that opens nothing goes away with the next pages"
)

// failure is what a sequence has shown.
type failure struct {
	rule rule
	what string
	// trace has the steps, with what the nodes answered.
	trace []string
}

func (f *failure) Error() string { return fmt.Sprintf("%s\n  broken: %s", f.what, f.rule) }

// failure returns nil if all rules hold.
func (w *world) failure() *failure {
	if w.broken == "" {
		return nil
	}
	return &failure{w.rule, w.broken, w.trace}
}
