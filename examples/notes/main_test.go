package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// TestTutorial does what the page says under "Try it".
func TestTutorial(t *testing.T) {
	kit := sessiontest.New(t, nil)
	b := sessiontest.NewBrowser(routes(kit.Service), &sessiontest.BrowserOptions{Clock: kit.Clock})
	tab := b.NewTab()
	see := func(a *sessiontest.Answer, want ...string) {
		t.Helper()
		for _, text := range want {
			if a.Err != nil || a.Status != 200 || !strings.Contains(a.Body, text) {
				t.Fatalf("%d %v without %q:\n%s", a.Status, a.Err, text, a.Body)
			}
		}
	}
	see(tab.Open("https://notes.example/"), "Hello stranger")
	if n := len(b.Cookies()); n != 0 {
		t.Errorf("%d cookies before the first note", n)
	}
	see(tab.Submit("/notes", url.Values{"note": {"one"}}), "<li>one</li>")
	if a := tab.Submit("/login", url.Values{"user": {"alice"}, "password": {"coffee"}}); a.Status != 403 {
		t.Errorf("a wrong password: %d", a.Status)
	}
	see(tab.Submit("/login", url.Values{"user": {"alice"}, "password": {"tea"}}), "Hello alice", "<li>one</li>")
	see(tab.Submit("/notes", url.Values{"note": {"two"}}), "<li>one</li>", "<li>two</li>")
	// Each sign-in is a session of its own.
	other := sessiontest.NewBrowser(routes(kit.Service), &sessiontest.BrowserOptions{Clock: kit.Clock}).NewTab()
	see(other.Open("https://notes.example/"), "Hello stranger")
	see(other.Submit("/login", url.Values{"user": {"alice"}, "password": {"tea"}}), "Hello alice")
	see(tab.Submit("/logout", nil), "Hello stranger")
	see(other.Open("https://notes.example/"), "Hello alice")
}
