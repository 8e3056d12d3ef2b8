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
	MatchRetired                 // one of the last secrets that were replaced some time ago
	MatchReplaced                // a secret that a verb has just replaced: its bearer is a straggler
	MatchLapsed                  // the secret before the rotation, which is no longer accepted
	MatchPrevious                // the secret before the rotation, which is still accepted
	MatchCurrent
)

// Match compares the hashes of a token with those of the row, in constant time.
// Under returns the token's hash under a seal key, or nil if that key is not in
// the keyring.
func (r *Row) Match(under func(keyID string) []byte, now time.Time) Match {
	current := under(r.HashKey)
	isCurrent := equalHash(current, r.Hash)
	isPrevious := len(r.Previous) > 0 && equalHash(under(r.PreviousKey), r.Previous)
	isRetired := len(r.Retired) > 0 && amongHashes(under(r.RetiredKey), r.Retired)
	switch {
	case isCurrent:
		return MatchCurrent
	case isPrevious && (r.PreviousUntil == 0 || now.Before(r.PreviousUntil.Time())):
		return MatchPrevious
	case now.Before(r.RetiredUntil.Time()): // Retired, Previous or, after two verbs, one before
		return MatchReplaced
	case isPrevious:
		return MatchLapsed
	case isRetired:
		return MatchRetired
	case current == nil:
		return MatchUnknownKey
	}
	return MatchNone
}

// Opens reports whether the match opens the row.
func (m Match) Opens() bool { return m >= MatchPrevious }

// amongHashes compares with each of the hashes that follow one another.
func amongHashes(a, all []byte) bool {
	found := false
	for len(a) > 0 && len(all) >= len(a) {
		found = equalHash(a, all[:len(a)]) || found
		all = all[len(a):]
	}
	return found
}

func equalHash(a, b []byte) bool { return len(b) > 0 && subtle.ConstantTimeCompare(a, b) == 1 }
