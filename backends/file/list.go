package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// extraLooks is how many records beyond its limit a page reads at most, so
// that a store full of expired ones does not make one page last.
const extraLooks = 1000

// Page lists in the order of shard and file name, which no write changes.
func (b *Backend) Page(ctx context.Context, now time.Time, q driver.Query) (driver.Page, error) {
	after, err := b.checkQuery(&q)
	if err != nil {
		return driver.Page{}, err
	}
	var page driver.Page
	err = b.retry(ctx, false, func(t *tree) error {
		page = driver.Page{}
		looks, last := 0, after
		return t.scan(ctx, &q, after, func(p *place) (bool, error) {
			if len(page.Records) == q.Limit || looks == q.Limit+extraLooks {
				page.Next = b.token(&q, last)
				return false, nil
			}
			looks, last = looks+1, p.entry()
			rec, err := t.look(p)
			switch {
			case errors.Is(err, model.ErrCorrupt):
				page.Corrupt = append(page.Corrupt, p.known())
			case err != nil:
				return false, err
			case rec != nil && !rec.Expired(now) && q.Bears(rec):
				if q.KeysOnly {
					rec.Value = nil
				}
				page.Records = append(page.Records, *rec)
			case rec == nil || !q.Bears(rec):
				t.prune(&q, p)
			}
			return true, nil
		})
	})
	if errors.Is(err, errNoStore) {
		return driver.Page{}, nil
	}
	if err != nil {
		return driver.Page{}, err
	}
	return page, nil
}

// Count reads every record that a listing would.
func (b *Backend) Count(ctx context.Context, now time.Time, query driver.Query) (int, error) {
	q := driver.Query{Label: query.Label, Value: query.Value, Limit: 1}
	if _, err := b.checkQuery(&q); err != nil {
		return 0, err
	}
	n := 0
	err := b.retry(ctx, false, func(t *tree) error {
		n = 0
		return t.scan(ctx, &q, "", func(p *place) (bool, error) {
			rec, err := t.look(p)
			if err != nil {
				return true, except(err, model.ErrCorrupt)
			}
			if rec != nil && !rec.Expired(now) && q.Bears(rec) {
				n++
			}
			return true, nil
		})
	})
	return n, except(err, errNoStore)
}

func except(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

// checkQuery returns the entry after which the page begins.
func (b *Backend) checkQuery(q *driver.Query) (string, error) {
	switch {
	case q.Limit < 1:
		return "", model.NewError(model.ErrInvalid, "a page without a limit", nil)
	case q.Label == "" && q.Value != "":
		return "", model.NewError(model.ErrInvalid, "a label's value without its name", nil)
	case q.Label != "" && !slices.Contains(b.opts.Labels, q.Label):
		return "", model.NewError(model.ErrInvalid, "the label is not declared", nil)
	case q.After == "":
		return "", nil
	}
	return b.position(q)
}

// A token is a version, a check of what it belongs to, and the last entry of
// the page.
const (
	tokenPrefix = "f1."
	checkBytes  = 8
)

func (b *Backend) token(q *driver.Query, last string) string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(b.check(q, last), last...))
}

func (b *Backend) position(q *driver.Query) (string, error) {
	text, ok := strings.CutPrefix(q.After, tokenPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(raw) <= checkBytes {
		return "", model.NewError(model.ErrInvalid, "no token of a page", nil)
	}
	last := string(raw[checkBytes:])
	if !bytes.Equal(raw[:checkBytes], b.check(q, last)) {
		return "", model.NewError(model.ErrInvalid, "not a token of this listing", nil)
	}
	return last, nil
}

func (b *Backend) check(q *driver.Query, last string) []byte {
	h := sha256.New()
	for _, part := range []string{tokenPrefix, b.name, q.Label, q.Value, last} {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return h.Sum(nil)[:checkBytes]
}

// scan visits the places of a listing in order, after a position.
func (t *tree) scan(ctx context.Context, q *driver.Query, after string, visit func(*place) (bool, error)) error {
	if err := t.whole(); err != nil {
		return err
	}
	if q.Label != "" {
		return t.scanLabel(ctx, q, after, visit)
	}
	return t.scanAll(ctx, after, visit)
}

// scanLabel reads the names of all that bear the label.
func (t *tree) scanLabel(ctx context.Context, q *driver.Query, after string, visit func(*place) (bool, error)) error {
	names, err := t.names(labelBase(q.Label), labelSub(q.Value), func(name string) bool { return name > after })
	if err != nil {
		return err
	}
	_, err = visitAll(ctx, names, visit)
	return err
}

// scanAll reads the names of one shard after the other.
func (t *tree) scanAll(ctx context.Context, after string, visit func(*place) (bool, error)) error {
	present, err := t.names(recordsDir, "", func(name string) bool {
		return isShard(name) && (len(after) < 2 || name >= after[:2])
	})
	if err != nil {
		return err
	}
	for _, shard := range present {
		if err := ctx.Err(); err != nil {
			return err
		}
		names, err := t.shardNames(ctx, shard, after)
		if err != nil {
			return err
		}
		more, err := visitAll(ctx, names, visit)
		if !more || err != nil {
			return err
		}
	}
	return nil
}

// visitAll visits the places that are well named; others are foreign.
func visitAll(ctx context.Context, entries []string, visit func(*place) (bool, error)) (bool, error) {
	for _, entry := range entries {
		p, ok := placeOfEntry(entry)
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if more, err := visit(&p); !more || err != nil {
			return false, err
		}
	}
	return true, nil
}

// shardNames returns the entries of a shard after a position. It reads the
// folder under the shard's lock: on some file systems (tmpfs for one) a reading
// misses a name while a rename replaces its file.
func (t *tree) shardNames(ctx context.Context, shard, after string) ([]string, error) {
	stripe := parseHex(shard) % stripes
	if err := t.b.stripes[stripe].enter(ctx); err != nil {
		return nil, err
	}
	defer t.b.stripes[stripe].leave()
	switch err := t.lock(ctx, stripe); {
	case err == nil:
		defer t.unlock(stripe)
	case !mayNotLock(err):
		return nil, err
	}
	names, err := t.names(recordsDir+"/"+shard, "", func(name string) bool { return shard+"."+name > after })
	for i := range names {
		names[i] = shard + "." + names[i]
	}
	return names, err
}

// names returns, sorted, the names of a folder that pass; none where it is
// missing. Base is a fixed folder, sub one below it or empty.
func (t *tree) names(base, sub string, pass func(string) bool) ([]string, error) {
	fixed, err := t.folder(base, false)
	if err != nil {
		return nil, except(err, errMissing)
	}
	f := fixed
	if sub != "" {
		f, err = fixed.Folder(sub)
		if isMissing(err) {
			return nil, t.same(fixed, base)
		}
		if err != nil {
			return nil, unavailable(err)
		}
		defer func() { _ = f.Close() }()
	}
	var out []string
	err = f.Names(func(part []string) bool {
		for _, name := range part {
			if pass(name) {
				out = append(out, name)
			}
		}
		return true
	})
	if isMissing(err) || err == nil && len(out) == 0 && sub == "" {
		// Somebody may have removed the folder, and made another.
		return nil, t.same(fixed, base)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// prune removes an index entry of a listing by label whose record does not
// bear the label, unless a writer is at it.
func (t *tree) prune(q *driver.Query, p *place) {
	if q.Label == "" {
		return
	}
	t.tryLocked(p.stripe(), func() {
		if rec, err := t.look(p); err == nil && (rec == nil || !q.Bears(rec)) {
			t.dropEntries([]entry{{base: labelBase(q.Label), sub: labelSub(q.Value), name: p.entry()}})
		}
	})
}
