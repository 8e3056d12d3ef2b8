package driverkit_test

import (
	"errors"
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// position returns what the token stands for on the gate.
func position(t *testing.T, g *driverkit.Gate, q driver.Query, token string) (string, error) {
	t.Helper()
	q.After, q.Limit = token, 1
	return g.Page(t.Context(), &q)
}

func TestTokenRoundTrip(t *testing.T) {
	g := newGate()
	for _, q := range []driver.Query{{}, {Label: "principal", Value: "ann"}, {Label: "principal"}} {
		for _, want := range []string{"a", "\x00", "é/=%", "\xff\xfe", string(make([]byte, 2000))} {
			token := g.Token(&q, want)
			if got, err := position(t, g, q, token); got != want || err != nil {
				t.Errorf("%+v: the token of %q stands for %q, %v", q, want, got, err)
			}
			q.KeysOnly = true
			if again := g.Token(&q, want); again != token {
				t.Errorf("%+v: the tokens of one position differ: %q, %q", q, token, again)
			}
		}
		if token := g.Token(&q, ""); token != "" {
			t.Errorf("the token of the end is %q, want none", token)
		}
	}
}

func TestTokenOfAnotherListingIsInvalid(t *testing.T) {
	q := driver.Query{Label: "principal", Value: "ann"}
	token := newGate().Token(&q, "a")
	desc := newGate().Describe()
	for name, ask := range map[string]struct {
		g *driverkit.Gate
		q driver.Query
	}{
		"another value":     {newGate(), driver.Query{Label: "principal", Value: "bob"}},
		"no value":          {newGate(), driver.Query{Label: "principal"}},
		"all records":       {newGate(), driver.Query{}},
		"another store":     {driverkit.NewGate(desc, "other"), q},
		"a store in two":    {driverkit.NewGate(desc, "st", "ore"), q},
		"an unnamed store":  {driverkit.NewGate(desc), q},
		"one name too many": {driverkit.NewGate(desc, "store", ""), q},
	} {
		if got, err := position(t, ask.g, ask.q, token); !errors.Is(err, model.ErrInvalid) || got != "" {
			t.Errorf("%s: got the position %q and %v, want %v", name, got, err, model.ErrInvalid)
		}
	}
}

func TestChangedTokenIsInvalid(t *testing.T) {
	g, q := newGate(), driver.Query{}
	token := g.Token(&q, "position")
	changed := []string{token + "A", token + "=", token + "\n", "\r" + token, " " + token, token + token, "x", "!"}
	for n := 1; n < len(token); n++ {
		changed = append(changed, token[:n], token[n:])
	}
	for i := range len(token) {
		for _, c := range []byte{'A', 'b', '_', token[i] ^ 1} {
			if c != token[i] {
				changed = append(changed, token[:i]+string(c)+token[i+1:])
			}
		}
	}
	for _, bad := range changed {
		if got, err := position(t, g, q, bad); !errors.Is(err, model.ErrInvalid) || got != "" {
			t.Errorf("%q: got the position %q and %v, want %v", bad, got, err, model.ErrInvalid)
		}
	}
}

// FuzzToken checks that a token is accepted only in the form that Token
// returns.
func FuzzToken(f *testing.F) {
	g := newGate()
	f.Add(g.Token(&driver.Query{}, "a"), "", "")
	f.Add(g.Token(&driver.Query{Label: "principal", Value: "ann"}, "b"), "principal", "ann")
	f.Add("AAAA", "", "")
	f.Add("", "principal", "x")
	f.Fuzz(func(t *testing.T, token, label, value string) {
		q := driver.Query{Label: label, Value: value}
		if token == "" {
			return
		}
		got, err := position(t, g, q, token)
		switch {
		case err != nil && !errors.Is(err, model.ErrInvalid):
			t.Errorf("got %v, want nil or %v", err, model.ErrInvalid)
		case err == nil && g.Token(&q, got) != token:
			t.Errorf("%q was accepted for the position %q, whose token is %q", token, got, g.Token(&q, got))
		}
	})
}
