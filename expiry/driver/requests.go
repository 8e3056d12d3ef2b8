package driver

import (
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Get asks for one record.
type Get struct{ ID string }

// Gets returns a request for each id.
func Gets(ids ...string) []Get {
	out := make([]Get, len(ids))
	for i, id := range ids {
		out[i].ID = id
	}
	return out
}

// Write is a record and the condition to store it under.
type Write struct {
	Record model.Record // its Revision is new, minted by the caller
	Cond   Condition
	// Known is what the caller knows of the stored record, from an earlier
	// read or write. Under IfMatch its revision must match. Its other fields
	// save round trips and decide nothing.
	Known model.Record
	Keep  Keep
	// Encodings are those of the stored records that an update may replace:
	// a store must not overwrite what it could not read. Nil means any.
	Encodings []string
	// ValueOwned promises that nobody will change the bytes of Record.Value,
	// so that a backend may keep them without a copy.
	ValueOwned bool
}

// Keep names what an update leaves as it is.
type Keep struct {
	Expiry bool // ignore Record.ExpiresAt
	Labels bool // ignore Record.Labels
}

// TouchMode is what a Touch does to the expiry. The zero mode is ErrInvalid.
type TouchMode uint8

// The modes of a Touch.
const (
	_           TouchMode = iota
	TouchSet              // set it to ExpiresAt
	TouchExtend           // set it to ExpiresAt if that is later
	TouchClear            // remove it: the record never expires
)

// Touch changes the expiry of one record.
type Touch struct {
	ID        string
	Mode      TouchMode
	ExpiresAt time.Time // ignored by TouchClear
	// Cond is IfPresent or IfMatch. The zero Condition means IfPresent.
	Cond Condition
	// Known is what the caller knows of the stored record. Under IfMatch its
	// revision must match. Its other fields save round trips and decide
	// nothing.
	Known model.Record
}

// Delete removes one record.
type Delete struct {
	ID   string
	Cond Condition // IfPresent or IfMatch
	// Known is what the caller knows of the stored record. Under IfMatch its
	// revision must match. Its other fields save round trips.
	Known model.Record
}

// Query asks for a page of a listing.
type Query struct {
	Label, Value string // both empty: every record
	After        string // the Next of the page before, or empty
	Limit        int    // at least 1
	KeysOnly     bool   // leave out the values
}

// PageBytes is the size of values in bytes at which a page ends, so that a
// listing of large records fits into memory.
const PageBytes = 16 << 20

// Page is a part of a listing.
type Page struct {
	Records []model.Record
	Corrupt []string // ids of records that cannot be read, as far as known
	Next    string   // empty at the end
}

// Sweep asks for the removal of expired records.
type Sweep struct {
	Before   time.Time // records with an ExpiresAt up to it are removed
	Limit    int       // at least 1
	OnExpire func(model.Record) error
}

// Swept is the result of a sweep.
type Swept struct {
	Removed int
	Unknown int  // removals whose answer was lost
	More    bool // the limit was reached: expired records may be left
}
