package sessions

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The old faults, planted again around a node. The random sequences have to find
// each of them.
var plants = []struct {
	name  string
	rule  rule
	plant func(w *world, node http.Handler) http.Handler
}{
	{"TheCookieEndsWithTheIdleDeadline", ruleLost, shortCookie},
	{"AReplacedCookieMeansANewVisitor", ruleLost, forgottenCookie},
	{"TwoCookiesMeanNobody", ruleServed, twoCookies},
	{"AMalformedCookieStays", ruleStale, keptCookie},
}

func TestRandomSequencesFindPlantedFaults(t *testing.T) {
	sequences := rapid.Custom(drawSteps)
	for _, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			store, ctx := newStore(t, inMemory()), context.WithoutCancel(t.Context())
			good := settings()[0]
			bad := good
			bad.plant = p.plant
			for seed := range 5000 {
				steps := sequences.Example(seed)
				f, err := store.run(ctx, bad, steps)
				if err != nil {
					t.Fatal(err)
				}
				if f == nil || f.rule != p.rule {
					continue
				}
				if f, err := store.run(ctx, good, steps); f != nil || err != nil {
					t.Fatalf("the sequence fails without the fault too: %v %v", f, err)
				}
				t.Logf("sequence %d shows it: %s", seed, f.what)
				return
			}
			t.Error("no sequence has found it")
		})
	}
}

// editing changes the headers of an answer before they leave.
type editing struct {
	http.ResponseWriter
	edit func(code int)
	done bool
}

func (e *editing) WriteHeader(code int) {
	if !e.done {
		e.done = true
		e.edit(code)
	}
	e.ResponseWriter.WriteHeader(code)
}

func (e *editing) Write(p []byte) (int, error) {
	if !e.done {
		e.WriteHeader(http.StatusOK)
	}
	return e.ResponseWriter.Write(p)
}

// edited runs the node and then the edit, before the headers leave.
func edited(rw http.ResponseWriter, r *http.Request, node http.Handler, edit func(code int)) {
	e := &editing{ResponseWriter: rw, edit: edit}
	node.ServeHTTP(e, r)
	if !e.done {
		e.WriteHeader(http.StatusOK)
	}
}

// tokenOf returns the token in a Set-Cookie line, or "".
func (w *world) tokenOf(line string) string {
	pair, _, _ := strings.Cut(line, ";")
	name, value, _ := strings.Cut(pair, "=")
	if name != w.cookie {
		return ""
	}
	return value
}

// shortCookie lets the cookie end with the idle deadline of its answer. A use
// with the newest secret moves both, and no other does.
func shortCookie(w *world, node http.Handler) http.Handler {
	newest, given := map[string]string{}, map[string]time.Time{}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		brought := w.brought(r)
		edited(rw, r, node, func(code int) {
			h, now := rw.Header(), w.clock.Now()
			lines := slices.DeleteFunc(h["Set-Cookie"], func(line string) bool {
				text := w.tokenOf(line)
				_, offered := given[text]
				return offered && !slices.Contains(brought, text)
			})
			for i, line := range lines {
				if text := w.tokenOf(line); text != "" {
					newest[handleOf(text)], given[text] = text, now
					lines[i] = line + "; Max-Age=1800"
				}
			}
			if len(lines) == 0 && code == http.StatusOK && len(brought) == 1 {
				text := brought[0]
				if newest[handleOf(text)] == text && now.Sub(given[text]) >= touch {
					given[text] = now
					lines = append(lines, w.cookie+"="+text+"; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=1800")
				}
			}
			h["Set-Cookie"] = lines
		})
	})
}

// forgottenCookie takes a request with a cookie that a verb has replaced for a
// new visitor's.
func forgottenCookie(w *world, node http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for _, text := range w.brought(r) {
			if k := w.tokens[text]; k != nil && (k.gen != k.of.gen || k.of.ended != "") {
				r.Header.Del("Cookie")
				break
			}
		}
		node.ServeHTTP(rw, r)
	})
}

// twoCookies takes two cookies of the name for a malformed one.
func twoCookies(w *world, node http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if len(w.brought(r)) > 1 {
			r.Header.Set("Cookie", w.cookie+"=more than one")
		}
		node.ServeHTTP(rw, r)
	})
}

// keptCookie clears a cookie at a sign-out only.
func keptCookie(w *world, node http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		x := w.calls[r.Header.Get("X-Call")]
		edited(rw, r, node, func(int) {
			if x.call.op != logout {
				rw.Header()["Set-Cookie"] = slices.DeleteFunc(rw.Header()["Set-Cookie"], func(line string) bool { return w.tokenOf(line) == "" })
			}
		})
	})
}
