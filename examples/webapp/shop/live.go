package shop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/session"
)

// heartbeat keeps proxies from closing a panel in which nothing happens.
const heartbeat = 20 * time.Second

// live sends what happens to a person's sessions as server-sent events, until
// this session ends. A panel that is open is no use of the session.
func (a *Shop) live(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	user, _, err := session.User(ctx)
	if err != nil {
		return err
	}
	view, err := session.Detach(ctx)
	if err != nil {
		return err
	}
	defer view.Close()
	news, stop := a.feed.follow(user)
	defer stop()

	out := http.NewResponseController(w)
	if err := out.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "private, no-store")
	send := func(event, text string) (open bool) {
		_, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, text)
		return err == nil && out.Flush() == nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	open := send("open", "Watching your sessions.")
	for open {
		select {
		case <-view.Done():
			if errors.Is(view.Err(), session.ErrGone) {
				send("ended", "This device was signed out.")
			}
			return nil
		case e := <-news:
			if text := newsOf(e, view.Handle()); text != "" {
				open = send("news", text)
			}
		case <-beat.C:
			open = send("beat", "")
		}
	}
	return nil // the browser has left
}

// newsOf tells an event to the person. It returns "" for what they need not know.
func newsOf(e session.Event, this string) string {
	switch e.Kind {
	case session.EventSignedIn:
		return "A new sign-in."
	case session.EventDestroyed:
		if e.Handle == this {
			return ""
		}
		return "Another device was signed out."
	case session.EventElevated:
		return "The password was given again."
	case session.EventImpersonated:
		return e.Actor + " acts as you now."
	case session.EventImpersonationEnded:
		return "Nobody acts as somebody else now."
	case session.EventRotated:
		return "A session got a new secret."
	case session.EventAnomaly:
		return "Something unusual: " + string(e.Reason) + "."
	}
	return ""
}

// feed brings the events of this process to the live panels.
type feed struct {
	mu   sync.Mutex
	open map[chan session.Event]string // the principal of each panel
}

// publish is the service's OnEvent, so it must not wait.
func (f *feed) publish(_ context.Context, e session.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c, principal := range f.open {
		if principal != e.Principal {
			continue
		}
		select {
		case c <- e:
		default: // a slow panel misses one
		}
	}
}

// follow returns the events of a principal until stop.
func (f *feed) follow(principal string) (events <-chan session.Event, stop func()) {
	c := make(chan session.Event, 16)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		f.open = map[chan session.Event]string{}
	}
	f.open[c] = principal
	return c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.open, c)
	}
}
