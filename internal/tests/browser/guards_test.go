package browser

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/examples/webapp/shop"
)

// TestForgedForms: a page of another site sends forms in the name of somebody who
// is signed in.
func TestForgedForms(t *testing.T) {
	inMemory(t)
	w, _ := start(t)
	w.serve(t, "evil.test", http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		out.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(out, `<!doctype html><link rel="icon" href="data:,"><form method="post" action="https://shop.test%s">
			<input name="item" value="Forged thing"><input name="user" value="admin"><input name="password" value="admin"><button>Win</button></form>`, r.URL.Path)
	}))
	p := newPerson(t)
	p.visits(home + "login")
	p.signsIn("demo", "/")
	token := p.cookies()[0].Value
	p.expects("403")
	for _, path := range []string{"/cart", "/login", "/logout", "/devices/delete-others", "/account/erase"} {
		p.visits("https://evil.test" + path)
		p.navigates(http.StatusForbidden, path, press("Win"))
		p.sees("Another site sent this to us in your name.")
		p.lacks("demo")
	}
	// By a script, with cookies as far as the browser gives them.
	p.visits("https://evil.test/cart")
	p.do(chromedp.Evaluate[chromedp.Void](`fetch("https://shop.test/cart", {method: "POST", mode: "no-cors", credentials: "include",
		body: new URLSearchParams({item: "Forged thing"})}).then(() => { window.answered = true })`))
	p.waits("window.answered")
	p.visits(home)
	p.sees("Good to see you, demo.", "Nothing in it yet")
	if c := p.cookies(); len(c) != 1 || c[0].Value != token {
		t.Errorf("the cookies are %+v", c)
	}
}

// TestBackAfterSignOut: the back button shows no page of the session that ended.
func TestBackAfterSignOut(t *testing.T) {
	inMemory(t)
	p := newPerson(t)
	p.visits(home + "devices")
	p.signsIn("demo", "/devices")
	p.sees("This device")
	p.presses("Sign out", "/goodbye")
	p.do(chromedp.NavigateBack())
	p.waits(`location.pathname == "/login"`)
	p.sees("Sign in")
	p.lacks("This device", "Signed in as")
	if kind := eval[string](p, `performance.getEntriesByType("navigation")[0].type`); kind != "back_forward" {
		t.Errorf("the page was loaded by %s, not by the button", kind)
	}
}

// TestCookiesOfTwoNames: one host has the shop by https and by http, each with its
// own cookie.
func TestCookiesOfTwoNames(t *testing.T) {
	inMemory(t)
	b, err := memory.New(memory.NewSpace(), "plain", nil)
	ok(t, err)
	plain, err := shop.New(b, &shop.Options{Logger: slog.New(slog.DiscardHandler)})
	ok(t, err)
	t.Cleanup(func() { _ = plain.Close() })
	w, _ := start(t)
	w.serve(t, "http://shop.test", plain)

	p := newPerson(t)
	p.visits(home + "login")
	p.signsIn("demo", "/")
	p.visits("http://shop.test/login")
	p.signsIn("admin", "/")
	p.visits(home)
	p.sees("Good to see you, demo.")
	p.visits("http://shop.test/")
	p.sees("Good to see you, admin.")
	var names []string
	for _, c := range p.cookies() {
		names = append(names, c.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"__Host-id", "id"}) {
		t.Errorf("the cookies are %v", names)
	}

	// A neighbour below the host puts cookies of both names beside them.
	w.serve(t, "sub.shop.test", http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		for _, token := range []string{"nonsense", strings.Repeat("A", 22) + "." + strings.Repeat("A", 43)} {
			for _, name := range []string{"__Host-id", "id"} {
				out.Header().Add("Set-Cookie", name+"="+token+"; Domain=shop.test; Path=/")
			}
		}
		_, _ = out.Write([]byte("hello"))
	}))
	p.visits("http://sub.shop.test/")
	if n := len(p.cookies()); n != 3 {
		t.Errorf("%d cookies, want the two and one of the neighbour's", n)
	}
	p.visits(home)
	p.sees("Good to see you, demo.")
	p.visits("http://shop.test/")
	p.sees("Good to see you, admin.")
	p.presses("Sign out", "/goodbye")
	p.visits("http://shop.test/")
	p.sees("Travel light.")
	p.visits(home)
	p.sees("Good to see you, demo.")
}
