package session

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// state says what a session knows about its row.
type state uint8

const (
	stateUnread     state = iota // the row was not read yet
	stateFailed                  // the store did not return it; storeErr says why
	stateReadOnly                // anonymous, because the store is down; storeErr refuses changes
	stateAnonymous               // there is no row; the first value creates one
	stateStored                  // item is the row
	stateChallenged              // item is the row, and the Binder asks for a reauthentication
)

// loaded reports whether the session can be read.
func (s state) loaded() bool { return s >= stateReadOnly }

// stored reports whether item is the session's row.
func (s state) stored() bool { return s >= stateStored }

// origin says where the session's token comes from.
type origin uint8

const (
	originNone      origin = iota // there is no token
	originPresented               // the client sent the token
	originIssued                  // the service made it; the client is yet to receive it
	originHandle                  // there is a handle and no secret: Detached
)

// lifecycle is the state of a session with its row, its token and its pending
// changes. Only its methods change it.
type lifecycle struct {
	state    state
	storeErr error // with stateFailed and stateReadOnly

	first   [1]row.Token // room for what most clients send
	brought []row.Token  // what the client sent; none is malformed, all differ
	sent    bool         // the client sent something, perhaps malformed
	opened  *row.Token   // the one of brought that opened the row
	token   *row.Token   // of the row
	origin  origin       // of token
	item    item         // the row, if state.stored()
	matched row.Match    // how the token matched the row

	data  row.Values // the row's data with ops applied
	ops   []op       // changes of the data since the row was read
	edits []edit     // changes of the row beside its data since it was read
	over  *ended     // the impersonation, while it is ended
	owner bool       // the row was that of somebody who is signed in, at any time
	seq   int        // of the last change of the data

	doubts  doubts         // writes of them whose answers were lost
	doubted model.Revision // of the row that they would replace; zero: of none

	// With stateAnonymous:
	why    Why
	closed error   // refuses a new session; nil allows it
	stale  bool    // the client may forget what it sent
	owned  []ended // rows that the client's tokens open and that are not served
}

// edit is a change of a row beside its data.
type edit struct {
	apply    func(r *row.Row, now time.Time)
	deadline bool // it sets a deadline
}

// applied returns the row after the edit. What a function gets is on the heap, and
// most requests have no edits.
func (e edit) applied(r row.Row, now time.Time) row.Row {
	e.apply(&r, now)
	return r
}

// maxTokens is how many different tokens of one client are tried.
const maxTokens = 4

// bring sets the unread state of the texts that a client sent.
func (l *lifecycle) bring(texts []string) {
	l.brought = l.first[:0]
	for _, text := range texts {
		l.sent = l.sent || text != ""
		t, ok := row.ParseToken(text)
		if !ok || len(l.brought) == maxTokens || slices.ContainsFunc(l.brought, func(o row.Token) bool {
			return o.Handle == t.Handle && o.Secret == t.Secret // both are the client's own
		}) {
			continue
		}
		l.brought = append(l.brought, t)
	}
}

// becomeFailed keeps the store's error, so that a request does not wait for a
// dead store repeatedly.
func (l *lifecycle) becomeFailed(err error) { l.state, l.storeErr = stateFailed, err }

// becomeReadOnly makes the session anonymous. Err refuses its changes.
func (l *lifecycle) becomeReadOnly(err error) {
	l.becomeAnonymous()
	l.state, l.storeErr = stateReadOnly, err
}

// becomeAnonymous makes the session a new, empty one. It drops the row, the
// token and the pending changes.
func (l *lifecycle) becomeAnonymous() {
	*l = lifecycle{state: stateAnonymous, first: l.first, brought: l.brought, sent: l.sent, opened: l.opened, owner: l.owner}
}

// becomeGone makes the session anonymous after it was ended elsewhere. Nothing
// may be written to a new one: its credential could replace a better one that
// the client has.
func (l *lifecycle) becomeGone(why Why) {
	l.becomeAnonymous()
	l.why, l.closed = why, ErrGone
}

// becomeSeen is the end of a load. If exactly one token opens its row, that is
// the session's.
func (l *lifecycle) becomeSeen(seen []sight) {
	var opened *sight
	several := false
	for i := range seen {
		switch v := &seen[i]; {
		case !v.opens:
		case opened == nil:
			opened = v
		case v.item.ID != opened.item.ID:
			several = true
		case v.matched > opened.matched:
			opened = v // the secrets before and after a rotation
		}
	}
	if opened != nil && !several {
		l.opened, l.token, l.origin = opened.token, opened.token, originPresented
		if opened.token.Hash() == nil {
			l.origin = originHandle
		}
		l.becomeStored(opened.item, opened.matched)
		if opened.decision == DecisionChallenge {
			l.becomeChallenged()
		}
	} else {
		l.becomeAnonymous()
		l.stale = l.sent
	}
	for i := range seen {
		v := &seen[i]
		if opened != nil && !several && v.item.ID == opened.item.ID {
			continue
		}
		if v.owned || v.opens {
			l.owned = append(l.owned, endedOf(&v.item, ReasonSignOut))
		}
		if l.state.stored() {
			continue
		}
		if l.why == WhyNone {
			l.why = v.why
		}
		if l.closed == nil {
			l.closed = v.closed
		}
		l.stale = l.stale && v.stale
	}
}

// becomeStored makes the item the session's row, without pending changes. A
// challenge stays until becomeProved.
func (l *lifecycle) becomeStored(it item, matched row.Match) {
	if l.state != stateChallenged {
		l.state = stateStored
	}
	l.storeErr = nil
	l.why, l.closed, l.stale = WhyNone, nil, false
	l.item, l.matched, l.owner = it, matched, l.owner || it.Value.Principal != ""
	l.data, l.ops, l.edits = it.Value.Data, nil, nil
	l.doubts, l.doubted = nil, model.Revision{}
}

// becomeIssued makes the item the session's row under a new token, which the
// client is yet to receive.
func (l *lifecycle) becomeIssued(it item, t *row.Token) {
	l.becomeStored(it, row.MatchCurrent)
	l.token, l.origin = t, originIssued
}

// becomeChallenged asks the principal of a stored session to prove again who
// they are.
func (l *lifecycle) becomeChallenged() {
	if l.state == stateStored {
		l.state = stateChallenged
	}
}

// becomeProved ends a challenge.
func (l *lifecycle) becomeProved() {
	if l.state == stateChallenged {
		l.state = stateStored
	}
}

// apply makes a change with the given result, and keeps it for a replay.
func (l *lifecycle) apply(o op, result json.RawMessage) {
	if l.state.stored() {
		o.base = l.item.Value.Data.Get(o.key)
	}
	l.seq++
	o.seq = l.seq
	l.data = l.data.With(o.key, result)
	l.ops = append(replaced(l.ops, o), o)
}

// applyEdit keeps a change of the row for the next write.
func (l *lifecycle) applyEdit(e edit) { l.edits = append(l.edits, e) }

// moved sets a new expiry of the row.
func (l *lifecycle) moved(expiresAt time.Time) { l.item.ExpiresAt = expiresAt }

// dirty reports whether the row has to be written.
func (l *lifecycle) dirty() bool {
	if !l.state.stored() {
		return len(l.data)+len(l.edits) > 0
	}
	return len(l.edits)+len(l.doubts) > 0 || !l.data.Equal(l.item.Value.Data)
}

// handle returns the handle of the stored row, or "".
func (l *lifecycle) handle() string {
	if !l.state.stored() {
		return ""
	}
	return l.item.ID
}
