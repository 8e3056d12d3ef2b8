// The tests of this file, and of the file with the same name in sessionhttp, are
// named after the norms. docs/security.md is generated from their comments.

package session_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// Norm: ASVS 7.1.1
// Asks: the idle and the maximum lifetime are written down.
// Library: both are one Policy value that prints itself with its defaults. There are presets AAL1, AAL2 and AAL3.
// Application: choose a Policy and log Service.Policy() at the start.
func TestASVS_7_1_1_LifetimesAreOneValueThatPrints(t *testing.T) {
	for _, tc := range []struct {
		p              session.Policy
		idle, absolute time.Duration
	}{
		{session.Policy{}, 30 * time.Minute, 24 * time.Hour},
		{session.AAL1(), 0, 30 * 24 * time.Hour},
		{session.AAL2(), time.Hour, 24 * time.Hour},
		{session.AAL3(), 15 * time.Minute, 12 * time.Hour},
	} {
		k := sessiontest.New(t, &session.Options{Policy: tc.p})
		text := k.Service.Policy().String()
		want := "idle " + tc.idle.String() + ", absolute " + tc.absolute.String()
		if tc.idle == 0 {
			want = "idle off, absolute " + tc.absolute.String()
		}
		if !strings.HasPrefix(text, want) {
			t.Errorf("got %q, want %q", text, want)
		}
	}
}

// Norm: ASVS 7.1.2
// Asks: the number of parallel sessions, and what happens at the limit, are written down.
// Library: Options.Limit with OnLimitEvictOldest, OnLimitEvictIdlest or OnLimitReject. It is exact under concurrent sign-ins and prints itself.
// Application: choose a Limit. Without one, there can be any number.
func TestASVS_7_1_2_LimitDoesWhatItSays(t *testing.T) {
	for _, on := range []session.OnLimit{session.OnLimitEvictOldest, session.OnLimitEvictIdlest, session.OnLimitReject} {
		t.Run(on.String(), func(t *testing.T) {
			k := sessiontest.New(t, &session.Options{Limit: session.Limit{Max: 3, On: on}})
			if text := k.Service.Limit().String(); text != "at most 3 sessions, then "+on.String() {
				t.Error(text)
			}
			var tokens []string
			for range 3 {
				tokens = append(tokens, signIn(t, k, "", "alice", nil))
				k.Clock.Advance(4 * time.Minute)
			}
			tokens[0] = do(t, k, tokens[0], read) // the oldest session is not the idlest
			k.Clock.Advance(time.Minute)
			u := begin(t, k, "")
			err := u.s.SignIn(u, "alice", nil)
			gone := map[session.OnLimit]int{session.OnLimitEvictOldest: 0, session.OnLimitEvictIdlest: 1, session.OnLimitReject: -1}[on]
			if gone < 0 {
				is(t, err, session.ErrLimit)
				_, err = u.s.Principal(u)
				is(t, err, session.ErrUnauthenticated)
			} else {
				ok(t, err)
				alive(t, k, u.end(""))
			}
			for i, token := range tokens {
				if i == gone {
					dead(t, k, token)
				} else {
					alive(t, k, token)
				}
			}
			if n, err := k.Service.CountPrincipal(t.Context(), "alice"); err != nil || n != 3 {
				t.Fatal(n, err)
			}
			signIn(t, k, "", "bob", nil)
			// A sign-in that replaces the own session needs no room.
			last := tokens[2]
			if again := signIn(t, k, last, "alice", nil); on == session.OnLimitReject {
				alive(t, k, again)
			}
		})
	}
}

// Norm: ASVS 7.1.3
// Asks: lifetimes are coordinated with those of a federation.
// Library: SignInOptions.NotAfter caps every deadline of a session.
// Application: set it to the identity provider's limit (session_expiry, exp).
func TestASVS_7_1_3_SessionNeverOutlivesTheIdentityProvider(t *testing.T) {
	k := sessiontest.New(t, nil)
	end := k.Clock.Now().Add(2 * time.Hour)
	token := signIn(t, k, "", "alice", &session.SignInOptions{NotAfter: end, Lifetime: 30 * 24 * time.Hour, Idle: 5 * time.Hour})
	for k.Clock.Now().Before(end.Add(-time.Millisecond)) {
		if i := alive(t, k, token); i.AbsoluteDeadline.After(end) || i.ExpiresAt().After(end) {
			t.Fatalf("%+v", i)
		}
		token = do(t, k, token, func(u *unit) error {
			return errors.Join(u.s.SetLifetime(u, 100*time.Hour), u.s.SetIdle(u, 100*time.Hour), u.s.Reauthenticate(u))
		})
		k.Clock.Advance(min(20*time.Minute, end.Sub(k.Clock.Now())-time.Millisecond))
	}
	k.Clock.Advance(time.Millisecond)
	dead(t, k, token)
	u := begin(t, k, "")
	is(t, u.s.SignIn(u, "alice", &session.SignInOptions{NotAfter: end}), model.ErrInvalid)
}

// Norm: ASVS 7.6.1
// Asks: a logout at the identity provider ends the session here.
// Library: SignInOptions.SID and DestroyByLabel(ctx, "sid", …).
// Application: declare the label sid in the backend's options. Verify the logout token, then call DestroyByLabel.
func TestASVS_7_6_1_BackChannelLogoutByLabel(t *testing.T) {
	k := sessiontest.New(t, nil)
	a := signIn(t, k, "", "alice", &session.SignInOptions{SID: "https://idp.example|1"})
	b := signIn(t, k, "", "alice", &session.SignInOptions{SID: "https://idp.example|2"})
	a = do(t, k, a, func(u *unit) error { return u.s.Rotate(u) })
	if i := alive(t, k, a); i.SID != "https://idp.example|1" {
		t.Fatalf("%+v", i)
	}
	if n, err := k.Service.DestroyByLabel(t.Context(), "sid", "https://idp.example|1"); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	dead(t, k, a)
	alive(t, k, b)
	_, err := k.Service.DestroyByLabel(t.Context(), "tenant", "x")
	is(t, err, model.ErrInvalid)
	_, err = k.Service.DestroyByLabel(t.Context(), "", "x")
	is(t, err, model.ErrInvalid)
	// A backend without the label refuses a SID.
	f := setup(t, session.Options{})
	ctx, s := f.open(t, "")
	is(t, s.SignIn(ctx, "alice", &session.SignInOptions{SID: "1"}), model.ErrInvalid)
}

// Norm: ASVS 7.2.1
// Asks: sessions are verified in a trusted backend only.
// Library: the token is an opaque reference. All state is in the store, encrypted if Options.Keyring is set.
// Application: nothing.
func TestASVS_7_2_1_EveryByteOfTheTokenIsVerified(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := signIn(t, k, "", "alice", nil)
	for i := range len(token) {
		for _, c := range []byte("A_0.") {
			if token[i] != c {
				dead(t, k, token[:i]+string(c)+token[i+1:])
			}
		}
	}
	alive(t, k, token)
}

// Norm: ASVS 7.2.2
// Asks: each session has a new token.
// Library: the service creates every token. Nobody can choose one, and no option allows it.
// Application: nothing.
func TestASVS_7_2_2_NobodyChoosesAToken(t *testing.T) {
	k := sessiontest.New(t, nil)
	chosen := strings.Repeat("A", 22) + "." + strings.Repeat("A", 43)
	for range 2 {
		got := do(t, k, chosen, func(u *unit) error { return note.Set(u, "v") })
		h, _, _ := strings.Cut(got, ".")
		if got == chosen || h == strings.Repeat("A", 22) {
			t.Fatal("a chosen token is in use")
		}
		dead(t, k, chosen)
	}
}

// Norm: ASVS 7.2.4
// Asks: every login and re-authentication replaces the token, and the old one is invalid.
// Library: SignIn creates a new row, and a marker takes the place of the old one. Reauthenticate, Elevate, Impersonate and Rotate replace the secret without overlap.
// Application: call them where people authenticate.
func TestASVS_7_2_4_AuthenticationReplacesTheToken(t *testing.T) {
	k := sessiontest.New(t, nil)
	token := do(t, k, "", func(u *unit) error { return note.Set(u, "v") })
	for name, step := range map[string]func(u *unit) error{
		"1 sign-in":         func(u *unit) error { return u.s.SignIn(u, "alice", nil) },
		"2 sign-in again":   func(u *unit) error { return u.s.SignIn(u, "alice", nil) },
		"3 reauthenticate":  func(u *unit) error { return u.s.Reauthenticate(u) },
		"4 elevate":         func(u *unit) error { return u.s.Elevate(u, 2, time.Minute) },
		"5 rotate":          func(u *unit) error { return u.s.Rotate(u) },
		"6 to other powers": func(u *unit) error { return u.s.Elevate(u, 3, time.Minute) },
	} {
		if name[0] > '2' && alive(t, k, token).Principal == "" {
			token = signIn(t, k, token, "alice", nil)
		}
		old := token
		token = do(t, k, old, step)
		if token == old {
			t.Fatalf("%s keeps the token", name)
		}
		dead(t, k, old)
		do(t, k, token, func(u *unit) error {
			v, _, err := note.Get(u)
			if v != "v" {
				t.Errorf("%s lost the data", name)
			}
			return err
		})
	}
}

// Norm: ASVS 7.3.1, NIST 2.1.3 to 2.3.3 (inactivity)
// Asks: an inactivity timeout.
// Library: Policy.Idle, 30 minutes by default, slides with use. Each load checks it by the clock, even if the store still has the row.
// Application: choose a preset to claim an assurance level.
func TestASVS_7_3_1_IdleEndsToTheMillisecond(t *testing.T) {
	for _, p := range []session.Policy{{}, session.AAL2(), session.AAL3()} {
		k := sessiontest.New(t, &session.Options{Policy: p})
		token := signIn(t, k, "", "alice", nil)
		idle := k.Service.Policy().Idle
		k.Clock.Advance(idle - time.Millisecond)
		alive(t, k, token)
		k.Clock.Advance(time.Millisecond)
		dead(t, k, token)
		if n, err := k.Service.Count(t.Context()); err != nil || n != 0 {
			t.Fatal(n, err)
		}
	}
	if p := session.AAL2(); p.Idle > time.Hour {
		t.Error(p)
	}
	if p := session.AAL3(); p.Idle > 15*time.Minute {
		t.Error(p)
	}
}

// Norm: ASVS 7.3.2, NIST 2.1.3 to 2.3.3 (overall timeout)
// Asks: an absolute maximum lifetime.
// Library: Policy.Absolute, 24 hours by default, counts from the sign-in. Use, rotation and SetIdle do not move it.
// Application: choose a preset to claim an assurance level.
func TestASVS_7_3_2_AbsoluteEndsASessionInUse(t *testing.T) {
	for _, p := range []session.Policy{{}, session.AAL1(), session.AAL2(), session.AAL3()} {
		k := sessiontest.New(t, &session.Options{Policy: p})
		token := signIn(t, k, "", "alice", nil)
		end := k.Clock.Now().Add(k.Service.Policy().Absolute)
		step := p.Absolute / 100
		if p.Idle <= 0 || step == 0 {
			step = 10 * time.Minute
		}
		if p.Idle < 0 {
			step = 12 * time.Hour
		}
		for i := 0; k.Clock.Now().Add(step).Before(end); i++ {
			k.Clock.Advance(step)
			token = do(t, k, token, func(u *unit) error {
				switch i % 4 {
				case 1:
					return note.Set(u, fmt.Sprint(i))
				case 2:
					return u.s.Rotate(u)
				case 3:
					if p.Idle < 0 {
						return nil
					}
					return u.s.SetIdle(u, k.Service.Policy().Idle+time.Duration(i)*time.Second)
				}
				return read(u)
			})
			if i := alive(t, k, token); !i.AbsoluteDeadline.Equal(end) {
				t.Fatalf("the deadline moved: %+v", i)
			}
		}
		k.Clock.Advance(end.Sub(k.Clock.Now()) - time.Millisecond)
		alive(t, k, token)
		k.Clock.Advance(time.Millisecond)
		dead(t, k, token)
	}
}

// Norm: ASVS 7.4.2
// Asks: disabling or deleting an account ends all its sessions.
// Library: DestroyPrincipal finds them by label and returns the count. Options.NotBefore closes the race with sign-ins under way.
// Application: when an account is disabled, set NotBefore, then call DestroyPrincipal.
func TestASVS_7_4_2_DisabledAccountHasNoSession(t *testing.T) {
	var mu sync.Mutex
	disabled := map[string]time.Time{}
	k := sessiontest.New(t, &session.Options{NotBefore: func(_ context.Context, principal string) (time.Time, error) {
		mu.Lock()
		defer mu.Unlock()
		return disabled[principal], nil
	}})
	second, err := session.New(k.Backend, &session.Options{Clock: k.Clock})
	ok(t, err)
	var tokens []string
	for range 7 {
		tokens = append(tokens, signIn(t, k, "", "alice", nil))
		s := second.Open("")
		ok(t, s.SignIn(t.Context(), "alice", nil))
		c, err := s.Commit(t.Context())
		ok(t, err)
		tokens = append(tokens, c.Token())
	}
	bob := signIn(t, k, "", "bob", nil)
	k.Clock.Advance(time.Second)
	mu.Lock()
	disabled["alice"] = k.Clock.Now()
	mu.Unlock()
	dead(t, k, tokens...) // before any row is deleted
	if n, err := k.Service.DestroyPrincipal(t.Context(), "alice"); err != nil || n != len(tokens) {
		t.Fatal(n, err)
	}
	dead(t, k, tokens...)
	alive(t, k, bob)
	k.Clock.Advance(time.Second)
	alive(t, k, signIn(t, k, "", "alice", nil)) // the account is enabled again
}

// Norm: ASVS 7.4.3
// Asks: offer to end all other sessions after a change of an authentication factor.
// Library: Session.DestroyOthers ends the others, and Rotate or Reauthenticate replaces the token of this one.
// Application: offer it after the change.
func TestASVS_7_4_3_OthersEndAfterAChangeOfFactors(t *testing.T) {
	k := sessiontest.New(t, nil)
	others := []string{signIn(t, k, "", "alice", nil), signIn(t, k, "", "alice", nil)}
	old := signIn(t, k, "", "alice", nil)
	now := do(t, k, old, func(u *unit) error {
		n, err := u.s.DestroyOthers(u)
		if n != 2 {
			t.Errorf("ended %d", n)
		}
		return errors.Join(err, u.s.Reauthenticate(u))
	})
	dead(t, k, append(others, old)...)
	alive(t, k, now)
}

// Norm: ASVS 7.4.5
// Asks: administrators can end one user's sessions, or all sessions.
// Library: DestroyPrincipal and DestroyAll work page by page, return exact counts and can go on after a cancellation.
// Application: a page for administrators.
func TestASVS_7_4_5_AdministratorsEndSessions(t *testing.T) {
	k := sessiontest.New(t, nil)
	const each = 130
	var tokens []string
	for range each {
		tokens = append(tokens, signIn(t, k, "", "alice", nil), signIn(t, k, "", "bob", nil),
			do(t, k, "", func(u *unit) error { return note.Set(u, "v") }))
	}
	if n, err := k.Service.DestroyPrincipal(t.Context(), "alice"); err != nil || n != each {
		t.Fatal(n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	deletes := 0
	k.Backend.SetHook(func(op sessiontest.Op, _ string, next func() error) error {
		if op == sessiontest.OpWrite {
			if deletes++; deletes == 100 {
				cancel()
			}
		}
		return next()
	})
	first, err := k.Service.DestroyAll(ctx)
	is(t, err, context.Canceled)
	if left, err := k.Service.Count(t.Context()); err != nil || left != 2*each-first || first == 0 {
		t.Fatal(left, first, err)
	}
	second, err := k.Service.DestroyAll(t.Context())
	if err != nil || first+second != 2*each {
		t.Fatal(first, second, err)
	}
	dead(t, k, tokens...)
}

// Norm: ASVS 7.5.2
// Asks: users see and end their own sessions.
// Library: Service.Sessions lists public handles, never tokens. Destroy checks the owner. Rename gives names.
// Application: a page for this, behind RequireRecentAuth.
func TestASVS_7_5_2_PeopleSeeAndEndTheirOwn(t *testing.T) {
	k := sessiontest.New(t, nil)
	mine, other := signIn(t, k, "", "alice", nil), signIn(t, k, "", "alice", nil)
	foreign := alive(t, k, signIn(t, k, "", "bob", nil)).Handle
	seen := 0
	for i, err := range k.Service.Sessions(t.Context(), "alice") {
		ok(t, err)
		seen++
		for _, token := range []string{mine, other} {
			_, secret, _ := strings.Cut(token, ".")
			if strings.Contains(fmt.Sprintf("%+v", i), secret) {
				t.Fatal("a list has a secret")
			}
		}
	}
	if seen != 2 {
		t.Fatal(seen)
	}
	is(t, k.Service.Destroy(t.Context(), "alice", foreign), model.ErrNotFound)
	is(t, k.Service.Rename(t.Context(), "alice", foreign, "mine now"), model.ErrNotFound)
	ok(t, k.Service.Destroy(t.Context(), "alice", alive(t, k, other).Handle))
	dead(t, k, other)
	alive(t, k, mine)
}

// Norm: CheatSheet strict ids
// Asks: an id that the server did not create is never adopted.
// Library: a token without a row is an anonymous session. What is written goes to a new handle.
// Application: nothing.
//
// Bug: gofiber/fiber CVE-2024-38513, cherrypy/cherrypy#709
func TestCheatSheet_StrictIDs(t *testing.T) {
	k := sessiontest.New(t, nil)
	gone := signIn(t, k, "", "alice", nil)
	do(t, k, gone, func(u *unit) error { return u.s.SignOut(u) })
	k.Clock.Advance(time.Minute) // a late request of before gets no session at all
	planted := base64.RawURLEncoding.EncodeToString(make([]byte, 16)) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	for _, token := range []string{gone, planted, "x", strings.Repeat("x", 10000)} {
		got := do(t, k, token, func(u *unit) error { return note.Set(u, "v") })
		h, _, _ := strings.Cut(token, ".")
		if got == token || strings.HasPrefix(got, h+".") {
			t.Fatalf("%q was adopted", token)
		}
	}
}

// Norm: CheatSheet renewal timeout
// Asks: the id is renewed during a session.
// Library: Policy.RotateEvery, one hour by default, replaces the secret. The old secret is accepted until the client presents the new one, and for Policy.Overlap after that.
// Application: nothing.
func TestCheatSheet_RenewalTimeout(t *testing.T) {
	k := sessiontest.New(t, nil)
	old := signIn(t, k, "", "alice", nil)
	for range 2 {
		k.Clock.Advance(20 * time.Minute)
		old = do(t, k, old, read)
	}
	k.Clock.Advance(20 * time.Minute)
	parallel := begin(t, k, old)
	now := do(t, k, old, read)
	if now == old {
		t.Fatal("not rotated")
	}
	ok(t, read(parallel))
	if parallel.end(old) != now {
		t.Fatal("rotated twice")
	}
	now = do(t, k, now, read)
	k.Clock.Advance(29 * time.Second)
	alive(t, k, old)
	k.Clock.Advance(time.Second)
	dead(t, k, old)
	alive(t, k, now)
}

// Norm: CheatSheet logging
// Asks: the lifecycle of sessions is logged, without their ids.
// Library: Options.OnEvent has typed kinds and slog attributes, with the public handle and never a token. The handle is the public part of the token.
// Application: set a hook, for example slog.LogAttrs(…, e.Attrs()...).
func TestCheatSheet_LifecycleLoggingWithoutTokens(t *testing.T) {
	var text logs
	logger := slog.New(slog.NewJSONHandler(&text, nil))
	seen := map[session.EventKind]bool{}
	k := sessiontest.New(t, &session.Options{
		Logger: logger, Observe: expiry.LogObserver(slog.New(slog.NewJSONHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		Grace: -1,
		OnEvent: func(ctx context.Context, e session.Event) {
			seen[e.Kind] = true
			logger.LogAttrs(ctx, slog.LevelInfo, "session", e.Attrs()...)
			logger.InfoContext(ctx, "again", "event", e, "text", fmt.Sprintf("%+v", e))
		},
	})
	var tokens []string
	keep := func(token string) string { tokens = append(tokens, token); return token }
	token := keep(do(t, k, "", func(u *unit) error { return note.Set(u, "v") }))
	token = keep(signIn(t, k, token, "alice", nil))
	token = keep(do(t, k, token, func(u *unit) error { return u.s.Rotate(u) }))
	token = keep(do(t, k, token, func(u *unit) error { return u.s.Reauthenticate(u) }))
	token = keep(do(t, k, token, func(u *unit) error { return u.s.Elevate(u, 2, time.Minute) }))
	slow := begin(t, k, token)
	ok(t, note.Set(slow, "slow"))
	do(t, k, token, func(u *unit) error { return note.Set(u, "quick") })
	slow.end(token)
	k.Clock.Advance(5 * time.Minute)
	token = keep(do(t, k, token, read))
	h, _, _ := strings.Cut(token, ".")
	dead(t, k, keep(h+"."+strings.Repeat("A", 43)))
	acting := keep(do(t, k, token, func(u *unit) error { return u.s.Impersonate(u, "bob", "ticket 1") }))
	token = keep(do(t, k, acting, func(u *unit) error { return u.s.EndImpersonation(u) }))
	do(t, k, token, func(u *unit) error { return u.s.SignOut(u) })
	k.Backend.SetTamper(sessiontest.Torn)
	dead(t, k, keep(signIn(t, k, "", "carol", nil)))
	k.Backend.SetTamper(nil)
	k.Clock.Advance(time.Hour)
	_, err := k.Service.Sweep(t.Context())
	ok(t, err)
	for kind := session.EventCreated; kind <= session.EventAnomaly; kind++ {
		if !seen[kind] {
			t.Errorf("no event %s", kind)
		}
	}
	for _, token := range tokens {
		if _, secret, _ := strings.Cut(token, "."); secret == "" || strings.Contains(text.String(), secret) {
			t.Fatalf("the secret %q is in the log", secret)
		}
	}
	if !strings.Contains(text.String(), h) {
		t.Fatal("no handle in the log")
	}
}

// Norm: CheatSheet anomaly detection
// Asks: a change of address or user agent is a signal, not a proof.
// Library: by default another browser or system is an event and nothing else. Options.Binder can challenge or destroy the session.
// Application: a Binder, for more than events.
func TestCheatSheet_BindingIsASignal(t *testing.T) {
	firefox := session.Client{UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
	updated := session.Client{UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"}
	curl := session.Client{UserAgent: "curl/8.0"}
	visit := func(k *sessiontest.Kit, token string, c session.Client) *unit {
		u := begin(t, k, token)
		u.s.SetClient(c)
		ok(t, read(u))
		return u
	}
	start := func(k *sessiontest.Kit) string {
		u := begin(t, k, "")
		u.s.SetClient(firefox)
		ok(t, u.s.SignIn(u, "alice", nil))
		return u.end("")
	}
	var seen events
	k := sessiontest.New(t, &session.Options{OnEvent: seen.hook})
	token := start(k)
	visit(k, token, updated)
	if got := seen.take(session.EventAnomaly); len(got) != 0 {
		t.Fatalf("an update: %v", got)
	}
	if u := visit(k, token, curl); u.s.RequireRecent(u, 0, 0) != nil {
		t.Fatal("more than an event")
	}
	if got := seen.take(session.EventAnomaly); len(got) != 1 || got[0].Reason != session.ReasonClientChanged || got[0].Principal != "alice" {
		t.Fatalf("%v", got)
	}

	decision := session.DecisionChallenge
	k = sessiontest.New(t, &session.Options{OnEvent: seen.hook, Binder: func(_ context.Context, was session.Info, now session.Client) session.Decision {
		if was.Client == now {
			return session.DecisionAllow
		}
		return decision
	}})
	token = start(k)
	u := visit(k, token, curl)
	is(t, u.s.RequireRecent(u, 0, 0), session.ErrReauthenticate)
	if !u.s.Challenged() {
		t.Fatal("not challenged")
	}
	ok(t, u.s.Reauthenticate(u))
	ok(t, u.s.RequireRecent(u, 0, 0))
	token = u.end(token)
	u = visit(k, token, curl) // the current client
	ok(t, u.s.RequireRecent(u, 0, 0))
	decision = session.DecisionDestroy
	seen.take()
	u = visit(k, token, firefox)
	_, err := u.s.Principal(u)
	is(t, err, session.ErrUnauthenticated)
	dead(t, k, token)
	if got := seen.take(session.EventDestroyed); len(got) != 1 || got[0].Reason != session.ReasonBinder {
		t.Fatalf("%v", got)
	}
}

// Norm: NIST 5.1
// Asks: session secrets have 64 bits at least, end with the session, and are not in insecure storage.
// Library: secrets have 256 random bits. The store has their hash, or an HMAC with Options.Pepper. The cookie is Secure. A dump of the store opens nothing.
// Application: https in front.
func TestNIST_5_1_DumpOfTheStoreOpensNothing(t *testing.T) {
	ring := ring(t, "a", 1)
	for _, o := range []session.Options{{}, {Keyring: ring}, {Keyring: ring, Pepper: true}} {
		k := sessiontest.New(t, &o)
		token := signIn(t, k, "", "alice", nil)
		token = do(t, k, token, func(u *unit) error { return note.Set(u, "personal") })
		handle, secret, _ := strings.Cut(token, ".")
		raw, err := base64.RawURLEncoding.DecodeString(secret)
		ok(t, err)
		rec, err := k.Backend.Get(t.Context(), k.Clock.Now(), driver.Get{ID: handle})
		ok(t, err)
		for _, form := range []string{secret, string(raw), base64.StdEncoding.EncodeToString(raw), fmt.Sprintf("%x", raw)} {
			if strings.Contains(string(rec.Value), form) {
				t.Fatal("the store has the secret")
			}
		}
		if strings.Contains(string(rec.Value), "personal") != (o.Keyring == nil) {
			t.Fatalf("sealed: %s", rec.Value)
		}
		_, hash, _ := strings.Cut(rowText(t, &rec), `"hash":"`)
		hash, _, _ = strings.Cut(hash, `"`)
		b, err := base64.StdEncoding.DecodeString(hash)
		ok(t, err)
		dead(t, k, handle+"."+base64.RawURLEncoding.EncodeToString(b))
		do(t, k, token, func(u *unit) error { return u.s.SignOut(u) })
		rec, err = k.Backend.Get(t.Context(), k.Clock.Now(), driver.Get{ID: handle})
		ok(t, err)
		if !marker(rec) || len(rec.Value) > 150 || strings.Contains(string(rec.Value), "alice") {
			t.Fatalf("after the sign-out: %s", rec.Value)
		}
		k.Clock.Advance(time.Minute)
		_, err = k.Backend.Get(t.Context(), k.Clock.Now(), driver.Get{ID: handle})
		is(t, err, model.ErrNotFound)
	}
}

// Norm: NIST 5.2
// Asks: a re-authentication before the overall timeout may go on with the session.
// Library: Reauthenticate keeps the data, replaces the token and counts the absolute deadline from now.
// Application: call it after the authentication.
func TestNIST_5_2_ReauthenticationKeepsTheData(t *testing.T) {
	k := sessiontest.New(t, &session.Options{Policy: session.AAL3()})
	token := do(t, k, signIn(t, k, "", "alice", nil), func(u *unit) error { return note.Set(u, "v") })
	for range 80 {
		k.Clock.Advance(9 * time.Minute)
		token = do(t, k, token, func(u *unit) error {
			if err := u.s.RequireRecent(u, 10*time.Hour, 0); errors.Is(err, session.ErrReauthenticate) {
				return u.s.Reauthenticate(u)
			}
			return nil
		})
	}
	i := alive(t, k, token)
	if k.Clock.Now().Sub(i.CreatedAt) != 12*time.Hour || !i.AbsoluteDeadline.Equal(i.AuthenticatedAt.Add(12*time.Hour)) {
		t.Fatalf("%+v", i)
	}
	do(t, k, token, func(u *unit) error {
		if v, _, err := note.Get(u); err != nil || v != "v" {
			t.Error(v, err)
		}
		return nil
	})
}
