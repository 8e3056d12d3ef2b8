package session

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/model"
)

// Client is what is known of the program at the other end, for lists of one's
// own devices. It is a claim of the client and proves nothing.
type Client struct {
	UserAgent string     `json:"userAgent,omitempty"` // cut after 256 bytes
	Address   netip.Addr `json:"address,omitzero"`    // as the transport sees it; invalid: not known
}

const maxUserAgent = 256

func (c Client) trimmed() Client {
	s := c.UserAgent
	if len(s) > maxUserAgent {
		s = s[:maxUserAgent]
	}
	for !utf8.ValidString(s) && s != "" {
		s = s[:len(s)-1]
	}
	return Client{UserAgent: s, Address: c.Address}
}

// Device is what a user agent says of itself, roughly: good enough for people
// to recognize their own devices.
type Device struct {
	Browser string // "Firefox"; empty: not known
	System  string // "Windows"; empty: not known
}

// String is "Firefox on Windows", or what is known of it.
func (d Device) String() string {
	switch {
	case d.Browser == "" && d.System == "":
		return "Unknown device"
	case d.Browser == "":
		return d.System
	case d.System == "":
		return d.Browser
	}
	return d.Browser + " on " + d.System
}

// mark is a part of a user agent and what it stands for.
type mark struct{ part, name string }

// The order matters: browsers claim to be their ancestors too.
var (
	browsers = []mark{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Opera", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Vivaldi/", "Vivaldi"},
		{"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Version/", "Safari"},
		{"MSIE ", "Internet Explorer"}, {"Trident/", "Internet Explorer"}, {"okhttp/", "okhttp"}, {"curl/", "curl"}, {"Go-http-client", "Go"},
	}
	systems = []mark{
		{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iOS"}, {"iPad", "iPadOS"},
		{"Mac OS X", "macOS"}, {"Macintosh", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
)

// Device reads the user agent's family. A program that no browser is known
// for has the name before its first slash.
func (c Client) Device() Device {
	d := Device{Browser: firstMark(c.UserAgent, browsers), System: firstMark(c.UserAgent, systems)}
	if d.Browser == "" {
		name, _, versioned := strings.Cut(c.UserAgent, "/")
		if versioned && name != "Mozilla" && len(name) <= 32 && !strings.ContainsAny(name, " ;()") {
			d.Browser = name
		}
	}
	return d
}

func firstMark(s string, marks []mark) string {
	for _, m := range marks {
		if strings.Contains(s, m.part) {
			return m.name
		}
	}
	return ""
}

// Decision is what a Binder makes of a client.
type Decision uint8

// The decisions. A challenged session goes on, and RequireRecent refuses it
// until the principal has reauthenticated.
const (
	Allow Decision = iota
	Challenge
	Destroy
)

// Binder compares the client that a session was created for with the one that
// presents it now. Neither address nor user agent proves anything: both change
// for honest users, and both can be copied. It is called once for each load.
type Binder func(ctx context.Context, info Info, now Client) Decision

// bound asks the binder about a session that was loaded. Without one, another
// browser or system raises an event and nothing else.
func (s *Session) bound(ctx context.Context, it *expiry.Item[row]) Decision {
	s.mu.Lock()
	now := s.client
	s.mu.Unlock()
	if s.trusted || now == (Client{}) {
		return Allow
	}
	e := eventOf(Anomaly, it.ID, &it.Value)
	e.Reason = ClientChanged
	if s.svc.binder == nil {
		if it.Value.Client.UserAgent != now.UserAgent && it.Value.Client.Device() != now.Device() {
			s.svc.emit(ctx, e)
		}
		return Allow
	}
	d := s.svc.binder(ctx, infoOf(it, s.svc.now()), now)
	if d != Allow {
		s.svc.emit(ctx, e)
	}
	return d
}

const maxName = 64 // runes

// Rename gives a session of the principal a name for lists of devices; an
// empty one takes it away. model.ErrNotFound for a session that is not there
// or belongs to another; model.ErrInvalid for a name over 64 characters or
// with control characters.
func (s *Service) Rename(ctx context.Context, principal, handle, name string) error {
	const op = "session.Rename"
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
		return &model.Error{Op: op, Err: model.NewError(model.ErrInvalid, "a device's name has at most 64 characters, none of them a control character", nil)}
	}
	for attempt := range persistAttempts {
		it, err := s.own(ctx, op, principal, handle)
		if err != nil {
			return err
		}
		if err := s.opened(&it); err != nil {
			return err
		}
		if it.Value.Name == name {
			return nil
		}
		r := it.Value
		r.Name = name
		_, err = s.updateRow(ctx, handle, r, &expiry.WriteOptions{IfMatch: it.Known(), Expiry: expiry.Keep()})
		if !errors.Is(err, model.ErrConflict) {
			return err
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
	return &model.Error{Op: op, ID: handle, Err: model.ErrConflict}
}
