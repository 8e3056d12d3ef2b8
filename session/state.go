package session

import (
	"encoding/json"
	"time"

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
	originMalformed               // the client sent something that is not a token
	originPresented               // the client sent the token
	originIssued                  // the service made it; the client is yet to receive it
	originHandle                  // there is a handle and no secret: Detached
)

// lifecycle is the state of a session with its row, its token and its pending
// changes. Only its methods change it.
type lifecycle struct {
	state    state
	storeErr error // with stateFailed and stateReadOnly

	token   *row.Token
	origin  origin    // of token
	item    item      // the row, if state.stored()
	matched row.Match // how the token matched the row

	data  row.Values // the row's data with ops applied
	ops   []op       // changes of the data since the row was read
	edits []edit     // changes of the lifetimes since the row was read
	// unreadable is a row that the token opens and this version cannot read.
	// SignOut deletes it.
	unreadable *ended
}

// edit changes the lifetimes of a row.
type edit func(r *row.Row, now time.Time)

// newLifecycle returns the unread state of a client's token.
func newLifecycle(text string) lifecycle {
	if t, ok := row.ParseToken(text); ok {
		return lifecycle{token: &t, origin: originPresented}
	}
	if text != "" {
		return lifecycle{origin: originMalformed}
	}
	return lifecycle{}
}

// becomeFailed keeps the store's error, so that a request does not wait for a
// dead store repeatedly.
func (l *lifecycle) becomeFailed(err error) { l.state, l.storeErr = stateFailed, err }

// becomeReadOnly makes the session anonymous. Err refuses its changes.
func (l *lifecycle) becomeReadOnly(err error) {
	l.becomeAnonymous()
	l.state, l.storeErr = stateReadOnly, err
}

// becomeAnonymous makes the session a new, empty one. It drops the row and the
// pending changes. It keeps the token, which may have to be cleared.
func (l *lifecycle) becomeAnonymous() {
	*l = lifecycle{state: stateAnonymous, token: l.token, origin: l.origin}
}

// becomeUnreadable makes the session anonymous. Own is the unreadable row if the
// token opens it, else nil.
func (l *lifecycle) becomeUnreadable(own *ended) {
	l.becomeAnonymous()
	l.unreadable = own
}

// becomeStored makes the item the session's row, without pending changes. A
// challenge stays until becomeProved.
func (l *lifecycle) becomeStored(it item, matched row.Match) {
	if l.state != stateChallenged {
		l.state = stateStored
	}
	l.storeErr = nil
	l.item, l.matched = it, matched
	l.data, l.ops, l.edits = it.Value.Data, nil, nil
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

// forgetToken drops the token.
func (l *lifecycle) forgetToken() { l.token, l.origin = nil, originNone }

// apply makes a change with the given result, and keeps it for a replay.
func (l *lifecycle) apply(o op, result json.RawMessage) {
	if l.state.stored() {
		o.base = l.item.Value.Data.Get(o.key)
	}
	l.data = l.data.With(o.key, result)
	l.ops = append(replaced(l.ops, o), o)
}

// applyEdit keeps a change of the lifetimes for the next write.
func (l *lifecycle) applyEdit(e edit) { l.edits = append(l.edits, e) }

// moved sets a new expiry of the row.
func (l *lifecycle) moved(expiresAt time.Time) { l.item.ExpiresAt = expiresAt }

// dirty reports whether the row has to be written.
func (l *lifecycle) dirty() bool {
	if !l.state.stored() {
		return len(l.data) > 0
	}
	return len(l.edits) > 0 || !l.data.Equal(l.item.Value.Data)
}

// handle returns the handle of the stored row, or "".
func (l *lifecycle) handle() string {
	if !l.state.stored() {
		return ""
	}
	return l.item.ID
}
