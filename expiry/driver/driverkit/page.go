package driverkit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// A page token is the base64 form of a version, a checksum and the position.
// The checksum also covers the store's names and the query's label, so that a
// token of another listing is refused.
const (
	tokenVersion = 1
	tokenSum     = 8 // bytes
	tokenHead    = 1 + tokenSum
)

// Token returns the page token for a position of the query's listing, which
// Gate.Page returns for the next page. An empty position is the end of the
// listing and has an empty token.
func (g *Gate) Token(q *driver.Query, position string) string {
	if position == "" {
		return ""
	}
	raw := make([]byte, tokenHead, tokenHead+len(position))
	raw[0] = tokenVersion
	sum := g.sum(q, position)
	copy(raw[1:], sum[:tokenSum])
	return base64.RawURLEncoding.EncodeToString(append(raw, position...))
}

// position returns what Token was given, or ErrInvalid.
func (g *Gate) position(q *driver.Query) (string, error) {
	// The decoder would skip line breaks, which no token has.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(q.After)
	if err != nil || strings.ContainsAny(q.After, "\r\n") || len(raw) <= tokenHead || raw[0] != tokenVersion {
		return "", BadToken()
	}
	position := string(raw[tokenHead:])
	if sum := g.sum(q, position); !bytes.Equal(sum[:tokenSum], raw[1:tokenHead]) {
		return "", BadToken()
	}
	return position, nil
}

// BadToken returns the ErrInvalid for a token that no page of the listing
// returned.
func BadToken() error {
	return model.NewError(model.ErrInvalid, "the page token is not of this listing", nil)
}

func (g *Gate) sum(q *driver.Query, position string) [sha256.Size]byte {
	var text []byte
	for _, s := range g.store {
		text = appendPart(text, s)
	}
	for _, s := range [...]string{q.Label, q.Value, position} {
		text = appendPart(text, s)
	}
	return sha256.Sum256(text)
}

// appendPart appends a text and its length, so that no two lists of parts give
// the same bytes.
func appendPart(to []byte, part string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(part))), part...)
}

// SortedPage returns a page for a backend that can walk all its records. It
// sorts them by id and copies those it returns. Its cost grows with the store,
// which suits small stores and tests. Position is the one that Gate.Page
// returned for q.
func (g *Gate) SortedPage(now time.Time, q *driver.Query, position string, all iter.Seq[model.Record]) driver.Page {
	var p driver.Page
	for r := range all {
		if r.ID > position && !r.Expired(now) && q.Bears(&r) {
			p.Records = append(p.Records, r)
		}
	}
	slices.SortFunc(p.Records, func(a, b model.Record) int { return strings.Compare(a.ID, b.ID) })
	var size PageSize
	for i := range p.Records {
		if q.KeysOnly {
			p.Records[i].Value = nil
		}
		p.Records[i] = p.Records[i].Clone()
		if n := i + 1; n < len(p.Records) && (size.Add(&p.Records[i]) || n == q.Limit) {
			p.Next = g.Token(q, p.Records[i].ID)
			clear(p.Records[n:])
			p.Records = p.Records[:n]
			break
		}
	}
	return p
}

// PageSize counts the bytes of a page's values, for driver.PageBytes. The zero
// PageSize is that of an empty page.
type PageSize struct{ bytes int }

// Add counts the value of a record that was added to the page. It reports
// whether the page ends with that record.
func (s *PageSize) Add(r *model.Record) (full bool) {
	s.bytes += len(r.Value)
	return s.bytes >= driver.PageBytes
}

// Listing collects a page. The zero Listing with a query is that of an empty
// page.
type Listing struct {
	Query *driver.Query
	Page  driver.Page
	size  PageSize
}

// Add adds what a backend read under an id: a record, or the error of reading it,
// which makes the id corrupt. It leaves out what has expired or does not bear the
// query's label, and values if only the heads are wanted. It reports whether the
// page ends with it, because of its limit or driver.PageBytes.
func (l *Listing) Add(now time.Time, id string, rec *model.Record, err error) (full bool) {
	switch {
	case err != nil:
		l.Page.Corrupt = append(l.Page.Corrupt, id)
		return false
	case rec.Expired(now) || !l.Query.Bears(rec):
		return false
	}
	l.Page.Records = append(l.Page.Records, *rec)
	n := len(l.Page.Records)
	if l.Query.KeysOnly {
		l.Page.Records[n-1].Value = nil
	}
	return l.size.Add(&l.Page.Records[n-1]) || n >= l.Query.Limit
}
