package postgres

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// place is where a store is.
type place struct{ schema, table string }

// name returns the table's name for SQL.
func (p place) name() string { return p.sibling(p.table) }

// sibling returns a name in the table's schema for SQL.
func (p place) sibling(name string) string {
	if p.schema == "" {
		return pgx.Identifier{name}.Sanitize()
	}
	return pgx.Identifier{p.schema, name}.Sanitize()
}

// key returns the number of the advisory lock that CreateStorage and
// DeleteStorage take.
func (p place) key() int64 {
	sum := sha256.Sum256([]byte("sojourn " + p.schema + "\x00" + p.table))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// index is an index of the table.
type index struct{ name, on string }

// indexes returns the indexes of the table, beside that of the primary key.
func (p place) indexes(labels []string) []index {
	all := []index{{p.indexName("expiry"), "(exp, id) WHERE exp IS NOT NULL AND format < 2"}}
	for _, label := range labels {
		all = append(all, index{p.indexName("label " + label), fmt.Sprintf("((%s), id) WHERE lab ? '%s'", labelText(label), label)})
	}
	return all
}

// indexName returns a name of at most maxName bytes.
func (p place) indexName(what string) string {
	name := p.table + " " + what
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "sojourn " + hex.EncodeToString(sum[:16])
}

// labelText returns the expression for a label's value. The names of labels need
// no escape.
func labelText(label string) string { return fmt.Sprintf("(lab ->> '%s') COLLATE \"C\"", label) }

// create returns the statement that creates the table. The constraints hold what
// a read needs, so that no row of this format is half a record.
func (p place) create() string {
	return "CREATE TABLE " + p.name() + ` (
	id text COLLATE "C" PRIMARY KEY,
	format smallint NOT NULL CHECK (format >= 1),
	rev uuid NOT NULL CHECK (rev <> '00000000-0000-0000-0000-000000000000'),
	exp bigint CHECK (exp BETWEEN -62135596800000 AND 253402300799999),
	lab jsonb CHECK (jsonb_typeof(lab) = 'object' AND NOT jsonb_path_exists(lab, '$.* ? (@.type() <> "string")')),
	enc text NOT NULL,
	val bytea NOT NULL
) WITH (fillfactor = 85)`
}

// createIndex returns the statement that creates an index.
func (p place) createIndex(x index) string {
	return "CREATE INDEX " + pgx.Identifier{x.name}.Sanitize() + " ON " + p.name() + " " + x.on
}

// The columns of a row as scan reads them, without and with its value.
const (
	head  = "id, format, rev, exp, lab, enc, NULL::bytea"
	whole = "id, format, rev, exp, lab, enc, val"
)

// statements are the texts of the statements. Their parameters have types of
// their own, so that they work in every mode of pgx. $1 is the id.
type statements struct {
	get, stat, many                       string
	create, upsert, update, touch, remove string
	sweep, due, sweepThese                string
	name                                  string
}

// newStatements returns the statements on the table. A write is one statement
// with one row: the record that it left, or the one because of which it did
// nothing. PostgreSQL judges the condition again on the newest version of the
// row if another writer changed it meanwhile, but it then returns the older one.
func newStatements(p place) statements {
	t := "ONLY " + p.name() // the rows of tables that inherit from it are another program's
	const live = "id = $1::text AND format = 1 AND (exp IS NULL OR exp > $2::bigint) AND ($3::uuid IS NULL OR rev = $3::uuid)"
	judged := func(write, value string) string {
		return "WITH done AS (" + write + " RETURNING id, format, rev, exp, lab, enc) SELECT " + head + ", true FROM done UNION ALL SELECT " +
			strings.Replace(whole, "val", value, 1) + ", false FROM " + t + " WHERE id = $1::text AND NOT EXISTS (SELECT FROM done)"
	}
	insert := "INSERT INTO " + p.name() + " AS s (id, format, rev, exp, lab, enc, val) " +
		"VALUES ($1::text, 1, $3::uuid, $4::bigint, $5::text::jsonb, $6::text, $7::bytea) ON CONFLICT (id) DO UPDATE " +
		"SET format = 1, rev = excluded.rev, exp = excluded.exp, lab = excluded.lab, enc = excluded.enc, val = excluded.val "
	// Without statistics PostgreSQL takes format = 1 for rare, reads all that has
	// expired and sorts it. It does not so with format < 2.
	remove := func(due string) string {
		return "WITH due AS MATERIALIZED (" + due + " SKIP LOCKED) DELETE FROM " + t + " WHERE ctid = ANY(ARRAY(SELECT at FROM due))"
	}
	from := " FROM " + t + " WHERE "
	return statements{
		name:   t,
		get:    "SELECT " + whole + from + "id = $1::text",
		stat:   "SELECT " + head + ", octet_length(val)" + from + "id = $1::text",
		many:   "SELECT " + whole + from + "id = ANY($1::text[])",
		create: judged(insert+"WHERE s.format = 1 AND s.exp <= $2::bigint", "NULL::bytea"),
		upsert: insert + "WHERE $2::bigint IS NOT NULL RETURNING " + head + ", true",
		update: judged("UPDATE "+t+" SET rev = $4::uuid, exp = CASE WHEN $5::bool THEN exp ELSE $6::bigint END, "+
			"lab = CASE WHEN $7::bool THEN lab ELSE $8::text::jsonb END, enc = $9::text, val = $10::bytea WHERE "+live+
			" AND ($11::text[] IS NULL OR enc = ANY($11::text[]))", "CASE WHEN $3::uuid IS NOT NULL THEN val END"),
		touch:  judged("UPDATE "+t+" SET exp = $4::bigint WHERE "+live+" AND (NOT $5::bool OR exp < $4::bigint)", "NULL::bytea"),
		remove: judged("DELETE FROM "+t+" WHERE "+live, "NULL::bytea"),
		sweep:  remove("SELECT ctid AS at" + from + "exp <= $1::bigint AND format < 2 ORDER BY exp LIMIT $2::bigint FOR UPDATE"),
		due: "SELECT " + head + from + "exp <= $1::bigint AND format < 2 AND (exp, id) > ($2::bigint, $3::text) " +
			"ORDER BY exp, id LIMIT $4::bigint",
		sweepThese: remove("SELECT s.ctid AS at FROM " + t + " AS s JOIN unnest($1::text[], $2::text[]::uuid[], $3::bigint[]) AS d (id, rev, exp) " +
			"ON s.id = d.id AND s.rev = d.rev AND s.exp = d.exp WHERE s.format = 1 FOR UPDATE OF s"),
	}
}

// page returns the statement of a page. With values, the server ends it where
// driver.PageBytes are reached, and does not read the values after that.
func (s *statements) page(q *driver.Query) string {
	where := " FROM " + s.name + " WHERE id > $1::text AND (format <> 1 OR exp IS NULL OR exp > $2::bigint)" + s.label(q, "$4") +
		" ORDER BY id LIMIT $3::bigint"
	if q.KeysOnly {
		return "SELECT " + head + where
	}
	return "SELECT " + whole + " FROM (SELECT p.*, sum(octet_length(val)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - octet_length(val) AS before " +
		"FROM (SELECT " + whole + where + ") AS p) AS q WHERE before < " + strconv.Itoa(driver.PageBytes) + " ORDER BY id"
}

// count returns the statement of a count.
func (s *statements) count(q *driver.Query) string {
	return "SELECT count(*) FROM " + s.name + " WHERE format = 1 AND (exp IS NULL OR exp > $1::bigint)" + s.label(q, "$2")
}

func (s *statements) label(q *driver.Query, value string) string {
	if q.Label == "" {
		return ""
	}
	return fmt.Sprintf(" AND lab ? '%s' AND %s = %s::text", q.Label, labelText(q.Label), value)
}
