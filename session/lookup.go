package session

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// Lookup returns the session with the handle, whoever owns it, for a page of
// administrators. It is no use of the session. It returns model.ErrNotFound if
// the session is absent or has expired, and for a text that is not a handle. For
// a row that cannot be read it returns model.ErrCorrupt, with an Info that has
// only the handle. It makes one call of the store.
func (s *Service) Lookup(ctx context.Context, handle string) (Info, error) {
	const op = "session.Lookup"
	it, err := s.find(ctx, op, handle)
	if err == nil {
		err = s.unseal(&it)
	}
	switch {
	case errors.Is(err, model.ErrCorrupt):
		return Info{Handle: handle}, &model.Error{Op: op, ID: handle, Err: err}
	case err != nil:
		return Info{}, err
	}
	return infoOf(&it, s.now()), nil
}

// DestroyHandle ends the session with the handle, whoever owns it, also one that
// cannot be read. Destroy checks the owner. It returns model.ErrNotFound if the
// session is absent. It makes two calls of the store.
func (s *Service) DestroyHandle(ctx context.Context, handle string) error {
	const op = "session.DestroyHandle"
	it, err := s.find(ctx, op, handle)
	e := ended{handle: handle, reason: ReasonDestroyed}
	switch {
	case err == nil:
		e = endedOf(&it, ReasonDestroyed)
	case !errors.Is(err, model.ErrCorrupt):
		return err
	}
	did, err := s.remove(ctx, &e)
	if err == nil && !did {
		err = &model.Error{Op: op, ID: handle, Err: model.ErrNotFound}
	}
	return err
}

// Listing is one page of a list of sessions.
type Listing struct {
	Sessions []Info
	// Failed has an error for each row that could not be read: a *model.Error
	// with the handle as its ID that matches model.ErrCorrupt.
	Failed []error
	// Next is the argument after of the next page. It is empty at the end.
	Next string
}

// SessionsPage returns one page of what Sessions yields, for a list with a
// cursor. After is empty for the first page, and the Next of the page before for
// the others. It stays valid as long as the storage exists. Limit is 1 to 1000,
// and zero means 100. A page can have fewer sessions than that, or none: only an
// empty Next is the end. A session that is live throughout the listing appears
// in exactly one page.
func (s *Service) SessionsPage(ctx context.Context, principal, after string, limit int) (Listing, error) {
	return s.page(ctx, &expiry.ListOptions{Label: labelPrincipal, Value: principal, After: after, PageSize: limit})
}

// Page returns one page of what All yields, as SessionsPage does.
func (s *Service) Page(ctx context.Context, after string, limit int) (Listing, error) {
	return s.page(ctx, &expiry.ListOptions{After: after, PageSize: limit})
}

func (s *Service) page(ctx context.Context, opts *expiry.ListOptions) (Listing, error) {
	l, err := s.store.Page(ctx, opts)
	if err != nil {
		return Listing{}, err
	}
	out := Listing{Sessions: make([]Info, 0, len(l.Items)), Failed: l.Failed, Next: l.Next}
	refused := s.refuser(ctx, opts)
	for i := range l.Items {
		info, shown, err := s.listed(&l.Items[i])
		if err != nil {
			out.Failed = append(out.Failed, err)
			continue
		}
		if shown {
			old, err := refused(&l.Items[i].Value)
			if err != nil {
				return Listing{}, err
			}
			shown = !old
		}
		if shown {
			out.Sessions = append(out.Sessions, info)
		}
	}
	return out, nil
}
