package sessions

import (
	"fmt"
	"maps"
	"time"
)

// life is a session as the model knows it.
type life struct {
	handle    string
	principal string // empty: anonymous
	actor     *life  // who impersonates the principal
	data      map[string]string
	count     int

	ended    string    // why it has ended
	endedAt  time.Time // when
	gen      int       // how many verbs have replaced the secret
	used     time.Time // the last use that was certain
	usedMax  time.Time // the last use that was possible
	absolute time.Time
	until    time.Time // a parked session lives as long

	tokens []*token // given in the present generation, the oldest first
}

// token is a secret that a node has given.
type token struct {
	text  string
	of    *life
	gen   int
	shown time.Time // when a request first had it; zero: never
	dead  time.Time // when a verb replaced it; zero: not yet
}

// certainty is what the model knows.
type certainty uint8

const (
	unsure certainty = iota
	yes
	no
)

// alive says whether the session lives.
func (l *life) alive(now time.Time) certainty {
	if l.ended != "" || !now.Before(l.absolute) {
		return no
	}
	if l.actor != nil {
		if is := l.actor.alive(now); is != yes {
			return is
		}
	}
	switch {
	case now.Before(l.until), now.Before(l.used.Add(idle - touch)):
		return yes
	case !now.Before(l.usedMax.Add(idle)):
		return no
	}
	return unsure
}

// over reports whether the session itself has ended. The end of an actor's own
// session is seen by the next load only.
func (l *life) over(now time.Time) bool {
	own := *l
	own.actor = nil
	return own.alive(now) == no
}

// opens says whether the token opens its session.
func (k *token) opens(now time.Time) certainty {
	is := k.of.alive(now)
	if is == no || k.gen != k.of.gen {
		return no
	}
	newer := false
	for _, other := range k.of.tokens {
		if newer && !other.shown.IsZero() && !now.Before(other.shown.Add(overlap)) {
			return no
		}
		newer = newer || other == k
	}
	return is
}

// forgotten reports whether no node can know the token from one that never was:
// its session has expired, or the Overlap of its end is over. A request with it
// is a new visitor's.
func (k *token) forgotten(now time.Time) bool {
	switch {
	case k.of.ended != "":
		return !now.Before(k.of.endedAt.Add(overlap))
	case k.of.alive(now) != yes:
		return true
	}
	return !k.dead.IsZero() && !now.Before(k.dead.Add(overlap))
}

// end ends the session and those that live by it.
func (w *world) end(l *life, why string) {
	if l.ended != "" {
		return
	}
	now := w.clock.Now()
	if l.alive(now) == yes { // of one that may have expired, the store knows nothing
		l.endedAt = now
	}
	l.ended = why
}

// use records a use. Certain ones move the idle deadline.
func (l *life) use(now time.Time, certain bool) {
	l.usedMax = now
	if certain {
		l.used = now
	}
}

// replaceSecret begins a new generation: no token before it opens anything.
func (l *life) replaceSecret(now time.Time) {
	for _, k := range l.tokens {
		k.dead = now
	}
	l.gen++
	l.tokens = nil
}

// give records a token that an answer has given.
func (w *world) give(l *life, text string) *token {
	if k := w.tokens[text]; k != nil {
		return k
	}
	k := &token{text: text, of: l, gen: l.gen}
	l.tokens = append(l.tokens, k)
	w.tokens[text] = k
	return k
}

// born records a new session.
func (w *world) born(handle, principal string) *life {
	now := w.clock.Now()
	l := &life{handle: handle, principal: principal, data: map[string]string{}, used: now, usedMax: now, absolute: now.Add(absolute)}
	w.lives[handle] = l
	return l
}

// inherit copies the data that a sign-in carries over.
func (l *life) inherit(from *life) {
	if from != nil && (from.principal == "" || from.principal == l.principal) {
		l.data, l.count = maps.Clone(from.data), from.count
	}
}

// describe prints the session for a failure.
func (l *life) describe() string {
	if l == nil {
		return "nobody"
	}
	who := l.principal
	if who == "" {
		who = "an anonymous visitor"
	}
	if l.actor != nil {
		who += " by " + l.actor.principal
	}
	return fmt.Sprintf("%s (%.6s, generation %d)", who, l.handle, l.gen)
}

// bearer is what a browser must have: the last answer of a verb to arrive says
// so.
type bearer struct {
	life *life
	gen  int
	// seq is when that verb was served.
	seq int
}

// certain reports whether the user is signed in, or known, without doubt.
func (b bearer) certain(now time.Time) bool {
	return b.life != nil && b.life.gen == b.gen && b.life.alive(now) == yes
}
