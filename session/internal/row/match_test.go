package row

import (
	"testing"
	"time"
)

// After a verb, every secret before it is a straggler's until RetiredUntil: the
// one that the verb replaced, the one before a rotation, and those before
// another verb, which the row no longer has.
func TestSecretsBeforeAVerbAreStragglers(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	handle := NewHandle()
	current, retired, previous, older := NewToken(handle), NewToken(handle), NewToken(handle), NewToken(handle)
	r := Row{
		Hash: current.Hash(), Retired: retired.Hash(), RetiredUntil: InstantOf(now.Add(time.Second)),
		Previous: previous.Hash(), PreviousUntil: InstantOf(now),
	}
	for _, c := range []struct {
		name              string
		token             Token
		within, afterward Match
	}{
		{"current", current, MatchCurrent, MatchCurrent},
		{"replaced by the verb", retired, MatchReplaced, MatchRetired},
		{"before a rotation", previous, MatchReplaced, MatchLapsed},
		{"before another verb", older, MatchReplaced, MatchNone},
	} {
		under := func(string) []byte { return c.token.Hash() }
		if got := r.Match(under, now); got != c.within {
			t.Errorf("%s, within the time: %d, want %d", c.name, got, c.within)
		}
		if got := r.Match(under, now.Add(time.Second)); got != c.afterward {
			t.Errorf("%s, afterwards: %d, want %d", c.name, got, c.afterward)
		}
	}
}
