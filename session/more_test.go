package session_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// Bug: alkem-io/server#6333, balderdashy/sails#2276
func TestStoreDownPolicies(t *testing.T) {
	mine := errors.New("maintenance")
	for name, tc := range map[string]struct {
		policy session.StoreDown
		want   error // of a read
	}{
		"default":     {nil, model.ErrUnavailable},
		"fail closed": {session.FailClosed, model.ErrUnavailable},
		"anonymous":   {session.Anonymous, nil},
		"a function":  {func(context.Context, error) error { return mine }, mine},
	} {
		t.Run(name, func(t *testing.T) {
			k := sessiontest.New(t, &session.Options{StoreDown: tc.policy})
			token := signIn(t, k, "", "alice", nil)
			view, err := session.Detach(begin(t, k, token))
			ok(t, err)
			defer view.Close()
			k.Backend.Calls()
			k.Backend.SetHook(sessiontest.Down)
			u := begin(t, k, token)
			_, _, err = note.Get(u)
			is(t, err, tc.want)
			if tc.want == nil {
				_, err = u.s.Principal(u)
				is(t, err, session.ErrUnauthenticated)
				is(t, u.s.Degraded(), model.ErrUnavailable)
				ok(t, u.s.Err())
				for _, err := range []error{note.Set(u, "v"), u.s.SignIn(u, "bob", nil), u.s.SignOut(u), u.s.SetIdle(u, time.Hour)} {
					is(t, err, session.ErrReadOnly)
					is(t, err, model.ErrUnavailable)
				}
				is(t, u.s.Err(), session.ErrReadOnly)
			} else {
				is(t, note.Set(u, "v"), tc.want)
			}
			k.Backend.Assert(t, "Get 1", "a store that is down")
			if err := view.Touch(t.Context()); err == nil || view.Err() != nil {
				t.Fatalf("a store that is down ends a view: %v, %v", err, view.Err())
			}
			if _, err := session.Detach(begin(t, k, token)); err == nil || errors.Is(err, session.ErrNotStored) {
				t.Fatal(err)
			}
			k.Backend.Calls()
			u = begin(t, k, "")
			_, _, err = note.Get(u)
			ok(t, err)
			k.Backend.Assert(t, "none", "no token")
			k.Backend.SetHook(nil)
			alive(t, k, token)
		})
	}
}

func TestLoadIsBoundedByItsOwnTime(t *testing.T) {
	k := sessiontest.New(t, &session.Options{LoadTimeout: time.Millisecond, Timeout: time.Hour, StoreDown: session.Anonymous})
	token := signIn(t, k, "", "alice", nil)
	stuck := &stuckBackend{Backend: k.Backend}
	svc, err := session.New(stuck, &session.Options{LoadTimeout: time.Millisecond, Timeout: time.Hour, StoreDown: session.Anonymous, Clock: k.Clock})
	ok(t, err)
	s := svc.Open(token)
	if i, err := s.Info(t.Context()); err != nil || i.Handle != "" {
		t.Fatal(i, err)
	}
	is(t, s.Degraded(), context.DeadlineExceeded)
	s = svc.Open(token)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Info(gone)
	is(t, err, context.Canceled)
}

// stuckBackend answers when its caller gives up.
type stuckBackend struct{ *sessiontest.Backend }

func (b *stuckBackend) Get(ctx context.Context, _ time.Time, _ driver.Get) (model.Record, error) {
	<-ctx.Done()
	return model.Record{}, ctx.Err()
}

func TestHookThatFailsFailsTheLoad(t *testing.T) {
	broken := errors.New("directory is down")
	var fail bool
	k := sessiontest.New(t, &session.Options{NotBefore: func(context.Context, string) (time.Time, error) {
		if fail {
			return time.Time{}, broken
		}
		return time.Time{}, nil
	}})
	token := signIn(t, k, "", "alice", nil)
	alive(t, k, token)
	fail = true
	u := begin(t, k, token)
	_, err := u.s.Principal(u)
	is(t, err, broken)
}

func TestKeysThatDecideAboutConflictsAndCorruption(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := do(t, k, "", func(u *unit) error { return note.Set(u, "text") })
	number := session.NewKey[int]("note")
	_, _, err := number.Get(begin(t, k, token))
	is(t, err, model.ErrCorrupt)
	zero := number.Repairing(func(error) (int, bool, error) { return 0, false, nil })
	if v, there, err := zero.Get(begin(t, k, token)); v != 0 || there || err != nil {
		t.Fatal(v, there, err)
	}
	seven := number.Repairing(func(error) (int, bool, error) { return 7, true, nil })
	do(t, k, token, func(u *unit) error { return seven.Update(u, func(n *int) error { *n++; return nil }) })
	if v, _, err := number.Get(begin(t, k, token)); v != 8 || err != nil {
		t.Fatal(v, err)
	}

	refuse := errors.New("cannot be joined")
	merged := session.NewKey[int]("n").Merging(func(base, fresh, mine int) (int, error) {
		if mine < 0 {
			return 0, refuse
		}
		return fresh + mine - base, nil
	})
	token = do(t, k, token, func(u *unit) error { return merged.Set(u, 10) })
	race := func(a, b func(u *unit) error) error {
		t.Helper()
		slow, quick := begin(t, k, token), begin(t, k, token)
		ok(t, a(slow))
		ok(t, b(quick))
		quick.end(token)
		_, err := slow.s.Commit(slow)
		return err
	}
	set := func(v int) func(u *unit) error { return func(u *unit) error { return merged.Set(u, v) } }
	ok(t, race(set(13), set(15)))
	if v, _, err := merged.Get(begin(t, k, token)); v != 18 || err != nil {
		t.Fatal(v, err)
	}
	is(t, race(set(-1), set(20)), refuse)
	// Several changes of one request are judged against what it began with.
	ok(t, race(func(u *unit) error { return errors.Join(merged.Set(u, 1), merged.Set(u, 21)) }, set(30)))
	if v, _, err := merged.Get(begin(t, k, token)); v != 31 || err != nil {
		t.Fatal(v, err)
	}
	ok(t, race(func(u *unit) error { return merged.Delete(u) }, set(40)))
	if _, there, err := merged.Get(begin(t, k, token)); there || err != nil {
		t.Fatal(there, err)
	}
	strict := session.NewKey[int]("n").FailingOnConflict()
	for name, change := range map[string]func(u *unit) error{
		"Set":    func(u *unit) error { return strict.Set(u, 1) },
		"Delete": func(u *unit) error { return errors.Join(strict.Set(u, 5), strict.Delete(u)) },
		"Update": func(u *unit) error { return strict.Update(u, func(n *int) error { *n = 3; return nil }) },
		"Take":   func(u *unit) error { _, _, err := strict.Take(u); return err },
	} {
		do(t, k, token, func(u *unit) error { return merged.Set(u, 50) })
		if err := race(change, set(60)); !errors.Is(err, session.ErrKeyConflict) || strings.Contains(err.Error(), "60") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCSRFTokenIsBoundToTheSecret(t *testing.T) {
	k := sessiontest.New(t, nil)
	_, err := begin(t, k, "").s.CSRFToken(t.Context())
	is(t, err, session.ErrNotStored)
	token, stranger := signIn(t, k, "", "alice", nil), signIn(t, k, "", "bob", nil)
	get := func(token string) string {
		t.Helper()
		text, err := begin(t, k, token).s.CSRFToken(t.Context())
		ok(t, err)
		return text
	}
	good := func(token, text string) bool {
		t.Helper()
		fine, err := begin(t, k, token).s.CheckCSRF(t.Context(), text)
		ok(t, err)
		return fine
	}
	text := get(token)
	if again := get(token); text == again || !good(token, text) || !good(token, again) {
		t.Fatal("not masked, or not accepted")
	}
	for i := range len(text) {
		x := byte('A')
		if text[i] == x {
			x = 'B'
		}
		if good(token, text[:i]+string(x)+text[i+1:]) {
			t.Fatal("byte", i, "does not count")
		}
	}
	for _, bad := range []string{"", get(stranger), text[1:], text + "A", strings.Repeat("A", len(text))} {
		if good(token, bad) {
			t.Fatal(bad)
		}
	}
	if good("", text) || strings.Contains(text, token[23:]) {
		t.Fatal("accepted without a session")
	}
	token = do(t, k, token, func(u *unit) error { return u.s.Rotate(u) })
	if good(token, text) || !good(token, get(token)) {
		t.Fatal("does not change with the secret")
	}
	k.Backend.SetHook(sessiontest.Down)
	_, err = begin(t, k, token).s.CheckCSRF(t.Context(), text)
	is(t, err, model.ErrUnavailable)
}

func TestDevicesAreRecognizedRoughly(t *testing.T) {
	for ua, want := range map[string]string{
		"": "Unknown device",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                     "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36":                            "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0":              "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15":                      "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1":    "Safari on iOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/139.0 Mobile/15E148 Safari/604.1":     "Chrome on iOS",
		"Mozilla/5.0 (Linux; Android 15; SM-S931B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36": "Samsung Internet on Android",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 OPR/122.0":                   "Opera on ChromeOS",
		"curl/8.5.0":             "curl",
		"Go-http-client/1.1":     "Go",
		"Probe/1.0":              "Probe",
		"what is this (x; y) z/": "Unknown device",
		"okhttp/4.12 (Android)":  "okhttp on Android",
		"Dalvik/2.1 (Linux; U)":  "Dalvik on Linux",
		"Something (Windows)":    "Windows",
	} {
		if got := (session.Client{UserAgent: ua}).Device().String(); got != want {
			t.Errorf("%q is %q, want %q", ua, got, want)
		}
	}
}

func TestDeviceListHasAddressAndName(t *testing.T) {
	k := sessiontest.New(t, nil)
	u := begin(t, k, "")
	u.s.SetClient(session.Client{UserAgent: "Probe/1.0", Address: netip.MustParseAddr("2001:db8::1")})
	ok(t, u.s.SignIn(u, "alice", nil))
	token := u.end("")
	h := alive(t, k, token).Handle
	ok(t, k.Service.Rename(t.Context(), "alice", h, "Küche"))
	k.Backend.Calls()
	ok(t, k.Service.Rename(t.Context(), "alice", h, "Küche"))
	k.Backend.Assert(t, "Get 1", "the same name again")
	k.Clock.Advance(5 * time.Minute)
	do(t, k, token, look)
	for i, err := range k.Service.Sessions(t.Context(), "alice") {
		ok(t, err)
		if i.Name != "Küche" || i.Client.Address != netip.MustParseAddr("2001:db8::1") || i.LastSeen.Sub(i.CreatedAt) != 5*time.Minute {
			t.Fatalf("%+v", i)
		}
	}
	for _, bad := range []string{"\x00", "a\nb", "\xff", strings.Repeat("é", 65)} {
		is(t, k.Service.Rename(t.Context(), "alice", h, bad), model.ErrInvalid)
	}
	is(t, k.Service.Rename(t.Context(), "alice", "nonsense", "x"), model.ErrNotFound)
	ok(t, k.Service.Rename(t.Context(), "alice", h, ""))
}

func TestOptionsOfASignInAreChecked(t *testing.T) {
	k := sessiontest.New(t, nil)
	u := begin(t, k, "")
	for _, o := range []session.SignInOptions{
		{Idle: -1}, {Lifetime: -1}, {Idle: time.Microsecond}, {SID: strings.Repeat("x", 257)}, {SID: "\x00"}, {NotAfter: k.Clock.Now()},
	} {
		is(t, u.s.SignIn(u, "alice", &o), model.ErrInvalid)
	}
	is(t, u.s.SetIdle(u, 0), model.ErrInvalid)
	is(t, u.s.SetLifetime(u, -time.Hour), model.ErrInvalid)
	is(t, u.s.Elevate(u, 0, time.Hour), model.ErrInvalid)
	is(t, u.s.Elevate(u, 1, 0), model.ErrInvalid)
	is(t, u.s.Elevate(u, 1, time.Hour), session.ErrUnauthenticated)
	k.Backend.Assert(t, "none", "options that are refused")
	remembered := signIn(t, k, "", "alice", &session.SignInOptions{Idle: 14 * 24 * time.Hour, Lifetime: 30 * 24 * time.Hour})
	if i := alive(t, k, remembered); !i.IdleDeadline.Equal(k.Clock.Now().Add(14*24*time.Hour)) || !i.AbsoluteDeadline.Equal(k.Clock.Now().Add(30*24*time.Hour)) {
		t.Fatalf("%+v", i)
	}
	// A lifetime that is over already ends the session with the write.
	token := signIn(t, k, "", "alice", nil)
	k.Clock.Advance(10 * time.Minute)
	do(t, k, token, func(u *unit) error { return u.s.SetLifetime(u, time.Minute) })
	dead(t, k, token)
	for _, o := range []session.Options{
		{Limit: session.Limit{Max: -1}}, {Limit: session.Limit{On: 9}}, {LoadTimeout: -1}, {WatchEvery: -1},
		{Policy: session.Policy{Impersonation: -1}},
	} {
		_, err := session.New(k.Backend, &o)
		is(t, err, model.ErrInvalid)
	}
}

func TestRequireRecent(t *testing.T) {
	k := sessiontest.New(t, nil)
	u := begin(t, k, "")
	is(t, u.s.RequireRecent(u, 0, 0), session.ErrUnauthenticated)
	token := signIn(t, k, "", "alice", &session.SignInOptions{Level: 1})
	check := func(within time.Duration, level int, want error) {
		t.Helper()
		u := begin(t, k, token)
		is(t, u.s.RequireRecent(u, within, level), want)
	}
	check(time.Minute, 1, nil)
	check(0, 2, session.ErrReauthenticate)
	k.Clock.Advance(2 * time.Minute)
	check(time.Minute, 1, session.ErrReauthenticate)
	check(0, 1, nil)
	token = do(t, k, token, func(u *unit) error { return u.s.Elevate(u, 2, 5*time.Minute) })
	check(time.Minute, 2, nil)
	k.Clock.Advance(5 * time.Minute)
	check(0, 2, session.ErrReauthenticate)
	token = do(t, k, token, func(u *unit) error { return u.s.Reauthenticate(u) })
	check(time.Second, 1, nil)
}

// Bug: alexedwards/scs#114
func TestRequireReportsAMissingMiddleware(t *testing.T) {
	_, there := session.From(t.Context())
	_, err := session.Require(t.Context())
	if there || !errors.Is(err, session.ErrNoSession) {
		t.Fatal(there, err)
	}
}

func TestLifetimesOfAnOlderPolicyStay(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := signIn(t, k, "", "alice", nil)
	end := alive(t, k, token).AbsoluteDeadline
	svc, err := session.New(k.Backend, &session.Options{Clock: k.Clock, Policy: session.Policy{Idle: time.Hour, Absolute: time.Hour}})
	ok(t, err)
	s := svc.Open(token)
	ok(t, s.SetIdle(t.Context(), 2*time.Hour))
	_, err = s.Commit(t.Context())
	ok(t, err)
	if i := alive(t, k, token); !i.AbsoluteDeadline.Equal(end) || !i.IdleDeadline.Equal(k.Clock.Now().Add(2*time.Hour)) {
		t.Fatalf("%+v", i)
	}
}

func TestCredentialsThatAreNoneRaiseAnEvent(t *testing.T) {
	var seen events
	k := sessiontest.New(t, &session.Options{OnEvent: seen.hook})
	token := signIn(t, k, "", "alice", nil)
	h, _, _ := strings.Cut(token, ".")
	seen.take()
	for text, want := range map[string]session.Reason{
		"":                                    "",
		"x":                                   session.ReasonMalformed,
		token + "x":                           session.ReasonMalformed,
		token[:65]:                            session.ReasonMalformed,
		h + "." + token[:43]:                  session.ReasonMalformed,
		strings.Repeat("x", 10000):            session.ReasonMalformed,
		"AAAAAAAAAAAAAAAAAAAAAA" + token[22:]: session.ReasonNoSuchSession,
		h + "." + strings.Repeat("A", 43):     session.ReasonWrongSecret,
	} {
		dead(t, k, text)
		got := seen.take()
		if want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || got[0].Reason != want {
			t.Errorf("%.70q: %+v", text, got)
		}
	}
	alive(t, k, token)
}
