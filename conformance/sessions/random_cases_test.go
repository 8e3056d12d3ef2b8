package sessions

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session/sessiontest"
)

// get and beacon are requests of the cases: a page, and a value in the
// background.
var (
	get    = call{op: view}
	beacon = call{op: write, kind: sessiontest.Beacon}
)

func post(o opKind) call         { return call{op: o} }
func as(o opKind, user int) call { return call{op: o, user: user} }
func (c call) onNewer() call     { c.node = 1; return c }
func (c call) loadsNow() call    { c.early = true; return c }
func does(c call) step           { return step{do: visit, call: c} }
func sends(c call) step          { return step{do: send, call: c} }
func onPhone(s step) step        { s.phone = true; return s }
func arrives() step              { return step{do: deliver} }
func lost() step                 { return step{do: lose} }
func later(d time.Duration) step { return step{do: advance, wait: d} }
func cookie(which int) step      { return step{do: plant, at: which} }
func repeat(n int, s ...step) (out []step) {
	for range n {
		out = append(out, s...)
	}
	return out
}

// sequences are what random runs, or people, have found.
var sequences = []struct {
	name  string
	steps []step
}{
	{"CookieOutlivesALostRotation", append([]step{does(as(login, 0))}, append(
		repeat(3, later(20*time.Minute), sends(get), lost()),
		repeat(4, later(20*time.Minute), does(get))...)...)},
	{"CookieOutlivesAMinuteOfClicksAfterALostRotation", append([]step{does(as(login, 0)), later(20 * time.Minute), does(get), later(20 * time.Minute), does(get), later(20 * time.Minute), sends(get), lost()},
		repeat(40, later(time.Minute), does(get))...)},
	{"SocketKeepsTheCookie", append([]step{does(as(login, 0))}, append(repeat(6, step{do: socket}, later(20*time.Minute)), does(get))...)},
	{"BeaconBesideASignIn", []step{does(post(write)), sends(beacon), does(as(login, 0)), arrives(), does(get)}},
	{"BeaconThatLoadedBeforeASignIn", []step{does(post(write)), sends(beacon.loadsNow()), does(as(login, 0)), arrives(), does(get)}},
	{"BeaconBesideASecondSignIn", []step{does(as(login, 0)), sends(beacon), does(as(login, 1)), arrives(), does(get)}},
	{"BeaconBesideARotation", []step{does(as(login, 0)), sends(beacon), does(post(rotateNow)), arrives(), does(get)}},
	{"BeaconBesideAReauthentication", []step{does(as(login, 0)), sends(beacon), does(post(reauth)), arrives(), does(get)}},
	{"BeaconBesideAnElevation", []step{does(as(login, 0)), sends(beacon), does(post(elevate)), arrives(), does(get)}},
	{"BeaconBesideAnImpersonation", []step{does(as(login, 0)), sends(beacon), does(as(impersonate, 1)), arrives(), does(get)}},
	{"BeaconBesideTheEndOfAnImpersonation", []step{does(as(login, 0)), does(as(impersonate, 1)), sends(beacon), does(post(endImpersonation)), arrives(), does(get)}},
	{"BeaconBesideTwoReplacements", []step{does(as(login, 0)), sends(beacon), does(post(elevate)), does(post(reauth)), arrives(), does(get)}},
	{"BeaconBesideARotationAndAReplacement", []step{
		does(as(login, 0)), later(20 * time.Minute), does(get), later(20 * time.Minute), does(get), later(20 * time.Minute),
		sends(beacon), does(get), does(post(rotateNow)), arrives(), does(get),
	}},
	{"EmptyCookieBeside", []step{does(as(login, 0)), cookie(0), does(get), does(post(write)), does(get)}},
	{"MalformedCookieBeside", []step{does(as(login, 0)), cookie(1), does(get), does(post(write)), does(get)}},
	{"EqualCookieBeside", []step{does(as(login, 0)), cookie(2), does(get), does(post(write)), does(get), does(as(login, 1)), does(get)}},
	{"TwoSecretsOfOneSession", []step{
		does(as(login, 0)), cookie(2), later(20 * time.Minute), does(get), later(20 * time.Minute), does(get), later(20 * time.Minute),
		does(get), does(get), does(post(write)), later(time.Minute), does(get),
	}},
	{"SignOutWithTwoCookies", []step{does(as(login, 0)), cookie(2), does(post(logout)), does(get)}},
	{"SignOutWithAMalformedCookie", []step{does(as(login, 0)), cookie(1), does(post(logout)), does(get)}},
	{"MalformedCookieGoesAway", []step{cookie(3), does(get)}},
	{"MalformedPartitionedCookieGoesAway", []step{cookie(1), does(get)}},
	{"EndImpersonationTwice", []step{does(as(login, 0)), does(as(impersonate, 1)), sends(post(endImpersonation).loadsNow()), does(post(endImpersonation)), arrives(), does(get)}},
	{"EndImpersonationTwiceAtOnce", []step{
		does(as(login, 0)), does(as(impersonate, 1)), sends(post(endImpersonation).loadsNow()), sends(post(endImpersonation).loadsNow()), arrives(), arrives(), does(get),
	}},
	{"LateWriteOfAnImpersonationWhoseActorHasEnded", []step{
		sends(as(login, 1)), does(as(login, 1)), does(as(impersonate, 0)), sends(post(write)), arrives(), does(post(destroyOthers)), arrives(), does(get),
	}},
	{"LateEndOfAnEarlierImpersonation", []step{
		does(as(login, 1)), does(as(impersonate, 0)), sends(post(endImpersonation).loadsNow()), does(post(endImpersonation)),
		does(as(impersonate, 0)), arrives(), later(20 * time.Minute), does(get), later(20 * time.Minute), does(get),
	}},
	{"LatePageWithTwoCookies", []step{
		sends(get), sends(post(write)), does(post(count1)), sends(post(logout)), cookie(2), {do: deliver, at: 1}, sends(get), arrives(), does(post(write)), {do: deliver, at: 1},
	}},
	{"LostSignInWithTwoCookies", []step{sends(as(login, 0)), does(post(count1)), cookie(2), arrives(), sends(as(login, 0)), lost()}},
	{"NewerNodeWrites", []step{does(as(login, 0)), does(post(count1).onNewer()), does(post(write)), does(get.onNewer())}},
	{"NewerNodeSignsIn", []step{does(post(write)), sends(post(count1)), does(as(login, 0).onNewer()), arrives(), does(get.onNewer())}},
	{"NewerNodeRotates", []step{does(post(write)), sends(post(write)), does(post(rotateNow).onNewer()), arrives(), does(get.onNewer())}},
	{"OlderNodeSignsInOverANewerRow", []step{does(as(login, 0).onNewer()), does(as(login, 1)), does(get), does(get.onNewer())}},
	{"AnotherDeviceEndsWhatHasExpired", []step{
		does(as(login, 0)), onPhone(does(as(login, 0))), {do: stay}, does(post(destroyOthers)), onPhone(sends(beacon)), onPhone(does(post(write))), arrives(),
	}},
	{"AnotherDeviceEndsTheSession", []step{does(as(login, 0)), onPhone(does(as(login, 0))), sends(beacon.loadsNow()), onPhone(does(post(destroyOthers))), arrives(), does(get)}},
}

func TestSequencesThatFailedOnce(t *testing.T) {
	for _, set := range settings() {
		store, ctx := newStore(t, inMemory()), context.WithoutCancel(t.Context())
		for _, c := range sequences {
			t.Run(set.name+"/"+c.name, func(t *testing.T) {
				f, err := store.run(ctx, set, c.steps)
				if err != nil {
					t.Fatal(err)
				}
				if f != nil {
					t.Fatalf("%v\n  %s", f, strings.Join(f.trace, "\n  "))
				}
			})
		}
	}
}
