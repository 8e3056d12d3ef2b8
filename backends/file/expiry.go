package file

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

// Touch changes the expiry of a live record. It rewrites the record's file, or
// writes nothing if the expiry stays as it is.
func (b *Backend) Touch(ctx context.Context, now time.Time, c driver.Touch) (model.Record, error) {
	if err := b.gate.Touch(ctx, &c); err != nil {
		return model.Record{}, err
	}
	p := placeOf(c.ID)
	var out model.Record
	waited := b.waited()
	err := b.withLock(ctx, waited, p.stripe(), false, func(t *tree) error {
		cur, err := t.read(&p)
		if err == nil {
			err = c.Judge(waited.Now(now), cur)
		}
		if err != nil {
			return err
		}
		next := *cur
		next.ExpiresAt = model.Millis(c.Result(cur.ExpiresAt))
		if !next.ExpiresAt.Equal(cur.ExpiresAt) {
			if err := t.store(&p, cur, &next); err != nil {
				return err
			}
		}
		out = next.Head()
		return nil
	})
	return out, err
}

// bucket is a minute of expiries, counted from 1970. A record's index entry is
// replaced only if its expiry moves to another bucket.
type bucket int64

const (
	minutesPerDay = 24 * 60
	dayDigits     = 7
	minuteDigits  = 4
)

func bucketOf(t time.Time) bucket { return bucket(t.Unix() / 60) }

func (b bucket) day() string { return padded(int64(b)/minutesPerDay, dayDigits) }
func (b bucket) minute() string {
	return padded(int64(b)%minutesPerDay, minuteDigits)
}
func (b bucket) sub() string { return b.day() + "/" + b.minute() }

func padded(n int64, digits int) string {
	s := strconv.FormatInt(n, 10)
	return strings.Repeat("0", max(0, digits-len(s))) + s
}

func isNumber(name string, digits int) bool {
	if len(name) != digits {
		return false
	}
	_, err := strconv.ParseUint(name, 10, 63)
	return err == nil
}

func inBucket(rec *model.Record, sub string) bool {
	return !rec.ExpiresAt.IsZero() && bucketOf(rec.ExpiresAt).sub() == sub
}
