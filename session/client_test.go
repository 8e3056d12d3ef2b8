package session_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessiontest"
)

func TestDevicesOfCommonUserAgents(t *testing.T) {
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
	do(t, k, token, read)
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

func TestClientIsStoredTrimmed(t *testing.T) {
	f := setup(t, session.Options{})
	ctx, s := f.open(t, "")
	s.SetClient(session.Client{UserAgent: strings.Repeat("x", 255) + "é and more"})
	ok(t, s.SignIn(ctx, "alice", &session.SignInOptions{Level: 2}))
	_, err := s.Commit(ctx)
	ok(t, err)
	for info, err := range f.svc.Sessions(t.Context(), "alice") {
		ok(t, err)
		if info.Client.UserAgent != strings.Repeat("x", 255) || info.Level != 2 {
			t.Fatalf("%+v", info)
		}
	}
}
