package peers

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn/internal/tools/marks"
)

var update = flag.Bool("update", false, "write the comparison into the README")

// client has the cookies of one browser.
type client struct {
	t       *testing.T
	site    site
	cookies map[string]string
}

func newClient(t *testing.T, s site) *client {
	t.Helper()
	return &client{t, s, map[string]string{}}
}

// visit returns the status and the text of a page.
func (c *client) visit(path string) (int, string) {
	r := httptest.NewRequest(http.MethodGet, "https://example.com"+path, nil)
	for name, value := range c.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	a := c.site.serve(r)
	for _, cookie := range a.cookies {
		if cookie.MaxAge < 0 || cookie.Value == "" {
			delete(c.cookies, cookie.Name)
		} else {
			c.cookies[cookie.Name] = cookie.Value
		}
	}
	return a.status, a.text
}

// with returns another client with the same cookies.
func (c *client) with() *client {
	other := newClient(c.t, c.site)
	for name, value := range c.cookies {
		other.cookies[name] = value
	}
	return other
}

// show returns what the session has.
func (c *client) show() string { _, text := c.visit("/show"); return text }

// signedIn returns a client that is signed in.
func signedIn(t *testing.T, s site) *client {
	t.Helper()
	c := newClient(t, s)
	c.visit("/login")
	if got := c.show(); got != "alice  " {
		t.Fatalf("after the sign-in: %q", got)
	}
	return c
}

// during runs do while a request to path waits, after it has read its session.
func during(t *testing.T, open opener, path string, do func(c *client)) *client {
	t.Helper()
	reached, goOn := make(chan struct{}), make(chan struct{})
	s := open(t, func(p string) {
		if p == path {
			close(reached)
			<-goOn
		}
	})
	c := signedIn(t, s)
	before := c.with()
	done := make(chan struct{})
	go func() { defer close(done); c.with().visit(path) }()
	<-reached
	do(c)
	close(goOn)
	<-done
	return before
}

// situation is a row of the comparison. It returns "yes" or "no", or "–" if the
// library cannot be asked.
type situation struct {
	title string
	probe func(t *testing.T, l library) string
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

var situations = []situation{
	{"two requests that change two keys: both changes stay", func(t *testing.T, l library) string {
		t.Helper()
		c := during(t, l.open, "/write/a", func(c *client) { c.visit("/write/b") })
		return yes(c.show() == "alice 1 1")
	}},
	{"a sign-out while a request writes: the session stays ended", func(t *testing.T, l library) string {
		t.Helper()
		c := during(t, l.open, "/write/a", func(c *client) { c.visit("/logout") })
		return yes(!strings.Contains(c.show(), "alice"))
	}},
	{"a sign-out while a request only reads: the session stays ended", func(t *testing.T, l library) string {
		t.Helper()
		c := during(t, l.open, "/read", func(c *client) { c.visit("/logout") })
		return yes(!strings.Contains(c.show(), "alice"))
	}},
	{"a copy of the store's keys opens no session", func(t *testing.T, l library) string {
		t.Helper()
		s := l.open(t, func(string) {})
		signedIn(t, s)
		found := s.dump()
		if len(found) == 0 {
			t.Fatal("nothing in the store")
		}
		for _, value := range found {
			thief := newClient(t, s)
			thief.cookies[s.cookie] = value
			if strings.Contains(thief.show(), "alice") {
				return "no"
			}
		}
		return "yes"
	}},
	{"the store fails: an error, even if the handler looks at none", func(t *testing.T, l library) string {
		t.Helper()
		s := l.open(t, func(string) {})
		c := signedIn(t, s)
		s.fail()
		code, _ := c.visit("/show")
		return yes(code >= http.StatusInternalServerError)
	}},
	{"an idle and an absolute limit at the same time", func(t *testing.T, l library) string {
		t.Helper()
		if l.real {
			return "–" // its clock is not that of the test
		}
		ok := true
		s := l.open(t, func(string) {}) // outside: scs.New starts a goroutine for good
		visits := func(t *testing.T, pass func()) {
			t.Helper()
			unused, used := signedIn(t, s), signedIn(t, s)
			for range 5 { // 45 minutes in steps within the idle limit
				pass()
				used.visit("/write/a")
			}
			ok = !strings.Contains(unused.show(), "alice") && strings.Contains(used.show(), "alice")
			for range 2 { // past the absolute limit
				pass()
				used.visit("/write/a")
			}
			ok = ok && !strings.Contains(used.show(), "alice")
		}
		if s.age != nil {
			visits(t, func() { s.age(step) })
		} else {
			synctest.Test(t, func(t *testing.T) {
				visits(t, func() { <-time.After(step) }) // of the bubble's clock
			})
		}
		return yes(ok)
	}},
}

// The comparison stands between these lines of the README.
const (
	begin = "<!-- comparison: internal/tests/peers -->\n"
	end   = "<!-- end of comparison -->\n"
)

// row begins a line of the comparison.
func row(title string) string { return "| " + title + " |" }

// stated returns what a page says about a library in a situation, or "".
func stated(page, title, name string) string {
	_, part, _ := strings.Cut(page, begin)
	head, part, _ := strings.Cut(part, "\n")
	column := slices.Index(strings.Split(head, "|"), " "+name+" ")
	_, part, _ = strings.Cut(part, row(title))
	line, _, _ := strings.Cut(row("")+part, "\n")
	if cells := strings.Split(line, "|"); column >= 0 && column < len(cells) {
		return strings.TrimSpace(cells[column])
	}
	return ""
}

// TestComparison puts each library into each situation, and compares the outcome
// with the README. What it says about a library that cannot run here stays.
func TestComparison(t *testing.T) {
	const file = "../../../README.md"
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rows := "| |", make([]string, len(situations))
	for _, l := range libraries {
		head += " " + l.name + " |"
		outcomes := make([]string, len(situations))
		for i, s := range situations {
			outcomes[i] = stated(string(readme), s.title, l.name)
		}
		t.Run(l.name, func(t *testing.T) {
			if l.start != nil {
				l.open = l.start(t)
			}
			for i, s := range situations {
				t.Run(s.title, func(t *testing.T) { outcomes[i] = s.probe(t, l) })
			}
		})
		for i, s := range situations {
			rows[i] += " " + outcomes[i] + " |"
			if l.name == "Sojourn" && outcomes[i] != "yes" {
				t.Errorf("%s: %q", s.title, outcomes[i])
			}
		}
	}
	var b strings.Builder
	b.WriteString(head + "\n|---|" + strings.Repeat("---|", len(libraries)) + "\n")
	for i, s := range situations {
		b.WriteString(row(s.title) + rows[i] + "\n")
	}
	page, err := marks.Put(string(readme), begin, end, b.String())
	if err != nil {
		t.Fatal(err)
	}
	if page == string(readme) {
		return
	}
	if !*update {
		t.Fatalf("the README's comparison differs; -update writes it:\n%s", b.String())
	}
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestVersions compares the versions that the README names with those that run.
func TestVersions(t *testing.T) {
	const page = "../../../README.md"
	for _, v := range []struct{ file, before, text string }{
		{"go.mod", "github.com/alexedwards/scs/v2 v", "scs %s with its store in memory"},
		{"go.mod", "github.com/gorilla/sessions v", "gorilla/sessions\n%s with its files"},
		{"go.mod", "github.com/gofiber/fiber/v3 v", "the session middleware of gofiber %s,"},
		{"spring/pom.xml", "<artifactId>spring-session-data-redis</artifactId>\n      <version>", "Spring Session %s on Redis"},
	} {
		pinned, err := os.ReadFile(v.file)
		if err != nil {
			t.Fatal(err)
		}
		_, version, found := strings.Cut(string(pinned), v.before)
		parts := strings.SplitN(version, ".", 3)
		readme, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(v.text, parts[0]+"."+parts[1]); !found || !strings.Contains(string(readme), want) {
			t.Errorf("the README does not say: %s", want)
		}
	}
}
