package sessions

import (
	"net/http"
	"slices"
	"time"
)

// served applies the effect of a request to the model.
func (w *world) served(x *request1) {
	now := w.clock.Now()
	x.seq = w.next()
	x.ok = x.err == nil && x.status == http.StatusOK
	w.note("  node %d: %d as %s%s", x.call.node, x.status, x.life.describe(), errText(x.err))
	if !x.ok {
		w.refused(x, now)
	} else {
		w.effect(x, now)
	}
	for _, text := range x.brought {
		if k := w.tokens[text]; k != nil && k.gen == k.of.gen && k.shown.IsZero() {
			k.shown = now
		}
	}
	w.credentials(x)
	if x.ok && x.call.op.verb() && x.becomes.life != nil {
		x.becomes.gen = x.becomes.life.gen
	}
	x.becomes.seq = x.seq
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// refused checks that a request was refused for a reason. Without a change since
// it was loaded there is none but the program's own.
func (w *world) refused(x *request1, now time.Time) {
	l := x.life
	blind := slices.ContainsFunc(x.brought, func(text string) bool {
		k := w.tokens[text]
		return k != nil && (x.blind(k.of) || x.blind(k.of.actor))
	})
	switch {
	case blind:
	case l == nil && len(x.brought) > 0:
	case l == nil:
		if x.call.op < rotateNow {
			w.fail(ruleRefused, "%s refused to %s a visitor without a cookie: %d%s", x.d.name, opNames[x.call.op], x.status, errText(x.err))
		}
	case l.alive(now) != yes, l.gen != x.gen:
	case mayRefuse(l, x.call, w):
	default:
		w.fail(ruleRefused, "%s: %s of %s was refused: %d%s", x.d.name, opNames[x.call.op], l.describe(), x.status, errText(x.err))
	}
}

// mayRefuse reports whether the program may not do this at all.
func mayRefuse(l *life, c call, w *world) bool {
	switch c.op {
	case reauth, elevate, destroyOthers:
		return l.principal == "" || l.actor != nil
	case login:
		return l.actor != nil
	case impersonate:
		return l.principal == "" || l.actor != nil || l.principal == w.person(c.user)
	case endImpersonation:
		return l.actor == nil
	}
	return false
}

// effect applies what a request that succeeded has done.
func (w *world) effect(x *request1, now time.Time) {
	l := x.life
	if l != nil {
		if l.over(now) && x.call.op != view && x.call.op != logout {
			w.fail(ruleEnded, "%s of %s succeeded, though it ended: %s", opNames[x.call.op], l.describe(), l.ended)
			return
		}
		l.use(now, true)
	}
	switch x.call.op {
	case write, count1:
		if l == nil {
			if l = w.newVisitor(x); l == nil {
				return
			}
		}
		if x.call.op == write {
			l.data[keys[x.call.key]] = x.value
		} else {
			l.count++
		}
	case login:
		to := w.born(x.after, w.person(x.call.user))
		to.inherit(l)
		w.endBrought(x, l, "replaced by a sign-in")
		x.becomes.life = to
	case logout:
		w.endBrought(x, l, "sign-out")
	case rotateNow, reauth, elevate:
		if l == nil {
			return
		}
		l.replaceSecret(now)
		if x.call.op == reauth {
			l.absolute = now.Add(absolute)
		}
		x.becomes.life = l
	case impersonate:
		to := w.born(x.after, w.person(x.call.user))
		to.actor, to.absolute = l, now.Add(time.Hour)
		if l.absolute.Before(to.absolute) {
			to.absolute = l.absolute
		}
		l.replaceSecret(now)
		l.until = to.absolute
		x.becomes.life = to
	case endImpersonation:
		own := l.actor
		w.end(l, "end of the impersonation")
		own.replaceSecret(now)
		own.until = time.Time{}
		own.use(now, true)
		x.becomes.life = own
	case destroyOthers:
		for _, other := range w.lives {
			if other != l && other.principal == l.principal {
				w.end(other, "destroyed by another device")
			}
		}
	}
}

// newVisitor records the anonymous session of a first value. Its cookie has to
// be in the answer, or the value would be lost.
func (w *world) newVisitor(x *request1) *life {
	for _, text := range x.given() {
		if h := handleOf(text); w.lives[h] == nil {
			return w.born(h, "")
		}
	}
	w.fail(ruleData, "%s: a value was acknowledged, and the answer has no cookie of a new session", x.d.name)
	return nil
}

// endBrought ends what a sign-in or a sign-out ends: the session, its actor's,
// and every session that the request's cookies open.
func (w *world) endBrought(x *request1, l *life, why string) {
	for _, opened := range x.opened {
		if x.blind(opened) {
			// This node cannot read it. It ends the row at any revision, and
			// cannot know who acts.
			w.end(opened, why)
		}
	}
	for _, text := range x.brought {
		if k := w.tokens[text]; k != nil && !x.blind(k.of) && k.opens(w.clock.Now()) != no {
			w.endAll(k.of, why)
		}
	}
	w.endAll(l, why)
}

func (w *world) endAll(l *life, why string) {
	for ; l != nil; l = l.actor {
		w.end(l, why)
	}
}

// blind reports whether the node cannot read the session's row.
func (x *request1) blind(l *life) bool { return x.call.node == 0 && x.w.newer.wrote(l) }
