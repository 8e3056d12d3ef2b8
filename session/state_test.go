package session

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/sojourn-go/sojourn/session/internal/row"
)

// Each transition, from a session with everything set, ends in its state and
// keeps and drops what its comment says.
func TestTransitionsOfTheState(t *testing.T) {
	down := errors.New("down")
	tok := row.NewToken(row.NewHandle())
	full := func(s state) *lifecycle {
		l := &lifecycle{}
		l.bring([]string{tok.Text()})
		l.state, l.item, l.matched, l.token = s, item{ID: "h"}, row.MatchPrevious, &tok
		l.apply(op{key: "k"}, json.RawMessage("1"))
		l.applyEdit(edit{})
		return l
	}
	for name, tc := range map[string]struct {
		from   state
		change func(l *lifecycle)
		want   state
		clean  bool // no row and no changes are left
	}{
		"a load fails":      {stateUnread, func(l *lifecycle) { l.becomeFailed(down) }, stateFailed, false},
		"the store is down": {stateUnread, func(l *lifecycle) { l.becomeReadOnly(down) }, stateReadOnly, true},
		"no row":            {stateUnread, (*lifecycle).becomeAnonymous, stateAnonymous, true},
		"sign-out":          {stateChallenged, (*lifecycle).becomeAnonymous, stateAnonymous, true},
		"ended elsewhere":   {stateStored, func(l *lifecycle) { l.becomeGone(WhyEnded) }, stateAnonymous, true},
		"unreadable row":    {stateUnread, func(l *lifecycle) { l.becomeSeen([]sight{{token: &tok, owned: true}}) }, stateAnonymous, true},
		"one row":           {stateUnread, func(l *lifecycle) { l.becomeSeen([]sight{{token: &tok, opens: true}, {}}) }, stateStored, false},
		"two rows": {stateUnread, func(l *lifecycle) {
			l.becomeSeen([]sight{{token: &tok, opens: true, item: item{ID: "a"}}, {token: &tok, opens: true, item: item{ID: "b"}}})
		}, stateAnonymous, true},
		"two secrets of a row":     {stateUnread, func(l *lifecycle) { l.becomeSeen([]sight{{token: &tok, opens: true}, {token: &tok, opens: true}}) }, stateStored, false},
		"a row":                    {stateUnread, func(l *lifecycle) { l.becomeStored(item{}, row.MatchCurrent) }, stateStored, false},
		"first value":              {stateAnonymous, func(l *lifecycle) { l.becomeIssued(item{}, &tok) }, stateStored, false},
		"binder":                   {stateStored, (*lifecycle).becomeChallenged, stateChallenged, false},
		"write under a challenge":  {stateChallenged, func(l *lifecycle) { l.becomeStored(item{}, row.MatchCurrent) }, stateChallenged, false},
		"reauthentication":         {stateChallenged, (*lifecycle).becomeProved, stateStored, false},
		"no challenge without row": {stateAnonymous, (*lifecycle).becomeChallenged, stateAnonymous, false},
		"no proof without row":     {stateAnonymous, (*lifecycle).becomeProved, stateAnonymous, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := full(tc.from)
			tc.change(l)
			if l.state != tc.want || !l.sent || len(l.brought) != 1 {
				t.Errorf("state %d with %d tokens, want state %d", l.state, len(l.brought), tc.want)
			}
			if clean := l.item.ID == "" && l.matched == row.MatchNone && !l.dirty() && len(l.ops) == 0; tc.clean && !clean {
				t.Errorf("something is left: %+v", l)
			}
			if hasErr := tc.want == stateFailed || tc.want == stateReadOnly; hasErr != (l.storeErr != nil) {
				t.Errorf("the store's error is %v", l.storeErr)
			}
		})
	}
}

func TestTextsThatAClientSends(t *testing.T) {
	tok, other := row.NewToken(row.NewHandle()), row.NewToken(row.NewHandle())
	var many []string
	for range 100 {
		t := row.NewToken(row.NewHandle())
		many = append(many, t.Text())
	}
	for name, tc := range map[string]struct {
		texts []string
		want  int
		sent  bool
	}{
		"nothing":        {nil, 0, false},
		"empty":          {[]string{"", ""}, 0, false},
		"malformed":      {[]string{"x", ""}, 0, true},
		"one":            {[]string{tok.Text()}, 1, true},
		"twice the same": {[]string{tok.Text(), "x", tok.Text()}, 1, true},
		"two":            {[]string{tok.Text(), other.Text()}, 2, true},
		"many":           {many, maxTokens, true},
	} {
		var l lifecycle
		if l.bring(tc.texts); len(l.brought) != tc.want || l.sent != tc.sent {
			t.Errorf("%s: %d tokens, sent: %v; want %d, %v", name, len(l.brought), l.sent, tc.want, tc.sent)
		}
	}
}
