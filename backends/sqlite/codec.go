package sqlite

import (
	"database/sql"
	"encoding/json"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// row is a row of the table as it was read.
type row struct {
	id, rev, lab, enc, val []byte
	format                 int64
	exp                    sql.NullInt64
}

// decode returns the record of a row, or ErrCorrupt. A row that it refuses does
// not meet the condition readable.
func (r *row) decode() (model.Record, error) {
	rec := model.Record{ID: string(r.id), Encoding: string(r.enc), Value: r.val}
	switch {
	case r.format > 1:
		return model.Record{}, driverkit.Corrupt(driverkit.WhyNewer)
	case r.format != 1, copy(rec.Revision[:], r.rev) != len(rec.Revision), r.lab != nil && json.Unmarshal(r.lab, &rec.Labels) != nil:
		return model.Record{}, driverkit.Corrupt(driverkit.WhyForeign)
	}
	if r.exp.Valid {
		rec.ExpiresAt = time.UnixMilli(r.exp.Int64).UTC()
	}
	return rec, nil
}

// millis returns the expiry for a statement: milliseconds, or NULL for never.
func millis(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

// labels returns the labels for a statement: JSON, or NULL for none.
func labels(all map[string]string) sql.NullString {
	data, err := json.Marshal(all) // texts, so it returns no error
	return sql.NullString{String: string(data), Valid: err == nil && len(all) > 0}
}
