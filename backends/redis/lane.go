package redis

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
)

// lane lets calls of many goroutines share round trips. A call goes by itself
// while fewer than laneTrips are on their way. The others wait until one is over,
// and go together in one pipeline.
type lane struct {
	mu    sync.Mutex
	away  int     // round trips on their way
	queue []*trip // the trips to come; only the last has free seats
	seats int     // how many seats a trip gets; 0: maxSeats
}

const (
	// laneTrips is how many round trips of a lane are on their way at once.
	laneTrips = 4
	// maxSeats is the largest number of calls in one pipeline.
	maxSeats = 128
	// tripBytes is about how long the answers of one pipeline are. The calls of a
	// pipeline get their answers together, so long ones go in smaller pipelines.
	tripBytes = 256 << 10
)

// trip is a pipeline with calls of several goroutines.
type trip struct {
	seats  []*seat
	done   chan struct{} // closed when all have their outcome
	riders int           // those who have not left
	begun  bool
	over   bool // it no longer counts as on its way
}

// seat is a call on a trip.
type seat struct {
	lane  *lane
	trip  *trip
	cmd   goredis.Cmder
	run   *run // of a script, else nil
	state atomic.Uint32
	turn  driverkit.Waited
	since time.Duration // when it began to wait
	outcome
}

const (
	seatWaits = iota
	seatTaken // the command is in the pipeline
	seatLeft  // the caller has left before that
)

// once is a read that go-redis does not send again. After an error its caller
// sends it by itself, with the client's retries.
type once struct{ *goredis.StringCmd }

// NoRetry keeps go-redis from sending a whole pipeline again.
func (once) NoRetry() bool { return true }

// enter begins a round trip and returns nil, or returns a seat on a later trip.
func (l *lane) enter(cmd goredis.Cmder, r *run, watch func() time.Duration) *seat {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away < laneTrips {
		l.away++
		return nil
	}
	if l.seats == 0 {
		l.seats = maxSeats
	}
	if n := len(l.queue); n == 0 || len(l.queue[n-1].seats) >= l.seats {
		l.queue = append(l.queue, &trip{done: make(chan struct{})})
	}
	t := l.queue[len(l.queue)-1]
	s := &seat{lane: l, trip: t, cmd: cmd, run: r, turn: driverkit.Waited{Watch: watch}}
	s.since = s.turn.Read()
	t.seats = append(t.seats, s)
	t.riders++
	return s
}

// leave ends a round trip, and begins the next one if calls wait.
func (b *Backend) leave(l *lane) {
	l.mu.Lock()
	waiting := len(l.queue) > 0
	if !waiting {
		l.away--
	}
	l.mu.Unlock()
	if waiting {
		go b.travel(l, nil)
	}
}

// next returns the trip after t, which may be nil. It returns nil if all riders
// have left t, whose place another trip has since then. If none waits, it ends the
// round trip and returns nil.
func (l *lane) next(t *trip) *trip {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t != nil {
		if t.over {
			return nil
		}
		t.over = true
	}
	if len(l.queue) == 0 {
		l.away--
		return nil
	}
	t = l.queue[0]
	l.queue = slices.Delete(l.queue, 0, 1)
	t.begun = true
	return t
}

// alight takes a rider off a trip. When all have left, it no longer counts as on
// its way: a server that is silent holds up no later call.
func (b *Backend) alight(s *seat) {
	s.state.CompareAndSwap(seatWaits, seatLeft)
	s.lane.mu.Lock()
	s.trip.riders--
	last := s.trip.riders == 0 && s.trip.begun && !s.trip.over
	if last {
		s.trip.over = true
	}
	s.lane.mu.Unlock()
	if last {
		b.leave(s.lane)
	}
}

// travel makes the trips after t until no call waits.
func (b *Backend) travel(l *lane, t *trip) {
	ended := true
	defer func() {
		if ended { // a hook ended this goroutine
			go b.travel(l, t)
		}
	}()
	for t = l.next(t); t != nil; t = l.next(t) {
		b.send(l, t)
		// Callers that have their answers may call again now, and go together again.
		runtime.Gosched()
	}
	ended = false
}

// send makes one trip. The context is of no caller: each of them ends its own call.
func (b *Backend) send(l *lane, t *trip) {
	pipe := b.client.Pipeline()
	aboard := t.seats[:0]
	for _, s := range t.seats {
		if !s.state.CompareAndSwap(seatWaits, seatTaken) {
			continue
		}
		aboard = append(aboard, s)
		s.turn.Add(s.turn.Read() - s.since)
		if s.run != nil {
			s.run.together(&s.turn)
		}
		_ = pipe.Process(context.Background(), s.cmd) // queued only
	}
	all := outcome{err: errEnded}
	defer func() {
		all.panicked = recover() // a hook's
		bytes := 0
		failed := func(s *seat) bool { return s.cmd.Err() != nil }
		for _, s := range aboard {
			switch {
			case all.panicked != nil || all.err == errEnded: //nolint:errorlint // the one above
				s.outcome = all
			case s.cmd.Err() == nil && all.err != nil && (!slices.ContainsFunc(aboard, failed) || s.run != nil && !s.run.mark.sent()):
				s.outcome = all // a hook's error
			default:
				s.err = s.cmd.Err()
				bytes += s.size()
			}
		}
		l.measured(len(aboard), bytes)
		close(t.done)
	}()
	if len(aboard) > 0 {
		_, all.err = pipe.Exec(context.Background())
	}
}

func (s *seat) size() int {
	if s.run != nil {
		return len(s.run.Val())
	}
	return len(s.cmd.(once).Val())
}

// measured notes how long the answers of some calls were.
func (l *lane) measured(calls, bytes int) {
	if calls == 0 {
		return // all had left
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seats = max(1, min(maxSeats, calls*tripBytes/max(1, bytes)))
}

// ride waits for the outcome of a seat. If left is true, the context has ended and
// the command must not be touched again.
func (b *Backend) ride(ctx context.Context, s *seat) (left bool, err error) {
	select {
	case <-s.trip.done:
	case <-ctx.Done():
		select {
		case <-s.trip.done: // the answer came in time
		default:
			b.alight(s)
			return true, ctx.Err()
		}
	}
	if s.panicked != nil {
		panic(s.panicked)
	}
	return false, s.err
}

// maxLanes bounds the lanes of a cluster. With a lane for each of many buckets,
// hardly two calls would meet.
const maxLanes = 16

// lane returns the lane of a record. In a cluster each bucket has one, or so many
// neighbors that their slots are a sixteenth of all. They are mostly on one node, so
// that hardly a call waits for another node than its own.
func (b *Backend) lane(id string) *lane {
	if len(b.lanes) == 1 {
		return &b.lanes[0]
	}
	return &b.lanes[b.bucketOf(id)*len(b.lanes)/len(b.buckets)]
}
