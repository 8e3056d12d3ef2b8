package session

import (
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// Policy says how long sessions live and when their secret changes. The zero
// value of every field is its default. A negative value turns the rule off. A
// session keeps the lifetimes with which it was created: a changed Policy
// applies to new sessions.
type Policy struct {
	// Idle ends a session that was not used for this time. The deadline slides:
	// see TouchEvery. Zero means 30 minutes. Negative means no idle limit.
	Idle time.Duration
	// Absolute ends a session this long after its sign-in or reauthentication,
	// used or not. An anonymous session ends this long after its creation. Zero
	// means 24 hours. Negative means no absolute limit. At least one of Idle
	// and Absolute must be in force.
	Absolute time.Duration
	// TouchEvery bounds how often the idle deadline moves. A request moves it
	// if this time has passed since it last moved. Until then nothing is
	// written and no cookie is sent. So an unused session lives at least
	// Idle - TouchEvery. Zero means a tenth of Idle. Negative means that every
	// request moves it.
	TouchEvery time.Duration
	// RotateEvery gives a session in use a new secret this long after the last
	// one. Zero means one hour. Negative means never.
	RotateEvery time.Duration
	// Overlap is how long the old secret is still accepted after the client has
	// presented the new one, for requests that were under way. It applies to
	// the periodic rotation. Zero means 30 seconds. Negative means not at all.
	// It is also how long a secret or a session is remembered that a sign-in, a
	// sign-out, Rotate or the like has replaced, so that late requests are not
	// taken for new visitors. That time is 30 seconds if Overlap is under one.
	Overlap time.Duration
	// Impersonation ends an impersonation this long after it began, used or
	// not. Zero means one hour. It cannot be turned off. The deadlines of the
	// actor's own session apply too.
	Impersonation time.Duration

	// AnonymousIdle and AnonymousAbsolute replace Idle and Absolute for
	// sessions to which nobody has signed in, so that those of bots end early.
	// Zero means as Idle and as Absolute. Negative means no such limit. At
	// least one of the two must be in force. A sign-in makes a new session with
	// the other lifetimes.
	AnonymousIdle, AnonymousAbsolute time.Duration
	// AnonymousData bounds the data of a session to which nobody has signed in:
	// the bytes of its keys' names and of their JSON. Set and Update of a key
	// return model.ErrTooLarge if they would exceed it. Requests at the same
	// time can exceed it together. Zero means 128 KiB. Negative means no bound.
	// The number of anonymous sessions has no bound, since no store can count
	// them cheaply: bound the requests that create them.
	AnonymousData int
	// SeenEvery is how often a request writes Info.LastSeen if no idle deadline
	// moves it: without an idle limit, and when the idle deadline has reached
	// the absolute one. Each time it costs a write of the row. Zero means five
	// minutes with OnLimitEvictIdlest, which needs LastSeen, else never.
	// Negative means never.
	SeenEvery time.Duration
}

const (
	defaultIdle     = 30 * time.Minute
	defaultAbsolute = 24 * time.Hour
	defaultRotate   = time.Hour
	defaultOverlap  = 30 * time.Second
	defaultActing   = time.Hour
	defaultSeen     = 5 * time.Minute
	defaultData     = 128 << 10
)

// AAL1 returns a policy for assurance level 1 of NIST SP 800-63B-4. It has the
// longest recommended lifetime, 30 days, and no idle limit.
func AAL1() Policy { return Policy{Idle: -1, Absolute: 30 * 24 * time.Hour} }

// AAL2 returns a policy for assurance level 2 of NIST SP 800-63B-4. It has the
// longest recommended lifetimes: 1 hour idle, 24 hours in all.
func AAL2() Policy { return Policy{Idle: time.Hour, Absolute: 24 * time.Hour} }

// AAL3 returns a policy for assurance level 3 of NIST SP 800-63B-4. It has the
// required lifetimes: 15 minutes idle, 12 hours in all.
func AAL3() Policy { return Policy{Idle: 15 * time.Minute, Absolute: 12 * time.Hour} }

// resolve fills in the defaults. In the result zero means off.
func (p Policy) resolve() Policy {
	p.Idle = orDefault(p.Idle, defaultIdle)
	p.Absolute = orDefault(p.Absolute, defaultAbsolute)
	p.TouchEvery = orDefault(p.TouchEvery, p.Idle/10)
	p.RotateEvery = orDefault(p.RotateEvery, defaultRotate)
	p.Overlap = orDefault(p.Overlap, defaultOverlap)
	if p.Impersonation == 0 {
		p.Impersonation = defaultActing
	}
	p.AnonymousIdle = orDefault(p.AnonymousIdle, p.Idle)
	p.AnonymousAbsolute = orDefault(p.AnonymousAbsolute, p.Absolute)
	p.AnonymousData = int(orDefault(time.Duration(p.AnonymousData), defaultData))
	p.SeenEvery = max(p.SeenEvery, 0)
	return p
}

// under returns the policy with the defaults that depend on the limit.
func (p Policy) under(l Limit) Policy {
	if p.SeenEvery == 0 && l.Max > 0 && l.On == OnLimitEvictIdlest {
		p.SeenEvery = defaultSeen
	}
	return p
}

func orDefault(d, def time.Duration) time.Duration {
	switch {
	case d < 0:
		return 0
	case d == 0:
		return def
	}
	return d
}

func tooShort(d time.Duration) bool { return d > 0 && d < time.Millisecond }

// straggling is how long a replaced secret or session is known for what it is.
// Policy.Overlap bounds it, unless that is off.
func (p Policy) straggling() time.Duration {
	if p.Overlap < time.Second {
		return defaultOverlap
	}
	return p.Overlap
}

// check returns model.ErrInvalid if the resolved policy contradicts itself.
func (p Policy) check() error {
	switch {
	case p.Idle == 0 && p.Absolute == 0:
		return model.NewError(model.ErrInvalid, "Policy: both Idle and Absolute are off, sessions would never end", nil)
	case p.AnonymousIdle == 0 && p.AnonymousAbsolute == 0:
		return model.NewError(model.ErrInvalid, "Policy: both AnonymousIdle and AnonymousAbsolute are off, anonymous sessions would never end", nil)
	case tooShort(p.Idle), tooShort(p.Absolute), tooShort(p.AnonymousIdle), tooShort(p.AnonymousAbsolute), tooShort(p.RotateEvery), tooShort(p.SeenEvery), p.Impersonation < time.Millisecond:
		return model.NewError(model.ErrInvalid, "Policy: a lifetime is shorter than a millisecond", nil)
	case p.Idle > 0 && p.TouchEvery >= p.Idle:
		return model.NewError(model.ErrInvalid, "Policy: TouchEvery must be shorter than Idle, or sessions in use would end", nil)
	case p.RotateEvery > 0 && p.Overlap >= p.RotateEvery:
		return model.NewError(model.ErrInvalid, "Policy: Overlap must be shorter than RotateEvery", nil)
	}
	return nil
}

// String lists the lifetimes in force, with the defaults filled in, for a
// security review.
func (p Policy) String() string {
	p = p.resolve()
	var b strings.Builder
	add := func(name string, d time.Duration, off string) {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + " ")
		if d == 0 {
			b.WriteString(off)
			return
		}
		b.WriteString(d.String())
	}
	add("idle", p.Idle, "off")
	add("absolute", p.Absolute, "off")
	if p.Idle > 0 {
		add("touch every", p.TouchEvery, "request")
	}
	add("rotate every", p.RotateEvery, "off")
	if p.RotateEvery > 0 {
		add("overlap", p.Overlap, "off")
	}
	if p.AnonymousIdle != p.Idle {
		add("anonymous idle", p.AnonymousIdle, "off")
	}
	if p.AnonymousAbsolute != p.Absolute {
		add("anonymous absolute", p.AnonymousAbsolute, "off")
	}
	return b.String()
}

// touchEvery returns how often the idle deadline of the row moves. A row with a
// shorter idle limit than the policy's moves more often: else it would end
// while it is in use.
func (p Policy) touchEvery(r *row.Row) time.Duration {
	d := r.IdleLimit()
	switch {
	case d < p.Idle:
		return min(p.TouchEvery, d/10)
	case p.Idle == 0 && (p.TouchEvery == 0 || p.TouchEvery >= d):
		return d / 10 // the policy has no idle limit
	}
	return p.TouchEvery
}

// seenDue reports whether a use at now has to write the row, so that LastSeen
// moves.
func (p Policy) seenDue(it *item, now time.Time) bool {
	r := &it.Value
	if p.SeenEvery == 0 || r.Idle > 0 && (r.Absolute == 0 || it.ExpiresAt.Before(r.Absolute.Time())) {
		return false // a touch moves it
	}
	return now.Sub(infoOf(it, now).LastSeen) >= p.SeenEvery
}
