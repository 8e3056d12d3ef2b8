package postgres

import (
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// formatVersion is the format of the rows that this version reads. It is part of
// every condition, so that a write leaves newer rows alone.
const formatVersion = 1

// row is a row of the table as it was read.
type row struct {
	id     pgtype.Text
	format pgtype.Int2
	rev    pgtype.UUID
	exp    pgtype.Int8
	lab    []byte
	enc    pgtype.Text
	val    []byte
	done   bool // a write left this record
}

// scan reads the columns that a statement returns, and what comes after them.
func (r *row) scan(rows pgx.Rows, more ...any) error {
	return rows.Scan(append([]any{&r.id, &r.format, &r.rev, &r.exp, &r.lab, &r.enc, &r.val}, more...)...)
}

// decode returns the record of a row, or ErrCorrupt.
func (r *row) decode() (model.Record, error) {
	rec := model.Record{ID: r.id.String, Revision: r.rev.Bytes, Encoding: r.enc.String, Value: r.val}
	switch {
	case r.format.Int16 > formatVersion:
		return model.Record{}, driverkit.Corrupt(driverkit.WhyNewer)
	case r.format.Int16 != formatVersion, !r.rev.Valid, rec.Revision.IsZero(), !r.enc.Valid,
		r.lab != nil && json.Unmarshal(r.lab, &rec.Labels) != nil:
		return model.Record{}, driverkit.Corrupt(driverkit.WhyForeign)
	}
	if r.exp.Valid {
		rec.ExpiresAt = time.UnixMilli(r.exp.Int64).UTC()
	}
	return rec, nil
}

// expiry returns the expiry for a statement: milliseconds, or NULL for never.
func expiry(t time.Time) pgtype.Int8 { return pgtype.Int8{Int64: t.UnixMilli(), Valid: !t.IsZero()} }

// revision returns the revision for a statement, NULL for none.
func revision(r model.Revision) pgtype.UUID { return pgtype.UUID{Bytes: r, Valid: !r.IsZero()} }

// known returns the revision that a condition asks for, NULL for any.
func known(c driver.Condition, r model.Revision) pgtype.UUID {
	return pgtype.UUID{Bytes: r, Valid: c == driver.IfMatch}
}

// labels returns the labels for a statement: JSON, or NULL for none.
func labels(all map[string]string) pgtype.Text {
	data, err := json.Marshal(all) // texts, so it returns no error
	return pgtype.Text{String: string(data), Valid: err == nil && len(all) > 0}
}

// notNil returns the value for a statement, in which nil would be NULL.
func notNil(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}
