package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/sojourn-go/sojourn/model"
)

// maxDoubts bounds how many writes of one row are remembered whose answers were
// lost. With as many a session changes its row no more, since it could not
// recognise another one. Markers go on.
const maxDoubts = 8

// doubt is a write whose answer was lost. It is stored, or never will be, or
// arrives late: a read that does not find it proves nothing.
type doubt struct {
	revision model.Revision // that it stores
	draft    *draft         // of Persist and of the verbs that keep the row
	seq      int            // of the last change of the data that it has
	edits    int            // how many of the session's edits it has
}

// doubts are writes of one row under one condition, so at most one of them takes
// effect. They are kept until a write of the row is acknowledged: after that one
// none of them can arrive.
type doubts []doubt

// of returns the doubt that has stored the revision, or nil.
func (d *doubts) of(stored model.Revision) *doubt {
	for i := range *d {
		if one := &(*d)[i]; one.revision == stored && !stored.IsZero() {
			return one
		}
	}
	return nil
}

// add forgets the oldest one if there are too many.
func (d *doubts) add(one doubt) {
	if len(*d) == maxDoubts {
		*d = (*d)[1:]
	}
	*d = append(*d, one)
}

// errDoubt is about a row that others have written after a write in doubt, or
// perhaps in its place.
func errDoubt() error {
	return fmt.Errorf("session: another request has written since, and it is unknown whether this one has: %w", model.ErrUnknown)
}

// errDoubts is about a session with too many writes in doubt.
func errDoubts() error {
	return fmt.Errorf("session: the store has lost the answers to %d writes of this row, and no more are made: %w", maxDoubts, model.ErrUnknown)
}

// settled makes a conditional write of base. After a lost answer it reads the row
// to learn the outcome, in a time limit of its own, and makes the write once more
// if the row is as before. It returns nil if this write is stored, or one of
// lost, to which it adds those whose answers were lost. With model.ErrConflict it
// returns the row that won, as it is stored, if the store returned it.
func (s *Service) settled(ctx context.Context, base *item, lost *doubts, write func(context.Context) (item, error)) (item, error) {
	it, err := write(ctx)
	if errors.Is(err, model.ErrUnknown) {
		lost.add(doubt{revision: it.Revision})
		look, cancel := s.uncancelled(ctx)
		defer cancel()
		found, lookErr := s.store.Get(look, base.ID)
		switch {
		case errors.Is(lookErr, model.ErrCorrupt): // so none of these is stored
		case errors.Is(lookErr, model.ErrNotFound):
			return found, lookErr
		case lookErr != nil:
			return it, err
		case lost.of(found.Revision) != nil:
			return found, nil
		case found.Revision != base.Revision:
			return found, model.ErrConflict
		}
		ctx = look
		if it, err = write(ctx); errors.Is(err, model.ErrUnknown) {
			lost.add(doubt{revision: it.Revision})
		}
	}
	if !errors.Is(err, model.ErrConflict) || len(*lost) == 0 {
		return it, err
	}
	if it.ID != base.ID {
		won, lookErr := s.store.Get(ctx, base.ID)
		if lookErr != nil {
			return won, lookErr
		}
		it = won
	}
	if lost.of(it.Revision) != nil {
		return it, nil
	}
	return it, err
}

// settleDoubts learns whether one of the writes was stored whose answers were
// lost. It returns the row from which the next write begins. If that is the row
// from before them, they may still arrive.
func (s *Session) settleDoubts(ctx context.Context) (item, error) {
	it, err := s.svc.get(ctx, s.item.ID)
	switch {
	case errors.Is(err, model.ErrNotFound):
		return it, gone(err)
	case err != nil, it.Revision == s.doubted:
		return it, err
	}
	err = s.doubtedBy(ctx, &it)
	return s.item, err
}

// doubtedBy makes a row the session's that was written after the row to which
// the writes in doubt belong: by one of them, or by another request. In the
// second case nobody can tell, and the changes are discarded with
// model.ErrUnknown.
func (s *Session) doubtedBy(ctx context.Context, it *item) error {
	now := s.svc.now()
	own := s.doubts.of(it.Revision)
	for i := range s.doubts {
		// A secret of this session's own says so as well.
		if d := s.doubts[i].draft; own == nil && d != nil && d.token != nil && s.svc.match(&it.Value, d.token, now).Opens() {
			own = &s.doubts[i]
		}
	}
	if own == nil {
		matched := s.match(&it.Value, now)
		if !matched.Opens() {
			return &goneError{WhyReplaced}
		}
		s.locked(func() { s.becomeStored(*it, matched) })
		return errDoubt()
	}
	ops, edits := later(s.ops, own.seq, it), s.edits[own.edits:]
	data, err := replay(it.Value.Data, ops)
	if err != nil {
		return err
	}
	d := own.draft
	s.locked(func() {
		s.saved(*it, *d)
		s.data, s.ops, s.edits = data, ops, edits
	})
	s.emitSaved(ctx, d)
	return nil
}

// later returns the changes that were made after the one with the number seq, as
// changes of the row.
func later(ops []op, seq int, it *item) []op {
	var out []op
	for _, o := range ops {
		if o.seq > seq {
			o.base = it.Value.Data.Get(o.key)
			out = append(out, o)
		}
	}
	return out
}

// inDoubt keeps a write of base whose answer was lost.
func (s *Session) inDoubt(base, written model.Revision, d draft) {
	s.doubted = base
	s.doubts.add(doubt{revision: written, draft: &d, seq: s.seq, edits: len(s.edits)})
}

// undoubted stores the pending changes before a verb that copies them to another
// row, if writes are in doubt. One that arrived late would be copied as well.
func (s *Session) undoubted(ctx context.Context) error {
	if len(s.doubts) == 0 {
		return nil
	}
	return s.flush(ctx, nil)
}
