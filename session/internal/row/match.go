package row

import (
	"crypto/subtle"
	"time"
)

// Match says which of the row's secrets a token has.
type Match uint8

// The matches, from none to the best.
const (
	MatchNone       Match = iota // a wrong secret
	MatchUnknownKey              // the seal key of the pepper is not in the keyring
	MatchRetired                 // a secret that was rotated away
	MatchPrevious                // the secret before the rotation, which is still accepted
	MatchCurrent
)

// Match compares the hashes of a token with those of the row. Current is the
// token's hash under HashKey, and previous the one under PreviousKey. Each is
// nil if its seal key is not in the keyring. It always compares both, in
// constant time.
func (r *Row) Match(current, previous []byte, now time.Time) Match {
	isCurrent, isPrevious := equalHash(current, r.Hash), equalHash(previous, r.Previous)
	switch {
	case isCurrent:
		return MatchCurrent
	case isPrevious && (r.PreviousUntil == 0 || now.Before(r.PreviousUntil.Time())):
		return MatchPrevious
	case isPrevious:
		return MatchRetired
	case current == nil:
		return MatchUnknownKey
	}
	return MatchNone
}

func equalHash(a, b []byte) bool { return len(b) > 0 && subtle.ConstantTimeCompare(a, b) == 1 }
