package session

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// persistAttempts bounds the compare-and-set loop.
const persistAttempts = 100

// verb is what the caller asked for beside the data; nil is nothing. Every one
// gives the session a new secret.
type verb struct {
	kind EventKind
	edit func(r *row, now time.Time) // nil: none
	// deadline says that the edit moves a deadline.
	deadline bool
}

// Persist brings the store up to date and returns what the transport must do
// about the client's credential, counted from Open: it may be called again.
// It writes what was changed, touches the row when the idle deadline has moved
// far enough, deletes it when it was signed out, and does nothing otherwise.
//
// Where another request changed the session meanwhile, the changes of this one
// are replayed, key by key, on the fresh row. ErrGone: the session was ended
// or has expired meanwhile; the changes are discarded, if there were any, and
// the client's credential is left alone, since it may have been given another
// already. After any other error the changes are kept for another Persist.
func (s *Session) Persist(ctx context.Context) (Credential, error) {
	return s.persist(ctx, false)
}

// Commit is the last Persist: changes after it are ErrCommitted. A transport
// calls it before it sends the credential.
func (s *Session) Commit(ctx context.Context) (Credential, error) {
	return s.persist(ctx, true)
}

func (s *Session) persist(ctx context.Context, last bool) (Credential, error) {
	err := s.enterDetached(ctx)
	if err != nil {
		return Credential{}, err
	}
	defer s.leave()
	if last {
		s.mark(func() { s.committed = true })
	}
	if s.quiet() {
		return s.cred, nil
	}
	work, cancel := s.svc.detached(ctx)
	defer cancel()
	if err = s.finishEnded(work); err == nil && s.loaded {
		err = s.flush(work, nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		err = s.loadErr
	}
	return s.cred, err
}

// quiet reports whether there is nothing to write, which most requests end
// with. The caller has the turn.
func (s *Session) quiet() bool {
	if !s.loaded || s.loadErr != nil || !s.stored || len(s.ended)+len(s.ops)+len(s.edits) > 0 {
		return false
	}
	d, err := s.next(&s.item, nil)
	if err != nil || d.write {
		return false
	}
	_, due := s.item.Value.due(s.svc.now(), s.item.ExpiresAt, touchEvery(&s.item.Value, s.svc.policy))
	return !due
}

// finishEnded deletes the rows that were signed out.
func (s *Session) finishEnded(ctx context.Context) error {
	for len(s.ended) > 0 {
		if _, err := s.svc.remove(ctx, &s.ended[0]); err != nil {
			return err
		}
		s.mark(func() { s.ended = s.ended[1:] })
	}
	return nil
}

// flush writes what there is to write. The caller has the turn.
func (s *Session) flush(ctx context.Context, v *verb) error {
	if !s.stored {
		if len(s.data) == 0 {
			return nil
		}
		if s.trusted {
			return ErrGone
		}
		it, t, err := s.create(ctx, row{Data: s.data})
		if err != nil {
			return err
		}
		s.mark(func() { s.owns(it, t) })
		s.svc.emit(ctx, eventOf(Created, it.ID, &it.Value))
		return nil
	}
	err := s.save(ctx, v)
	if errors.Is(err, ErrGone) {
		s.mark(func() { s.begin(); s.cred = Credential{} })
	}
	return err
}

// create stores a new row under a new handle. What r leaves open is filled in;
// a CreatedAt of its own is for the order of a limit.
func (s *Session) create(ctx context.Context, r row) (expiry.Item[row], *token, error) {
	p, now := s.svc.policy, s.svc.now()
	t := newToken(newHandle())
	s.mu.Lock()
	r.Client = s.client
	s.mu.Unlock()
	r.Version = rowVersion
	r.Hash, r.HashKey = s.svc.newHash(&t)
	at := instantOf(now)
	r.RotatedAt, r.WrittenAt = at, at
	r.CreatedAt = max(r.CreatedAt, at)
	if r.Idle == 0 {
		r.Idle = p.Idle.Milliseconds()
	}
	var labels map[string]string
	if r.Principal != "" {
		r.AuthenticatedAt = at
		labels = map[string]string{principalLabel: r.Principal}
		if r.SID != "" {
			labels[sidLabel] = r.SID
		}
	}
	if r.Actor == nil {
		for _, edit := range s.edits {
			edit(&r, now)
		}
	}
	r.setAbsolute(p.Absolute)
	it, err := s.svc.createRow(ctx, t.handle, r, &expiry.WriteOptions{Expiry: expiry.At(r.deadline(now)), Labels: labels})
	if err != nil {
		return it, nil, err
	}
	s.svc.countCreated(ctx)
	return it, &t, nil
}

// owns makes the item the session's row under a token that the client has yet
// to be given.
func (s *Session) owns(it expiry.Item[row], t *token) {
	s.adopt(it, matchCurrent, false)
	s.token = t
	s.give()
}

// give sets the credential to the token in force and the deadline in force.
func (s *Session) give() {
	left := s.item.ExpiresAt.Sub(s.svc.now()).Truncate(time.Second)
	if left <= 0 {
		return
	}
	s.cred = Credential{Action: Give, ExpiresAt: s.item.ExpiresAt, MaxAge: left, token: s.token.text()}
}

// draft is the next state of a row.
type draft struct {
	row    row
	expiry expiry.Expiry
	moved  bool   // the expiry moves
	shown  match  // how the session's token matches the row
	token  *token // minted; nil: the secret stays
	write  bool   // the row changes
}

// save writes the session's row by compare-and-set, or touches it.
func (s *Session) save(ctx context.Context, v *verb) error {
	base := s.item
	for attempt := 0; ; attempt++ {
		d, err := s.next(&base, v)
		if err != nil {
			if errors.Is(err, ErrKeyConflict) {
				s.svc.conflict(ctx, &base, Refused)
			}
			return err
		}
		if !d.write {
			return s.touch(ctx, base, d.shown)
		}
		it, err := s.svc.updateRow(ctx, base.ID, d.row, &expiry.WriteOptions{IfMatch: base.Known(), Expiry: d.expiry})
		if err == nil {
			s.mark(func() { s.saved(it, d) })
			if attempt > 0 {
				s.svc.conflict(ctx, &it, Merged)
			}
			s.told(ctx, &d, v)
			return nil
		}
		if errors.Is(err, model.ErrNotFound) {
			return ErrGone
		}
		if !errors.Is(err, model.ErrConflict) || attempt+1 >= persistAttempts {
			return err
		}
		if base, err = s.fresh(ctx, base.ID, attempt, it); err != nil {
			return err
		}
	}
}

// fresh is the row to try again on after a conflict: the first time the winner,
// where the store told it, else what a new read finds. ErrGone where there is
// none. It waits a random time that grows to some 30 ms, not at all the first
// time.
func (s *Session) fresh(ctx context.Context, id string, attempt int, winner expiry.Item[row]) (it expiry.Item[row], err error) {
	if err := pause(ctx, attempt); err != nil {
		return it, err
	}
	if it = winner; attempt == 0 && winner.ID == id {
		err = s.svc.opened(&it)
	} else {
		it, err = s.svc.get(ctx, id)
	}
	if errors.Is(err, model.ErrNotFound) || (err == nil && it.Value.expired(s.svc.now())) {
		return it, ErrGone
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

// told tells the hook what a write has done.
func (s *Session) told(ctx context.Context, d *draft, v *verb) {
	e := eventOf(Rotated, s.item.ID, &s.item.Value)
	switch {
	case v != nil:
		e.Kind, e.Level = v.kind, d.row.level(d.row.WrittenAt.time())
		s.svc.emit(ctx, e)
	case d.token != nil:
		s.svc.emit(ctx, e)
	}
	if d.moved {
		e.Kind = Renewed
		s.svc.emit(ctx, e)
	}
}

// next derives the row to write from one that was read. Hashes and times come
// from base and never from what was loaded before.
func (s *Session) next(base *expiry.Item[row], v *verb) (draft, error) {
	now, p := s.svc.now(), s.svc.policy
	d := draft{row: base.Value, expiry: expiry.Keep()}
	data := s.data // unless another request has written meanwhile
	if base.Revision != s.item.Revision {
		var err error
		if data, err = replay(base.Value.Data, s.ops); err != nil {
			return d, err
		}
	}
	d.row.Data = data
	d.write = !data.equal(base.Value.Data)

	if err := s.nextSecret(&d, base, v, now); err != nil {
		return d, err
	}
	for _, edit := range s.edits {
		edit(&d.row, now)
		d.write = true
	}
	if v != nil && v.edit != nil {
		v.edit(&d.row, now)
	}
	at, due := d.row.due(now, base.ExpiresAt, touchEvery(&d.row, p))
	if len(s.edits) > 0 || (v != nil && v.deadline) {
		// A lifetime that is over already ends with this very write.
		if at, due = d.row.deadline(now), true; !at.After(now) {
			at = now.Add(time.Millisecond)
		}
	}
	if d.write {
		d.row.WrittenAt = instantOf(now)
		if due {
			d.expiry, d.moved = expiry.At(at), true
		}
	}
	return d, nil
}

// nextSecret rotates the secret where it is due or asked for, and retires the
// one before once the client has shown that it has the new one.
func (s *Session) nextSecret(d *draft, base *expiry.Item[row], v *verb, now time.Time) error {
	r, p := &d.row, s.svc.policy
	shown := s.match(&base.Value, now)
	d.shown = shown
	switch {
	case v != nil:
		// A client whose secret was replaced meanwhile gets no other one.
		if shown != matchCurrent && shown != matchPrevious {
			return ErrGone
		}
		s.mint(d, base.ID, now)
		r.Prev, r.PrevKey, r.PrevUntil = nil, "", 0
	case s.rotationDue(base, shown, now):
		before, key := base.Value.Hash, base.Value.HashKey
		if shown == matchPrevious {
			// The secret in force never reached the client.
			before, key = base.Value.Prev, base.Value.PrevKey
		}
		s.mint(d, base.ID, now)
		r.Prev, r.PrevKey, r.PrevUntil = before, key, 0
	case s.presented && shown == matchCurrent && len(r.Prev) > 0 && r.PrevUntil == 0:
		r.PrevUntil = instantOf(now.Add(p.Overlap))
		d.write = true
	}
	return nil
}

func (s *Session) mint(d *draft, handle string, now time.Time) {
	t := newToken(handle)
	d.token, d.write = &t, true
	d.row.Hash, d.row.HashKey = s.svc.newHash(&t)
	d.row.RotatedAt = instantOf(now)
}

// match says how the session's token matches a row. A detached unit of work
// has none; it counts as one that is never given another.
func (s *Session) match(r *row, now time.Time) match {
	if s.trusted {
		return matchPrevious
	}
	return s.svc.match(r, s.token, now)
}

// rotationDue: never for a secret that is only valid because requests may still
// be under way. Of parallel requests one rotates: to the others the fresh row
// says that it was just done.
func (s *Session) rotationDue(base *expiry.Item[row], shown match, now time.Time) bool {
	every := s.svc.policy.RotateEvery
	if every == 0 || !s.presented {
		return false
	}
	if shown != matchCurrent && (shown != matchPrevious || base.Value.PrevUntil != 0) {
		return false
	}
	return now.Sub(base.Value.RotatedAt.time()) >= every
}

// saved takes over what was written. The client is told what is new to it, and
// never given a secret that is only valid for requests under way.
func (s *Session) saved(it expiry.Item[row], d draft) {
	via, presented := d.shown, s.presented
	if d.token != nil {
		s.token, via, presented = d.token, matchCurrent, false
	}
	s.adopt(it, via, presented)
	if d.token != nil || (d.moved && via == matchCurrent) {
		s.give()
	}
}

// touch moves the idle deadline of an unchanged row, where that is due.
func (s *Session) touch(ctx context.Context, base expiry.Item[row], shown match) error {
	s.mark(func() { s.adopt(base, shown, s.presented) })
	at, due := base.Value.due(s.svc.now(), base.ExpiresAt, touchEvery(&base.Value, s.svc.policy))
	if !due {
		return nil
	}
	it, err := s.svc.store.Touch(ctx, base.ID, expiry.At(at), &expiry.TouchOptions{Extend: true, Known: base.Known()})
	switch {
	case errors.Is(err, model.ErrNotFound):
		return ErrGone
	case err != nil:
		s.svc.log.LogAttrs(ctx, slog.LevelWarn, "session not touched", slog.String("handle", base.ID), slog.String("error", err.Error()))
		return err
	}
	s.mark(func() {
		s.item.ExpiresAt = it.ExpiresAt
		// Another revision may have another secret: then this answer, should
		// it be the last to arrive, must not put the old one into the browser.
		if s.via == matchCurrent && it.Revision == base.Revision {
			s.give()
		}
	})
	s.svc.emit(ctx, eventOf(Renewed, base.ID, &base.Value))
	return nil
}
