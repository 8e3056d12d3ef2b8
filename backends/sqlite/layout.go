package sqlite

import "strings"

// quoted returns a name for SQL.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

const (
	// The columns of a row as rows scans them, without and with its value.
	head  = "id, format, rev, exp, lab, enc, NULL"
	whole = "id, format, rev, exp, lab, enc, val"
	// readable is the condition that decode can read the row.
	readable = "format = 1 AND NOT EXISTS (SELECT 1 FROM json_each(lab) WHERE type <> 'text')"
)

// columns hold what a read needs, so that no row of this format is half a record.
// SQLite's JSON ends at a NUL, encoding/json's does not.
const columns = ` (
	id BLOB PRIMARY KEY NOT NULL,
	format INTEGER NOT NULL CHECK (format >= 1),
	rev BLOB NOT NULL CHECK (length(rev) = 16 AND rev <> zeroblob(16)),
	exp INTEGER CHECK (exp BETWEEN -62135596800000 AND 253402300799999),
	lab TEXT CHECK (json_valid(lab) AND json_type(lab) = 'object' AND instr(lab, char(0)) = 0),
	enc BLOB NOT NULL,
	val BLOB NOT NULL`

// create returns the statement that creates the table.
func (b *Backend) create() string { return "CREATE TABLE " + b.name + columns + "\n) STRICT" }

// The indexes have the table's name and one of these.
const (
	ofExpiry = " expiry"
	ofLabel  = " label " // and the label's name, which needs no escape
)

// indexes returns the names of the table's indexes.
func (b *Backend) indexes() []string {
	all := []string{b.table + ofExpiry}
	for _, label := range b.gate.Labels() {
		all = append(all, b.table+ofLabel+label)
	}
	return all
}

// createIndex returns the statement that creates an index.
func (b *Backend) createIndex(name string) string {
	what := "(exp, id) WHERE exp IS NOT NULL AND format = 1"
	if label, ok := strings.CutPrefix(name, b.table+ofLabel); ok {
		what = "(lab ->> '" + label + "', id) WHERE lab ->> '" + label + "' IS NOT NULL"
	}
	return "CREATE INDEX " + quoted(name) + " ON " + b.name + " " + what
}

// StoragePlan returns the statements of CreateStorage.
func (b *Backend) StoragePlan() string {
	plan := b.create() + ";\n"
	for _, name := range b.indexes() {
		plan += b.createIndex(name) + ";\n"
	}
	return plan
}
