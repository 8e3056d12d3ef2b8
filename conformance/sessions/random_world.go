package sessions

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/conformance"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

const (
	maxUnderWay = 4
	// patience is the longest time that a request is under way. The Overlap of
	// a replaced secret covers it.
	patience = 20 * time.Second
)

// store is the store of many sequences.
type store struct{ nodes [2]driver.ModelExpirySupport }

func newStore(t testing.TB, h conformance.Harness) *store {
	t.Helper()
	s, name := &store{}, freshName()
	for i := range s.nodes {
		b := h.Open(t, name)
		if b == nil {
			t.Fatal("Harness.Open returned nil")
		}
		s.nodes[i] = b
		t.Cleanup(func() {
			_ = driver.DeleteStorage(context.WithoutCancel(t.Context()), b)
			_ = b.Close()
		})
	}
	if err := driver.CreateStorage(t.Context(), s.nodes[0]); err != nil {
		t.Fatalf("CreateStorage: %v", err)
	}
	return s
}

// device is a browser and what the model knows about it.
type device struct {
	name    string
	browser *sessiontest.Browser
	tabs    [2]*sessiontest.Tab
	must    bearer
	views   []*session.Detached
	turn    int
}

// world is one sequence: nodes, browsers and the model.
type world struct {
	setting
	ctx     context.Context
	clock   *sessiontest.Clock
	svcs    [2]*session.Service
	nodes   [2]http.Handler
	newer   *newerNode // with rolling
	cookie  string     // its name
	devices [2]*device

	lives  map[string]*life
	tokens map[string]*token
	calls  map[string]*request1
	under  []*request1
	seq    int
	rank   string // makes principals of this sequence unique

	trace  []string
	rule   rule // that is broken
	broken string
}

// run runs the steps. It returns which rule they break, or nil.
func (s *store) run(ctx context.Context, set setting, steps []step) (*failure, error) {
	w, err := s.world(ctx, set)
	if err != nil {
		return nil, err
	}
	defer s.empty(ctx, w.clock.Now())
	defer w.close()
	for _, st := range steps {
		w.do(st)
		if w.broken != "" {
			return w.failure(), nil
		}
	}
	w.finish()
	return w.failure(), nil
}

func (s *store) world(ctx context.Context, set setting) (*world, error) {
	w := &world{
		setting: set, ctx: ctx, clock: sessiontest.NewClock(time.Now().Add(24 * time.Hour)), rank: "-" + freshName(),
		lives: map[string]*life{}, tokens: map[string]*token{}, calls: map[string]*request1{},
	}
	for i, b := range s.nodes {
		if i == 1 && set.rolling {
			w.newer = newNewerNode(b)
			b = w.newer
		}
		svc, err := session.New(b, &session.Options{
			Clock: w.clock, Logger: slog.New(slog.DiscardHandler), SweptElsewhere: true, Timeout: time.Minute,
		})
		if err != nil {
			return nil, err
		}
		o := set.http
		o.Logger = slog.New(slog.DiscardHandler)
		m, err := sessionhttp.New(svc, &o)
		if err != nil {
			return nil, err
		}
		w.svcs[i], w.cookie = svc, m.CookieName()
		w.nodes[i] = m.Wrap(http.HandlerFunc(w.handle))
		if set.plant != nil {
			w.nodes[i] = set.plant(w, w.nodes[i])
		}
	}
	for i, name := range []string{"laptop", "phone"} {
		d := &device{name: name, browser: sessiontest.NewBrowser(w, &sessiontest.BrowserOptions{Clock: w.clock})}
		for j := range d.tabs {
			d.tabs[j] = d.browser.NewTab()
			d.tabs[j].Open(shop)
		}
		w.devices[i] = d
	}
	return w, nil
}

// empty removes every row. At the time when the sequence began, none
// had expired.
func (s *store) empty(ctx context.Context, began time.Time) {
	for range 100 {
		p, err := s.nodes[0].Page(ctx, began, driver.Query{Limit: 500, KeysOnly: true})
		if err != nil || len(p.Records) == 0 && p.Next == "" {
			return
		}
		ops := make([]driver.BatchOp, len(p.Records))
		for i := range p.Records {
			ops[i].Delete = &driver.Delete{ID: p.Records[i].ID, Cond: driver.IfPresent}
		}
		driver.WriteMany(ctx, s.nodes[0], began, ops)
	}
}

// close ends what is under way.
func (w *world) close() {
	for _, x := range w.under {
		x.run()
	}
	for _, d := range w.devices {
		for _, v := range d.views {
			v.Close()
		}
	}
	for _, svc := range w.svcs {
		_ = svc.Close()
	}
}

// fail records the first thing that is wrong.
func (w *world) fail(r rule, format string, args ...any) {
	if w.broken != "" || slices.Contains(w.forgive, r) {
		return
	}
	w.rule, w.broken = r, fmt.Sprintf(format, args...)
	w.note("wrong: %s", w.broken)
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// ServeHTTP is the load balancer.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	x := w.calls[r.Header.Get("X-Call")]
	if x == nil {
		return // the first page of a tab has no session
	}
	out := &seen{ResponseWriter: rw}
	w.nodes[x.call.node].ServeHTTP(out, r)
	if x.status = out.status; x.status == 0 {
		x.status = http.StatusOK
	}
	x.header = rw.Header().Clone()
}

// do carries out a step. A step about a request that is not there does nothing.
func (w *world) do(s step) {
	d := w.devices[0]
	if s.phone {
		d = w.devices[1]
	}
	switch s.do {
	case visit:
		w.note("%v", s)
		c := s.call
		c.early = false
		x := w.leave(d, c)
		x.run()
		w.arrive(x)
	case send:
		if len(w.under) == maxUnderWay {
			return
		}
		w.note("%v", s)
		x := w.leave(d, s.call)
		w.under = append(w.under, x)
		if s.call.early {
			x.start()
		}
	case serve, deliver, lose:
		if s.at >= len(w.under) {
			return
		}
		w.note("%v", s)
		x := w.under[s.at]
		x.run()
		if s.do != serve {
			w.settle(x, s.do == deliver)
		}
	case advance:
		w.note("%v", s)
		w.advance(s.wait)
	case plant:
		w.note("%v", s)
		w.plantCookie(d, s.at)
	case socket:
		w.note("%v", s)
		w.socket(d)
	case stay:
		w.note("%v", s)
		for i := range 3 {
			w.do(step{do: advance, wait: 20 * time.Minute})
			if i < 2 {
				w.do(step{do: visit, phone: s.phone})
			}
		}
	}
}

// settle removes a request that is under way.
func (w *world) settle(x *request1, arrives bool) {
	w.under = slices.DeleteFunc(w.under, func(o *request1) bool { return o == x })
	if arrives {
		w.arrive(x)
		return
	}
	x.exchange.Lose()
}

// advance moves the clock. What would be under way for too long is lost.
func (w *world) advance(wait time.Duration) {
	for _, x := range slices.Clone(w.under) {
		if w.clock.Now().Add(wait).Sub(x.left) > patience {
			x.run()
			w.settle(x, false)
		}
	}
	w.clock.Advance(wait)
}

// finish loses what is under way, and checks what every browser sees and what
// the store has.
func (w *world) finish() {
	for len(w.under) > 0 {
		x := w.under[0]
		x.run()
		w.settle(x, false)
	}
	w.advance(overlap) // until then a page clears nothing that was just replaced
	for i := range w.devices {
		for range 2 {
			w.do(step{do: visit, phone: i == 1, call: call{op: view, node: 1}})
		}
		w.clears(w.devices[i])
	}
	w.audit()
}

// audit compares the rows of the store with the model.
func (w *world) audit() {
	now := w.clock.Now()
	have := map[string]bool{}
	for info, err := range w.svcs[1].All(w.ctx) {
		if err != nil {
			w.fail(ruleRows, "listing: %v", err)
			return
		}
		have[info.Handle] = true
		switch l := w.lives[info.Handle]; {
		case l == nil:
			w.fail(ruleRows, "a row that no answer knows: principal %q, handle %.6s", info.Principal, info.Handle)
		case l.ended != "":
			w.fail(ruleRows, "the row of %s is there, though it ended: %s", l.describe(), l.ended)
		}
	}
	for handle, l := range w.lives {
		if l.alive(now) == yes && !have[handle] && !now.Before(l.until) {
			w.fail(ruleRows, "the row of %s is gone", l.describe())
		}
	}
}

// brought returns the cookie's values in a request.
func (w *world) brought(r *http.Request) []string {
	var out []string
	for part := range strings.SplitSeq(r.Header.Get("Cookie"), "; ") {
		if name, value, ok := strings.Cut(part, "="); ok && name == w.cookie {
			out = append(out, value)
		}
	}
	return out
}

// planted are cookies of the name that are not the session's own.
var planted = []struct{ value, attrs string }{
	{"", "; Path=/; Secure; Partitioned"},
	{"garbage", "; Path=/; Secure; Partitioned"},
	{"same", "; Path=/; Secure; Partitioned"},
	{"garbage", "; Path=/; Secure"},
}

// plantCookie gives the browser another cookie of the name, as a former setup of
// the program or a proxy would. One that would replace the session's own is left
// out, unless there is none.
func (w *world) plantCookie(d *device, which int) {
	p := planted[which]
	own, has := d.browser.Cookie(w.cookie, shop)
	inPlace := !strings.Contains(p.attrs, "Partitioned") && (w.http.Domain == "" && !w.http.Partitioned)
	if has && inPlace {
		return
	}
	value := p.value
	if value == "same" {
		value = own
	}
	if value == "" && !has {
		return
	}
	if why := d.browser.SetCookie(shop, w.cookie+"="+value+p.attrs); why != "" {
		w.note("the browser ignores it: %s", why)
	}
}

// socket touches the oldest view of the device's session, or opens one.
func (w *world) socket(d *device) {
	w.checkJar(d)
	now := w.clock.Now()
	text, ok := d.browser.Cookie(w.cookie, shop)
	k := w.tokens[text]
	if !ok || k == nil || k.opens(now) != yes || w.newer.wrote(k.of) {
		return
	}
	for _, v := range d.views {
		if v.Handle() == k.of.handle && v.Err() == nil {
			if err := v.Touch(w.ctx); err != nil {
				w.fail(ruleRefused, "a socket of %s: %v", k.of.describe(), err)
			}
			k.of.use(now, true)
			return
		}
	}
	s := w.svcs[0].Open(text)
	v, err := session.Detach(session.NewContext(w.ctx, s))
	if err != nil {
		w.fail(ruleRefused, "Detach of %s: %v", k.of.describe(), err)
		return
	}
	d.views = append(d.views, v)
}

func (w *world) next() int { w.seq++; return w.seq }

func (w *world) callID() string { return strconv.Itoa(len(w.calls) + 1) }
