package driverkit

import (
	"errors"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// TestPageTokens reads tokens back, changes each byte, and takes tokens to
// other listings and stores.
func TestPageTokens(t *testing.T) {
	d := driver.Description{Labels: []string{"principal"}}
	gate := NewGate(d, "shop", "carts")
	page := func(g *Gate, label, value, token string) (string, error) {
		return g.Page(t.Context(), &driver.Query{Label: label, Value: value, Limit: 1, After: token})
	}
	for _, position := range []string{"id", "$", "ü/{}", "\x00\xff", strings.Repeat("x", model.MaxID)} {
		token := gate.Token(&driver.Query{Limit: 1}, position)
		if got, err := page(gate, "", "", token); err != nil || got != position {
			t.Fatalf("the token of %q stands for %q, %v", position, got, err)
		}
		refused := func(what string, g *Gate, label, value, token string) {
			t.Helper()
			if _, err := page(g, label, value, token); !errors.Is(err, model.ErrInvalid) {
				t.Errorf("%s, position %q: %v, want %v", what, position, err, model.ErrInvalid)
			}
		}
		refused("another listing", gate, "principal", "ann", token)
		refused("another store", NewGate(d, "shop", "tokens"), "", "", token)
		refused("a store with the same letters", NewGate(d, "shopc", "arts"), "", "", token)
		for i := range token {
			for _, c := range []string{"", "A", "z", "%"} {
				if changed := token[:i] + c + token[i+1:]; changed != token {
					refused("a changed token", gate, "", "", changed)
				}
			}
		}
	}
	if token := gate.Token(&driver.Query{Limit: 1}, ""); token != "" {
		t.Errorf("the end of a listing has the token %q", token)
	}
}
