package browser

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/backends/file"
	"github.com/sojourn-go/sojourn/backends/memory"
	"github.com/sojourn-go/sojourn/examples/webapp/shop"
	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

const (
	pollEvery = 20 * time.Millisecond
	home      = "https://shop.test/"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// opened is the web application at https://shop.test.
type opened struct {
	app   *shop.Shop
	store *sessiontest.Backend
	clock *sessiontest.Clock
}

// open serves the application on the backend. Its clock moves when told.
func open(t *testing.T, raw expiry.ModelExpirySupport) *opened {
	t.Helper()
	w, _ := start(t)
	s := &opened{store: sessiontest.Wrap(raw), clock: sessiontest.NewClock(time.Now())}
	var err error
	s.app, err = shop.New(s.store, &shop.Options{Secure: true, Clock: s.clock, Logger: slog.New(slog.DiscardHandler)})
	ok(t, err)
	w.serve(t, "https://shop.test", s.app)
	t.Cleanup(s.close)
	return s
}

// close ends the live panels, so that no request is left.
func (s *opened) close() { _ = s.app.Close() }

func inMemory(t *testing.T) *opened {
	t.Helper()
	b, err := memory.New(memory.NewSpace(), "shop", nil)
	ok(t, err)
	return open(t, b)
}

func TestSignInAndCart(t *testing.T) {
	inMemory(t)
	p := newPerson(t)
	p.visits(home)
	p.presses("Add Enamel mug to the cart", "/")
	p.sees("Enamel mug is in your cart.")
	p.presses("Add Enamel mug to the cart", "/")
	p.sees("× 2")
	p.presses("Remove one Enamel mug from the cart", "/")
	p.sees("× 1")

	// The way back to the page asked for, and the cart comes along.
	p.visits(home + "devices")
	p.sees("Then you go on to")
	p.expects("401")
	p.navigates(http.StatusUnauthorized, "/login", fill("user", "demo"), fill("password", "wrong"), press("Sign in"))
	p.sees("do not go together")
	p.signsIn("demo", "/devices")
	p.sees("Welcome, demo", "This device")
	p.visits(home)
	p.sees("Good to see you, demo.", "× 1")
	p.lacks("Welcome, demo")
	if c := p.cookies(); len(c) != 1 || c[0].Name != "__Host-id" || !c[0].HTTPOnly || !c[0].Secure || !c[0].Session {
		t.Errorf("the cookies are %+v", c)
	}
	p.presses("Sign out", "/goodbye")
	if c := p.cookies(); len(c) != 0 {
		t.Errorf("after the sign-out the cookies are %+v", c)
	}
}

func TestRememberMe(t *testing.T) {
	inMemory(t)
	p := newPerson(t)
	p.visits(home + "login")
	p.navigates(200, "/", fill("user", "demo"), fill("password", "demo"), tick(`input[name=remember]`), press("Sign in"))
	c := p.cookies()
	if len(c) != 1 || c[0].Session {
		t.Fatalf("the cookies are %+v", c)
	}
	left := time.Until(time.Unix(int64(c[0].Expires), 0))
	if days := left.Round(time.Hour).Hours() / 24; days != 30 {
		t.Errorf("the browser is remembered for %v days, want 30", days)
	}
}

// TestTwoDevices: a sign-out on one device ends the live panel of the other.
func TestTwoDevices(t *testing.T) {
	inMemory(t)
	phone, laptop := newPerson(t), newPerson(t)
	phone.visits(home + "devices")
	phone.signsIn("demo", "/devices")
	phone.waits(`document.getElementById("live").dataset.state == "open"`)
	laptop.visits(home + "devices")
	laptop.signsIn("demo", "/devices")
	phone.sees("A new sign-in.")
	laptop.sees("Sign out the others")

	began := time.Now()
	laptop.presses("Sign out the others", "/devices")
	laptop.sees("1 other device signed out.")
	phone.waits(`document.getElementById("live").dataset.state == "ended"`)
	t.Logf("the panel ended %v after the click", time.Since(began))
	phone.sees("This device was signed out.")
	phone.presses("Sign in again", "/login?next=%2Fdevices")
	phone.sees("You were signed out on another device.")
	phone.signsIn("demo", "/devices")
}

// TestTwoProcesses: the sign-out happens in another process on the same store.
func TestTwoProcesses(t *testing.T) {
	space := memory.NewSpace()
	b, err := memory.New(space, "shop", nil)
	ok(t, err)
	first := open(t, b)
	p := newPerson(t)
	p.visits(home + "devices")
	p.signsIn("demo", "/devices")
	p.waits(`document.getElementById("live").dataset.state == "open"`)

	other, err := memory.New(space, "shop", nil)
	ok(t, err)
	second, err := shop.New(other, &shop.Options{Secure: true, Clock: first.clock, Logger: slog.New(slog.DiscardHandler)})
	ok(t, err)
	t.Cleanup(func() { _ = second.Close() })
	w, _ := start(t)
	w.serve(t, "https://shop.test", second)
	admin := newPerson(t)
	admin.visits(home + "admin")
	admin.signsIn("admin", "/admin")
	began := time.Now()
	admin.presses("Sign out everywhere", "/admin")
	admin.sees("1 session of demo ended.")
	p.waits(`document.getElementById("live").dataset.state == "ended"`)
	t.Logf("the panel ended %v after the click", time.Since(began))
}

// TestRestart: the program ends and starts again while a page is open.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	b, err := file.New(dir, "shop", nil)
	ok(t, err)
	first := open(t, b)
	p := newPerson(t)
	p.visits(home + "devices")
	p.signsIn("demo", "/devices")
	p.waits(`document.getElementById("live").dataset.state == "open"`)
	p.expects("ERR_") // the panel's connection ends
	p.expects("503")

	w, _ := start(t)
	w.serve(t, "https://shop.test", http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }))
	first.close()
	ok(t, first.store.Close())
	p.waits(`document.getElementById("live").dataset.state == "waiting"`)
	b, err = file.New(dir, "shop", nil)
	ok(t, err)
	open(t, b)
	p.waits(`document.getElementById("live").dataset.state == "open"`)
	p.visits(home)
	p.sees("Good to see you, demo.", "visit in this session")
}

// TestConcurrentTabs: two tabs add to one cart at the same time.
func TestConcurrentTabs(t *testing.T) {
	s := inMemory(t)
	one := newPerson(t)
	one.visits(home + "login")
	one.signsIn("demo", "/")
	two := one.tab()
	two.visits(home)

	hold, entered, release := sessiontest.Hold(sessiontest.OpWrite)
	s.store.SetHook(hold)
	one.do(addByScript("Trail map"))
	<-entered
	two.do(addByScript("Wool blanket"))
	two.waits("window.answers == 1")
	close(release)
	one.waits("window.answers == 1")
	for _, tab := range []*person{one, two} {
		tab.visits(home)
		tab.sees("Trail map ×", "Wool blanket ×")
	}
}

// TestExpiry moves the clock beyond the idle limit.
func TestExpiry(t *testing.T) {
	s := inMemory(t)
	p := newPerson(t)
	p.visits(home + "devices")
	p.signsIn("demo", "/devices")
	p.waits(`document.getElementById("live").dataset.state == "open"`)
	s.clock.Advance(29 * time.Minute)
	p.visits(home + "devices")
	p.waits(`document.getElementById("live").dataset.state == "open"`)
	s.clock.Advance(31 * time.Minute)
	p.waits(`document.getElementById("live").dataset.state == "ended"`)
	p.visits(home + "devices")
	p.sees("Your last session ended, because it was not used for a while.")
	if c := p.cookies(); len(c) != 0 {
		t.Errorf("the cookies are %+v", c)
	}
}

func TestElevation(t *testing.T) {
	s := inMemory(t)
	p := newPerson(t)
	p.visits(home + "account")
	p.signsIn("demo", "/confirm?next=%2Faccount")
	before := p.cookies()[0].Value
	p.expects("401")
	p.navigates(http.StatusUnauthorized, "/confirm", fill("password", "wrong"), press("Go on"))
	p.sees("That is not the password of demo.")
	p.navigates(200, "/account", fill("password", "demo"), press("Go on"))
	p.sees("This page closes", "in 5 minutes")
	if p.cookies()[0].Value == before {
		t.Error("the elevation left the token as it was")
	}
	s.clock.Advance(6 * time.Minute)
	p.navigates(200, "/confirm?next=%2Faccount", reload())
	p.navigates(200, "/account", fill("password", "demo"), press("Go on"))
	p.presses("Erase my sessions", "/")
	p.sees("1 session erased")
}

func TestImpersonation(t *testing.T) {
	inMemory(t)
	admin, demo := newPerson(t), newPerson(t)
	demo.visits(home + "devices")
	demo.signsIn("demo", "/devices")
	demo.waits(`document.getElementById("live").dataset.state == "open"`)
	admin.visits(home + "admin")
	admin.signsIn("admin", "/admin")
	admin.navigates(200, "/", fill("reason", "ticket 7"), press("Act as demo"))
	admin.sees("admin acts as demo", "Good to see you, demo.")
	demo.sees("admin acts as you now.")
	admin.expects("403")
	admin.navigates(http.StatusForbidden, "/account", press("Account"))
	admin.sees("This is for the person themselves")
	admin.presses("Stop acting", "/admin")
	admin.sees("You are yourself again.")
	demo.visits(home)
	demo.sees("Good to see you, demo.")
}

// TestOutage: a store that does not answer shows no state of an account.
func TestOutage(t *testing.T) {
	s := inMemory(t)
	p := newPerson(t)
	p.visits(home + "login")
	p.signsIn("demo", "/")
	s.store.SetHook(sessiontest.Down)
	p.expects("503")
	p.navigates(http.StatusServiceUnavailable, "/devices", press("Devices"))
	p.sees("You were not signed out")
	p.lacks("demo", "Sign in", "Sign out", "Account")
	s.store.SetHook(nil)
	p.presses("Try again", "/devices")
	p.sees("This device", "demo")
}
