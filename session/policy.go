package session

import (
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Policy says how long sessions live and when their secret changes. The zero
// value of every field is its default; a negative one turns the rule off. A
// session keeps the lifetimes that it was created with: a changed Policy holds
// for those that begin afterwards.
type Policy struct {
	// Idle ends a session that was not used for so long. It slides: see
	// TouchEvery. Zero: 30 minutes. Negative: no such limit.
	Idle time.Duration
	// Absolute ends a session so long after its sign-in or reauthentication,
	// whatever happens meanwhile; an anonymous one so long after its creation.
	// Zero: 24 hours. Negative: no such limit. At least one of Idle and
	// Absolute is in force.
	Absolute time.Duration
	// TouchEvery is how long after the idle deadline last moved a request
	// moves it again; before that nothing is written and no cookie sent. A
	// session is therefore never ended before Idle - TouchEvery without use.
	// Zero: a tenth of Idle. Negative: every request moves it.
	TouchEvery time.Duration
	// RotateEvery gives a session in use a new secret so long after the last.
	// Zero: one hour. Negative: never.
	RotateEvery time.Duration
	// Overlap is how long the secret before a periodic rotation is still
	// accepted once the new one has been presented, for requests that were
	// under way. Zero: 30 seconds. Negative: not at all.
	Overlap time.Duration
	// Impersonation ends a session under which somebody acts as another, so
	// long after it began, whatever happens meanwhile. Zero: one hour. There
	// is no way to turn it off; the actor's own deadlines hold too.
	Impersonation time.Duration
}

const (
	defaultIdle     = 30 * time.Minute
	defaultAbsolute = 24 * time.Hour
	defaultRotate   = time.Hour
	defaultOverlap  = 30 * time.Second
	defaultActing   = time.Hour
)

// AAL1 is a policy with the lifetime that NIST SP 800-63B-4 recommends at most
// for assurance level 1: 30 days, without an idle limit.
func AAL1() Policy { return Policy{Idle: -1, Absolute: 30 * 24 * time.Hour} }

// AAL2 is a policy with the lifetimes that NIST SP 800-63B-4 recommends at
// most for assurance level 2: 1 hour idle, 24 hours in all.
func AAL2() Policy { return Policy{Idle: time.Hour, Absolute: 24 * time.Hour} }

// AAL3 is a policy with the lifetimes that NIST SP 800-63B-4 sets for
// assurance level 3: 15 minutes idle, 12 hours in all.
func AAL3() Policy { return Policy{Idle: 15 * time.Minute, Absolute: 12 * time.Hour} }

// resolve fills in the defaults; a rule that is off is zero from here on.
func (p Policy) resolve() Policy {
	p.Idle = orDefault(p.Idle, defaultIdle)
	p.Absolute = orDefault(p.Absolute, defaultAbsolute)
	p.TouchEvery = orDefault(p.TouchEvery, p.Idle/10)
	p.RotateEvery = orDefault(p.RotateEvery, defaultRotate)
	p.Overlap = orDefault(p.Overlap, defaultOverlap)
	if p.Impersonation == 0 {
		p.Impersonation = defaultActing
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

// check is of a resolved policy.
func (p Policy) check() error {
	switch {
	case p.Idle == 0 && p.Absolute == 0:
		return model.NewError(model.ErrInvalid, "Policy: both Idle and Absolute are off, sessions would never end", nil)
	case tooShort(p.Idle), tooShort(p.Absolute), tooShort(p.RotateEvery), p.Impersonation < time.Millisecond:
		return model.NewError(model.ErrInvalid, "Policy: a lifetime under a millisecond", nil)
	case p.Idle > 0 && p.TouchEvery >= p.Idle:
		return model.NewError(model.ErrInvalid, "Policy: TouchEvery is not shorter than Idle, sessions in use would end", nil)
	case p.RotateEvery > 0 && p.Overlap >= p.RotateEvery:
		return model.NewError(model.ErrInvalid, "Policy: Overlap is not shorter than RotateEvery", nil)
	}
	return nil
}

// String lists what is in force, defaults filled in: what a security review
// asks for.
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
	return b.String()
}
