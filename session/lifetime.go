package session

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// SetIdle gives this session an idle limit of its own from its next Persist on,
// at least a millisecond, else model.ErrInvalid. Where it is shorter than the
// policy's, a use moves the deadline once in a tenth of it. It never moves the
// absolute deadline.
func (s *Session) SetIdle(ctx context.Context, d time.Duration) error {
	return s.edit(ctx, "session.SetIdle", d, func(r *row, _ time.Time) { r.Idle = d.Milliseconds() })
}

// SetLifetime gives this session an absolute limit of its own from its next
// Persist on, in place of the policy's, counted from the sign-in or, for an
// anonymous session, from the creation: at least a millisecond, else
// model.ErrInvalid. One that is over already ends the session. It never goes
// beyond SignInOptions.NotAfter.
func (s *Session) SetLifetime(ctx context.Context, d time.Duration) error {
	return s.edit(ctx, "session.SetLifetime", d, func(r *row, _ time.Time) {
		r.Life = d.Milliseconds()
		r.setAbsolute(0)
	})
}

func (s *Session) edit(ctx context.Context, op string, d time.Duration, edit func(*row, time.Time)) error {
	if d < time.Millisecond {
		return &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, "a lifetime under a millisecond", nil)}
	}
	_, done, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	s.mark(func() { s.edits = append(s.edits, edit) })
	return nil
}

// touchEvery is the policy's, or shorter for a session with a shorter idle
// limit than the policy's, which would end while it is in use.
func touchEvery(r *row, p Policy) time.Duration {
	d := r.idle()
	switch {
	case d < p.Idle:
		return min(p.TouchEvery, d/10)
	case p.Idle == 0 && (p.TouchEvery == 0 || p.TouchEvery >= d):
		return d / 10 // the policy knows no idle limit
	}
	return p.TouchEvery
}
