// Package foreign reads the sessions that other libraries have stored, for
// migrate. Each kind is a URL scheme in front of that of the server: scs+redis,
// scs+postgres, scs+sqlite, redistore+redis and connect+redis.
//
// A record has the bytes of the value as they are, the expiry of the server, and
// the id under which the new program looks for it. Its revision is a hash of the
// record: the next pass finds the same one.
package foreign

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry"
	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// kind is a library whose sessions can be read.
type kind struct {
	prefix   string // of its keys in Redis
	encoding string // the codec that decodes its values
	id       func(name string) string
	gob      bool // or JSON, as the program chose
	expiry   func(value []byte) time.Time
}

var kinds = map[string]kind{
	"scs":       {prefix: "scs:session:", encoding: expiry.Bytes().Name(), id: expiry.SafeID},
	"redistore": {prefix: "session_", encoding: expiry.Gob().Name(), id: expiry.SecretID, gob: true},
	"connect":   {prefix: "sess:", encoding: expiry.JSON().Name(), id: expiry.SafeID, expiry: cookieExpiry},
}

// cookieExpiry returns when the cookie of a session of express-session ends. The
// zero time means never.
func cookieExpiry(value []byte) time.Time {
	var s struct {
		Cookie struct {
			Expires time.Time `json:"expires"`
		} `json:"cookie"`
	}
	if json.Unmarshal(value, &s) != nil {
		return time.Time{}
	}
	return s.Cookie.Expires.UTC().Truncate(time.Millisecond)
}

// entry is what a server has of one session.
type entry struct {
	name    string // in the library's words: a token or an id
	value   []byte
	expires time.Time // zero: never
	broken  bool      // something else has this name
}

// server lists and reads the sessions of a library.
type server interface {
	// list returns some sessions, and the token of the next ones.
	list(ctx context.Context, after string, limit int) (entries []entry, next string, err error)
	// get returns the sessions with these names that there are.
	get(ctx context.Context, names []string) ([]entry, error)
	close() error
}

// Source is the store of another library as a backend that can only be read.
type Source struct {
	scheme string
	kind   kind
	server server
	names  names
}

// Is reports whether a URL's scheme is that of another library.
func Is(scheme string) bool {
	library, _, ok := strings.Cut(scheme, "+")
	_, known := kinds[library]
	return ok && known
}

// record returns the record of a session.
func (s *Source) record(e *entry) model.Record {
	r := model.Record{ID: s.kind.id(e.name), ExpiresAt: e.expires, Value: e.value, Encoding: s.kind.encoding}
	if r.ExpiresAt.IsZero() && s.kind.expiry != nil {
		r.ExpiresAt = s.kind.expiry(e.value)
	}
	h := sha256.New()
	for _, part := range [][]byte{[]byte(r.ID), []byte(r.Encoding), binary.BigEndian.AppendUint64(nil, uint64(r.ExpiresAt.UnixMilli())), r.Value} {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		_, _ = h.Write(part)
	}
	copy(r.Revision[:], h.Sum(nil))
	return r
}

// Page lists sessions. A listing by label has none, since they have no labels.
func (s *Source) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	var page driver.Page
	if q.Label != "" {
		return page, s.Describe().CheckLabel(q.Label)
	}
	entries, next, err := s.server.list(ctx, q.After, q.Limit)
	if err != nil {
		return page, s.failed("Page", err)
	}
	page.Next = next
	for i := range entries {
		e := &entries[i]
		if id := s.kind.id(e.name); id != e.name {
			s.names.add(id, e.name)
		}
		if e.broken {
			page.Corrupt = append(page.Corrupt, s.kind.id(e.name))
			continue
		}
		if r := s.record(e); !r.Expired(now) {
			page.Records = append(page.Records, r)
		}
	}
	return page, nil
}

// Get returns one session.
func (s *Source) Get(ctx context.Context, now time.Time, g driver.Get) (model.Record, error) {
	name, err := s.name(ctx, g.ID)
	if err != nil {
		return model.Record{}, s.failed("Get", err)
	}
	found, err := s.server.get(ctx, []string{name})
	switch {
	case err != nil:
		return model.Record{}, s.failed("Get", err)
	case len(found) == 0:
		return model.Record{}, s.failed("Get", model.ErrNotFound)
	case found[0].broken:
		return model.Record{}, s.failed("Get", model.ErrCorrupt)
	}
	r := s.record(&found[0])
	if r.Expired(now) {
		return model.Record{}, s.failed("Get", model.ErrNotFound)
	}
	return r, nil
}

// GetMany returns several sessions with one request.
func (s *Source) GetMany(ctx context.Context, now time.Time, gets []driver.Get) []driver.BatchResult {
	results := make([]driver.BatchResult, len(gets))
	ids, wanted := make([]string, len(gets)), make([]string, 0, len(gets))
	for i := range gets {
		name, err := s.name(ctx, gets[i].ID)
		if err != nil {
			results[i].Err = s.failed("Get", err)
			continue
		}
		ids[i], wanted = gets[i].ID, append(wanted, name)
	}
	found, err := s.server.get(ctx, wanted)
	byID := make(map[string]*entry, len(found))
	for i := range found {
		byID[s.kind.id(found[i].name)] = &found[i]
	}
	for i := range results {
		if results[i].Err != nil {
			continue
		}
		e := byID[ids[i]]
		switch {
		case err != nil:
			results[i].Err = s.failed("Get", err)
		case e == nil:
			results[i].Err = s.failed("Get", model.ErrNotFound)
		case e.broken:
			results[i].Err = s.failed("Get", model.ErrCorrupt)
		default:
			if results[i].Record = s.record(e); results[i].Record.Expired(now) {
				results[i] = driver.BatchResult{Err: s.failed("Get", model.ErrNotFound)}
			}
		}
	}
	return results
}

// failed returns an error without the id, which is a token.
func (s *Source) failed(op string, err error) error {
	return &model.Error{Op: op, Backend: s.scheme, Err: err}
}

// Write returns ErrUnsupported, and so do the other changes.
func (s *Source) Write(context.Context, time.Time, driver.Write) (model.Record, error) {
	return model.Record{}, s.readOnly("Write")
}

// Touch returns ErrUnsupported.
func (s *Source) Touch(context.Context, time.Time, driver.Touch) (model.Record, error) {
	return model.Record{}, s.readOnly("Touch")
}

// Delete returns ErrUnsupported.
func (s *Source) Delete(context.Context, time.Time, driver.Delete) error { return s.readOnly("Delete") }

// DeleteExpired returns ErrUnsupported.
func (s *Source) DeleteExpired(context.Context, driver.Sweep) (driver.Swept, error) {
	return driver.Swept{}, s.readOnly("DeleteExpired")
}

func (s *Source) readOnly(op string) error {
	return s.failed(op, model.NewError(model.ErrUnsupported, "the sessions of another library are only read", nil))
}

// Describe has the name alone: sessions have no labels.
func (s *Source) Describe() driver.Description { return driver.Description{Backend: s.scheme} }

// Close closes the connection.
func (s *Source) Close() error { return s.server.close() }

// split returns the library that the scheme names, and the URL without it.
func split(u *url.URL) (library string, own url.URL) {
	own = *u
	library, own.Scheme, _ = strings.Cut(u.Scheme, "+")
	return library, own
}
