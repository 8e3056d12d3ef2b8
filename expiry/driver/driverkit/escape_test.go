package driverkit_test

import (
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

func lowerLetters(c byte) bool { return c >= 'a' && c <= 'z' }

func TestEscapeID(t *testing.T) {
	for id, want := range map[string]string{
		"abc": "p-abc", "A/b": "p-=41=2fb", "=": "p-=3d", "é": "p-=c3=a9", "\x00": "p-=00", "": "p-",
	} {
		if got := driverkit.EscapeID("p-", id, lowerLetters); got != want {
			t.Errorf("EscapeID(%q) returns %q, want %q", id, got, want)
		}
	}
}

func TestUnescapeID(t *testing.T) {
	for name, want := range map[string]string{"p-abc": "abc", "p-=41=2fb": "A/b", "p-=C3=a9": "é", "p-=61": "a"} {
		if got, ok := driverkit.UnescapeID("p-", name, lowerLetters); got != want || !ok {
			t.Errorf("UnescapeID(%q) returns %q, %v, want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "p-", "abc", "q-abc", "p-A", "p-=", "p-=4", "p-=4g", "p-a=", "p- "} {
		if got, ok := driverkit.UnescapeID("p-", name, lowerLetters); ok {
			t.Errorf("UnescapeID(%q) returns %q, want it refused", name, got)
		}
	}
}

func FuzzEscapeID(f *testing.F) {
	for _, id := range []string{"a", "A/b", "=", "é", "\x01/../=%", strings.Repeat("x", model.MaxID)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if id == "" {
			return
		}
		name := driverkit.EscapeID("p-", id, lowerLetters)
		for i := range len(name) {
			if c := name[i]; !lowerLetters(c) && c != '=' && c != '-' && (c < '0' || c > '9') {
				t.Errorf("the name %q of %q has the byte %q", name, id, c)
			}
		}
		if got, ok := driverkit.UnescapeID("p-", name, lowerLetters); got != id || !ok {
			t.Errorf("the name %q of %q is read as %q, %v", name, id, got, ok)
		}
	})
}
