package session

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

const (
	// destroyRounds bounds how often a listing is repeated while the same
	// principal keeps signing in.
	destroyRounds = 100
	destroyPage   = 500 // rows, which end in one batch
	maxListing    = 1000
	maxName       = 64 // characters
)

// Sessions yields the live sessions of a principal, with those in which an actor
// impersonates them: see Info.Actor. Its cost depends on the principal's own
// sessions only. It leaves out those that nobody can open since Options.NotBefore
// or NotBeforeSID: the first is asked once, the second for each SID. An error of
// theirs ends the listing.
//
// A row that cannot be read is yielded as an Info with only the handle, with an
// error that matches model.ErrCorrupt. The listing goes on after that. Any other
// error ends it.
func (s *Service) Sessions(ctx context.Context, principal string) iter.Seq2[Info, error] {
	return s.list(ctx, &expiry.ListOptions{Label: labelPrincipal, Value: principal})
}

// All yields every live session, also anonymous ones, and those that
// Options.NotBefore refuses. Its errors are those of Sessions.
func (s *Service) All(ctx context.Context) iter.Seq2[Info, error] { return s.list(ctx, nil) }

// SessionsByLabel yields the live sessions that have the value under the label:
// "principal", "sid", or one of SignInOptions.Labels. Its cost depends on these
// sessions only. It yields model.ErrInvalid for a label that the backend does not
// declare. Its other errors are those of Sessions.
func (s *Service) SessionsByLabel(ctx context.Context, label, value string) iter.Seq2[Info, error] {
	if label == "" {
		return func(yield func(Info, error) bool) { yield(Info{}, noLabel("session.SessionsByLabel")) }
	}
	return s.list(ctx, &expiry.ListOptions{Label: label, Value: value})
}

func noLabel(op string) error {
	return &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, "the label is empty", nil)}
}

func (s *Service) list(ctx context.Context, opts *expiry.ListOptions) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		refused := s.refuser(ctx, opts)
		for it, err := range s.store.All(ctx, opts) {
			info, shown := Info{Handle: it.ID}, true
			if err == nil {
				info, shown, err = s.listed(&it)
			}
			if shown && err == nil {
				old, failed := refused(&it.Value)
				if failed != nil {
					yield(Info{}, failed)
					return
				}
				shown = !old
			}
			if shown && !yield(info, err) {
				return
			}
		}
	}
}

// refuser returns whether Options.NotBefore or NotBeforeSID refuses a row, for the
// listing of one principal. Other listings show all rows: they would ask for each
// principal. The row of an identity stays: a later authentication opens it.
func (s *Service) refuser(ctx context.Context, opts *expiry.ListOptions) func(*row.Row) (bool, error) {
	if opts == nil || opts.Label != labelPrincipal {
		return func(*row.Row) (bool, error) { return false, nil }
	}
	var since time.Time
	asked := s.notBefore == nil
	return func(r *row.Row) (old bool, err error) {
		if len(r.Hash) == 0 {
			return false, nil
		}
		if !asked {
			if since, err = s.notBefore(ctx, opts.Value); err != nil {
				return false, err
			}
			asked = true
		}
		if olderThan(r, since) {
			return true, nil
		}
		return s.tooOldSID(ctx, r)
	}
}

// listed returns what a listing says of a row, and false for the row of a
// session that has ended. With an error the row cannot be read.
func (s *Service) listed(it *item) (Info, bool, error) {
	err := s.check(it)
	switch now := s.now(); {
	case errors.Is(err, model.ErrNotFound), err == nil && it.Value.Expired(now):
		return Info{}, false, nil
	case err != nil:
		return Info{Handle: it.ID}, true, &model.Error{Op: "session.All", ID: it.ID, Err: err}
	default:
		return infoOf(it, now), true, nil
	}
}

// Count returns the number of live sessions, with anonymous ones. It makes 17
// calls of the store at once: one for all rows, and 16 for the markers of
// sessions that have ended.
func (s *Service) Count(ctx context.Context) (int, error) {
	var counts [row.Markers + 1]int
	var errs [row.Markers + 1]error
	var wg sync.WaitGroup
	for i := range counts {
		wg.Go(func() {
			var of *expiry.ListOptions // the last one counts all rows
			if i < row.Markers {
				of = &expiry.ListOptions{Label: labelPrincipal, Value: row.MarkerLabel(i)}
			}
			counts[i], errs[i] = s.store.Count(ctx, of)
		})
	}
	wg.Wait()
	all := counts[row.Markers]
	for _, n := range counts[:row.Markers] {
		all -= n
	}
	return max(all, 0), cmp.Or(errs[:]...)
}

// CountPrincipal returns the number of a principal's live sessions, with those that
// Options.NotBefore refuses.
func (s *Service) CountPrincipal(ctx context.Context, principal string) (int, error) {
	return s.store.Count(ctx, &expiry.ListOptions{Label: labelPrincipal, Value: principal})
}

// Rename gives a session of the principal a name for lists of devices. An empty
// name removes it. It returns model.ErrNotFound if the session is absent or
// belongs to another principal. It returns model.ErrInvalid for a name with more
// than 64 characters or with control characters.
func (s *Service) Rename(ctx context.Context, principal, handle, name string) error {
	const op = "session.Rename"
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
		return &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, "the name must have at most 64 characters and no control characters", nil)}
	}
	for attempt := range persistAttempts {
		it, err := s.own(ctx, op, principal, handle)
		if err != nil {
			return err
		}
		if err := s.unseal(&it); err != nil {
			return err
		}
		if it.Value.Name == name {
			return nil
		}
		r := it.Value
		r.Name = name
		_, err = s.updateRow(ctx, &it, r, expiry.Keep())
		if !errors.Is(err, model.ErrConflict) {
			return err
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
	return &model.Error{Op: op, ID: handle, Err: model.ErrConflict}
}

// Destroy ends the session with the handle. It returns model.ErrNotFound if the
// session is absent or belongs to another principal.
func (s *Service) Destroy(ctx context.Context, principal, handle string) error {
	const op = "session.Destroy"
	it, err := s.own(ctx, op, principal, handle)
	if err != nil {
		return err
	}
	// The owner of a row never changes, so the delete needs no revision.
	e := endedOf(&it, ReasonDestroyed)
	did, err := s.remove(ctx, &e)
	if err == nil && !did {
		return &model.Error{Op: op, ID: handle, Err: model.ErrNotFound}
	}
	return err
}

// own reads a row of the principal. It returns model.ErrNotFound for a row of
// another one.
func (s *Service) own(ctx context.Context, op, principal, handle string) (item, error) {
	if err := model.CheckLabelValue(principal); err != nil {
		return item{}, &model.Error{Op: op, Err: err}
	}
	it, err := s.find(ctx, op, handle)
	if err == nil && it.Value.Principal != principal {
		err = &model.Error{Op: op, ID: handle, Err: model.ErrNotFound}
	}
	return it, err
}

// find reads the row with the handle, which the caller of a method has given. It
// neither checks nor decrypts it. It returns model.ErrNotFound for what is not a
// handle, and for a session that has ended.
func (s *Service) find(ctx context.Context, op, handle string) (item, error) {
	if !row.IsHandle(handle) {
		return item{}, &model.Error{Op: op, Err: model.ErrNotFound}
	}
	it, err := s.store.Get(ctx, handle)
	if err == nil && (it.Value.Gone != "" || it.Value.Expired(s.now())) {
		err = &model.Error{Op: op, ID: handle, Err: model.ErrNotFound}
	}
	return it, err
}

// DestroyOthers ends all other sessions of this session's principal. Offer it
// after a password change, together with Rotate. It returns how many it ended,
// also with an error. It returns ErrUnauthenticated for an anonymous session,
// ErrImpersonating during an impersonation, and ErrGone if this session has
// ended or has another secret since it was loaded: then it ends nothing.
func (s *Session) DestroyOthers(ctx context.Context) (int, error) {
	p, err := s.Principal(ctx)
	if err == nil && p.Actor != "" {
		err = ErrImpersonating
	}
	if err != nil {
		return 0, err
	}
	it, err := s.svc.get(ctx, p.SessionID)
	opens := s.identity != nil && errors.Is(err, model.ErrNotFound) && !errors.As(err, new(*endedError)) // it has no row yet
	switch {
	case opens:
	case errors.Is(err, model.ErrNotFound):
		return 0, gone(err)
	case err != nil:
		return 0, err
	default:
		s.locked(func() { opens = s.match(&it.Value, s.svc.now()).Opens() })
	}
	if !opens {
		return 0, &goneError{WhyReplaced}
	}
	return s.svc.DestroyOthers(ctx, p.ID, p.SessionID)
}

// DestroyOthers ends all sessions of a principal but the one with the handle
// keep. It returns how many it ended, also with an error.
func (s *Service) DestroyOthers(ctx context.Context, principal, keep string) (int, error) {
	return s.destroyLabelled(ctx, "session.DestroyOthers", labelPrincipal, principal, keep)
}

// DestroyPrincipal ends all sessions of a principal. It returns how many it
// ended, also with an error. It ends every session whose sign-in returned before
// the call. A session that is signed in during the call can survive, unless
// Options.NotBefore refuses it.
func (s *Service) DestroyPrincipal(ctx context.Context, principal string) (int, error) {
	return s.destroyLabelled(ctx, "session.DestroyPrincipal", labelPrincipal, principal, "")
}

// DestroyByLabel ends all sessions with the value under the label: "principal",
// "sid", or one of SignInOptions.Labels. It returns how many it ended, also with
// an error. With "sid" it answers the back-channel logout of an identity
// provider. It returns model.ErrInvalid for a label that the backend does not
// declare.
func (s *Service) DestroyByLabel(ctx context.Context, label, value string) (int, error) {
	return s.destroyLabelled(ctx, "session.DestroyByLabel", label, value, "")
}

// DestroyAll ends every session that existed when the call began, also anonymous
// ones. It returns how many it ended, also with an error. It works page by page.
// If its context ends it, another call ends the rest.
func (s *Service) DestroyAll(ctx context.Context) (int, error) {
	n, _, err := s.destroyRound(ctx, &expiry.ListOptions{KeysOnly: true}, "")
	return n, err
}

// destroyLabelled lists and deletes until a listing has nothing left to delete.
func (s *Service) destroyLabelled(ctx context.Context, op, label, value, keep string) (int, error) {
	if label == "" {
		return 0, noLabel(op)
	}
	total := 0
	opts := &expiry.ListOptions{Label: label, Value: value} // with values: an impersonation names its actor
	for range destroyRounds {
		n, seen, err := s.destroyRound(ctx, opts, keep)
		if total += n; err != nil || seen == 0 {
			return total, err
		}
	}
	return total, &model.Error{Op: op, Err: model.NewError(model.ErrConflict, "new sign-ins never end; set Options.NotBefore first", nil)}
}

// destroyRound is one listing, with the sessions of each page ended in one batch.
func (s *Service) destroyRound(ctx context.Context, opts *expiry.ListOptions, keep string) (destroyed, seen int, err error) {
	o := *opts
	o.PageSize = destroyPage
	for {
		l, err := s.store.Page(ctx, &o)
		if err != nil {
			return destroyed, seen, err
		}
		part := make([]ended, 0, len(l.Items)+len(l.Failed))
		for _, err := range l.Failed { // a row that cannot be read ends too
			if idOf(err) == keep {
				continue
			}
			e := ended{handle: idOf(err), reason: ReasonDestroyed}
			if o.Label == labelPrincipal {
				e.principal = o.Value
			}
			part = append(part, e)
		}
		for i := range l.Items {
			if it := &l.Items[i]; it.ID != keep && !row.IsMarkerLabel(it.Labels[labelPrincipal]) {
				e := endedOf(it, ReasonDestroyed)
				e.principal = it.Labels[labelPrincipal]
				part = append(part, e)
			}
		}
		n, err := s.removeMany(ctx, part)
		destroyed, seen = destroyed+n, seen+len(part)
		if err != nil || l.Next == "" {
			return destroyed, seen, err
		}
		o.After = l.Next
	}
}

// idOf returns the id of the record that an error of a listing is about.
func idOf(err error) string {
	if e := (*model.Error)(nil); errors.As(err, &e) {
		return e.ID
	}
	return ""
}
