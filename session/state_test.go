package session

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/session/internal/row"
)

// Each transition, from a session with everything set, ends in its state and
// keeps and drops what its comment says.
func TestTransitionsOfTheState(t *testing.T) {
	down := errors.New("down")
	tok := row.NewToken(row.NewHandle())
	full := func(s state) *lifecycle {
		l := newLifecycle(tok.Text())
		l.state, l.item, l.matched = s, item{ID: "h"}, row.MatchPrevious
		l.unreadable = &ended{handle: "u"}
		l.apply(op{key: "k"}, json.RawMessage("1"))
		l.applyEdit(func(*row.Row, time.Time) {})
		return &l
	}
	for name, tc := range map[string]struct {
		from   state
		change func(l *lifecycle)
		want   state
		clean  bool // no row and no changes are left
	}{
		"a load fails":             {stateUnread, func(l *lifecycle) { l.becomeFailed(down) }, stateFailed, false},
		"the store is down":        {stateUnread, func(l *lifecycle) { l.becomeReadOnly(down) }, stateReadOnly, true},
		"no row":                   {stateUnread, (*lifecycle).becomeAnonymous, stateAnonymous, true},
		"sign-out":                 {stateChallenged, (*lifecycle).becomeAnonymous, stateAnonymous, true},
		"unreadable row":           {stateUnread, func(l *lifecycle) { l.becomeUnreadable(&ended{}) }, stateAnonymous, true},
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
			if l.state != tc.want || l.token == nil {
				t.Errorf("state %d with token %v, want state %d", l.state, l.token, tc.want)
			}
			if clean := l.item.ID == "" && l.matched == row.MatchNone && !l.dirty() && len(l.ops) == 0; tc.clean && !clean {
				t.Errorf("something is left: %+v", l)
			}
			if hasErr := tc.want == stateFailed || tc.want == stateReadOnly; hasErr != (l.storeErr != nil) {
				t.Errorf("the store's error is %v", l.storeErr)
			}
		})
	}
	if l := newLifecycle("x"); l.origin != originMalformed || l.token != nil {
		t.Errorf("a malformed token is %+v", l)
	}
	l := full(stateStored)
	l.forgetToken()
	if l.token != nil || l.origin != originNone {
		t.Errorf("after forgetToken: %+v", l)
	}
}
