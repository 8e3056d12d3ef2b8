package session

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// persistAttempts bounds the compare-and-set loop.
const persistAttempts = 100

// verb is a change of the row with a new secret. A nil verb changes nothing.
type verb struct {
	kind     EventKind
	edit     edit // may be empty
	signedIn bool // only the principal themselves may ask for it
	proves   bool // the principal has proved who they are
}

// Persist writes the session's changes to the store. It returns what the
// transport has to tell the client, for all changes since Open. It can be called
// repeatedly.
//
// Persist writes the changes, moves the idle deadline if that is due, and
// ends the row after a sign-out. It does nothing if there is nothing to do.
//
// If another request changed the session meanwhile, Persist applies the changes
// again, key by key, to the fresh row. It returns ErrGone if the session was
// ended, has expired or has another secret meanwhile. Then the changes are
// discarded and the client keeps its token, because it may have received another
// one already. After any other error the changes are kept for another Persist.
// After model.ErrUnknown that one first learns whether they were stored, and
// does not make them twice. If another request has written since, nobody can
// tell, and they are discarded with model.ErrUnknown.
func (s *Session) Persist(ctx context.Context) (Credential, error) {
	return s.persist(ctx, false)
}

// Commit is the last Persist: later changes return ErrCommitted. A transport
// calls it before it sends the credential.
func (s *Session) Commit(ctx context.Context) (Credential, error) {
	return s.persist(ctx, true)
}

func (s *Session) persist(ctx context.Context, last bool) (Credential, error) {
	if err := s.acquireUncancelled(ctx); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.cred, err // what the client is owed does not depend on this change
	}
	defer s.release()
	if last {
		s.locked(func() { s.committed = true })
	}
	if s.quiet() && (!last || !s.offerIsOld()) {
		return s.owed(), nil
	}
	work, cancel := s.svc.uncancelled(ctx)
	defer cancel()
	err := s.finishEnded(work)
	if err == nil && s.state.loaded() {
		err = s.flush(work, nil)
	}
	if last && s.state.stored() && s.offerIsOld() {
		s.confirmOffer(work)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.state == stateFailed {
		err = s.storeErr
	}
	return s.owed(), err
}

// owed returns what the client has to be told. The caller holds the lock.
func (s *Session) owed() Credential {
	cred := s.cred
	cred.Stale = cred.Action == ActionLeave && s.stale
	return cred
}

// quiet reports whether there is nothing to write. Most requests end like this.
// The caller holds the lock.
func (s *Session) quiet() bool {
	switch {
	case len(s.ended) > 0 || s.state == stateFailed:
		return false
	case !s.state.stored():
		return len(s.data)+len(s.edits) == 0
	case len(s.ops)+len(s.edits)+len(s.doubts) > 0:
		return false
	}
	d, err := s.next(&s.item, nil)
	if err != nil || d.write {
		return false
	}
	_, due := s.touchDue(&s.item)
	return !due
}

// finishEnded ends the rows that are still to be ended.
func (s *Session) finishEnded(ctx context.Context) error {
	for len(s.ended) > 0 {
		e := &s.ended[0]
		var err error
		if e.heir != nil {
			err = s.finishReplaced(ctx, e)
		} else {
			_, err = s.svc.remove(ctx, e)
		}
		if err != nil {
			return err
		}
		s.locked(func() { s.ended = s.ended[1:] })
	}
	return nil
}

// flush writes the pending changes and the verb. The caller holds the lock.
func (s *Session) flush(ctx context.Context, v *verb) error {
	if !s.state.stored() {
		if len(s.data) == 0 && (s.identity == nil || len(s.edits) == 0) {
			return nil
		}
		if err := s.mayCreate(); err != nil {
			return err
		}
		if s.identity != nil {
			return s.createFor(ctx)
		}
		it, t, err := s.create(ctx, row.Row{Data: s.data})
		if err != nil {
			return err
		}
		s.locked(func() { s.issue(it, t) })
		s.svc.emit(ctx, eventOf(EventCreated, it.ID, &it.Value))
		return nil
	}
	err := s.save(ctx, v)
	if errors.Is(err, ErrGone) {
		s.locked(func() { s.becomeGone(whyGone(err)); s.cred = Credential{} })
	}
	return err
}

// create stores a new row under a new handle, and fills in what r leaves open.
// CreatedAt is at least that of r, for the order of a Limit.
func (s *Session) create(ctx context.Context, r row.Row) (item, *row.Token, error) {
	now := s.svc.now()
	t := row.NewToken(row.NewHandle())
	s.mu.Lock()
	r.Client = row.Client(s.client)
	s.mu.Unlock()
	if s.identity != nil { // no secret opens it
		t = s.brought[0]
	} else {
		r.Hash, r.HashKey = s.svc.newHash(&t)
	}
	at := row.InstantOf(now)
	r.RotatedAt, r.WrittenAt = at, at
	r.CreatedAt = max(r.CreatedAt, at)
	switch {
	case s.identity != nil:
		r.AuthenticatedAt = s.authenticated()
	case r.Principal != "":
		r.AuthenticatedAt = at
	}
	s.lifetimes(&r, now)
	it, err := s.svc.createRow(ctx, t.Handle, r, r.Deadline(now))
	if errors.Is(err, model.ErrUnknown) && s.identity == nil {
		// Nobody will hold its token. If this fails too, it expires.
		_ = s.svc.discard(ctx, t.Handle)
	}
	if err != nil {
		return it, nil, err
	}
	s.svc.countCreated(ctx)
	return it, &t, nil
}

// save writes the session's row by compare-and-set, or touches it.
func (s *Session) save(ctx context.Context, v *verb) error {
	base := s.item
	if len(s.doubts) > 0 {
		var err error
		if base, err = s.settleDoubts(ctx); err != nil {
			return err
		}
		if len(s.doubts) >= maxDoubts {
			return errDoubts()
		}
	}
	for attempt := 0; ; attempt++ {
		d, err := s.next(&base, v)
		if err != nil {
			if errors.Is(err, ErrKeyConflict) {
				s.svc.conflict(ctx, &base, ReasonRefused)
			}
			return err
		}
		if !d.write {
			return s.touch(ctx, base, d.matched)
		}
		it, err := s.svc.updateRow(ctx, &base, d.row, d.expiry)
		switch {
		case err == nil:
			s.locked(func() { s.saved(it, d) })
			if attempt > 0 {
				s.svc.conflict(ctx, &it, ReasonMerged)
			}
			s.emitSaved(ctx, &d)
			return nil
		case errors.Is(err, model.ErrNotFound):
			return gone(err)
		case errors.Is(err, model.ErrUnknown):
			s.locked(func() { s.inDoubt(base.Revision, it.Revision, d) })
			return err
		case !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts:
			return err
		}
		if base, err = s.svc.reread(ctx, base.ID, attempt, it); err != nil {
			return err
		}
		if len(s.doubts) > 0 && base.Revision != s.doubted { // one has arrived late, or another request has written
			if err = s.doubtedBy(ctx, &base); err != nil {
				return err
			}
			base = s.item
		}
	}
}

// reread returns the row for the next attempt after a conflict. On the first
// attempt that is the winner, if the store returned it. Else it reads the row
// again. It returns ErrGone if the row is absent or expired. It does not wait on
// the first attempt. Later it waits a random time, which grows to about 30 ms.
func (s *Service) reread(ctx context.Context, id string, attempt int, winner item) (it item, err error) {
	if err := pause(ctx, attempt); err != nil {
		return it, err
	}
	if it = winner; attempt == 0 && winner.ID == id {
		err = s.unseal(&it)
	} else {
		it, err = s.get(ctx, id)
	}
	if errors.Is(err, model.ErrNotFound) || (err == nil && it.Value.Expired(s.now())) {
		return it, gone(err)
	}
	return it, err
}

func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return nil
	}
	t := time.NewTimer(rand.N(time.Millisecond << min(attempt-1, 5))) //nolint:gosec // jitter, not a secret
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// emitSaved emits the events of a write, and ends the views that it has ended.
func (s *Session) emitSaved(ctx context.Context, d *draft) {
	e := eventOf(d.kind, s.item.ID, &s.item.Value)
	if d.kind != 0 {
		if d.verb != nil {
			e.Level = d.row.LevelAt(d.row.WrittenAt.Time())
		}
		s.svc.emit(ctx, e)
	}
	if d.moved {
		e.Kind = EventRenewed
		s.svc.emit(ctx, e)
	}
	if n := s.item.Value.Views; n > 0 {
		s.svc.watch.endBelow(s.item.ID, n, ErrGone)
	}
}

// saved makes the written row the session's. It gives the client what is new,
// but never a secret that is only valid for requests under way.
func (s *Session) saved(it item, d draft) {
	if d.verb != nil && d.verb.signedIn {
		s.becomeProved()
	}
	if d.token != nil {
		s.issue(it, d.token)
		return
	}
	s.becomeStored(it, d.matched)
	s.offered = time.Time{}
	if d.again {
		s.give(s.token)
	}
	s.keepAsLong()
}

// touchDue reports whether this use moves the idle deadline of a row that is not
// written, and returns the new one.
func (s *Session) touchDue(it *item) (time.Time, bool) {
	if s.passive {
		return time.Time{}, false
	}
	return it.Value.Due(s.svc.now(), it.ExpiresAt, s.svc.policy.touchEvery(&it.Value))
}

// touch moves the idle deadline of an unchanged row, if that is due. It does so
// at the revision that was read, so that it never prolongs a marker, or a session
// for a secret that another request has replaced. The client keeps its token: only
// the absolute deadline bounds that.
func (s *Session) touch(ctx context.Context, base item, matched row.Match) error {
	for attempt := 0; ; attempt++ {
		s.locked(func() { s.becomeStored(base, matched); s.keepAsLong() })
		at, due := s.touchDue(&base)
		if !due {
			return nil
		}
		it, err := s.svc.store.Touch(ctx, base.ID, expiry.At(at), &expiry.TouchOptions{Extend: true, IfMatch: base.Known()})
		switch {
		case err == nil:
			s.locked(func() { s.moved(it.ExpiresAt); s.offered = time.Time{} })
			if s.svc.renewals.first(base.ID, at) {
				s.svc.emit(ctx, eventOf(EventRenewed, base.ID, &base.Value))
			}
			return nil
		case errors.Is(err, model.ErrNotFound):
			return gone(err)
		case !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts:
			s.svc.log.LogAttrs(ctx, slog.LevelWarn, "session not touched", slog.String("handle", base.ID), slog.String("error", err.Error()))
			return err
		}
		if base, err = s.svc.reread(ctx, base.ID, attempt, item{}); err != nil {
			return err
		}
		if matched = s.match(&base.Value, s.svc.now()); superseded(matched) {
			return &goneError{WhyReplaced}
		}
	}
}
