// Package sqlite keeps records in a table of an SQLite database, for any number of
// processes on one machine.
//
//	db, err := sql.Open("sqlite", "file:app.db?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_txlock=immediate")
//	backend, err := sqlite.New(db, "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	err = store.CreateStorage(ctx)
//
// It is a Go module of its own. It registers modernc.org/sqlite, which is written in
// Go, under the name sqlite. New takes a database of any driver for database/sql
// that has SQLite 3.38 or later.
//
// If it is imported for its effect, package backends opens URLs such as
// sqlite:app.db?table=carts&labels=principal,sid. The parameters are:
//
//	table   the table; the default is sojourn
//	labels  Options.Labels
//
// It makes a missing file with the mode 0600, and opens at most 8 connections, with
// a write-ahead log (journal_mode WAL), synchronous FULL and no busy_timeout.
//
// # In the caller's transaction
//
// With [Backend.In] a store reads and writes in a transaction of the program, beside
// its own tables. Both are stored after the commit, and neither after a rollback. A
// condition that fails leaves the transaction as it is.
//
// Some rules can only hold from the commit on. Other nodes do not see the writes
// before (R1), and a rollback undoes acknowledged writes. A statement that has begun
// runs to its end, also if its context ends (R94): SQLite would undo the
// whole transaction. Waits for a lock are those of busy_timeout, and do not count
// (R100). OnExpire must use the Backend of In too: that of New waits for the
// transaction.
//
// A transaction that reads first and then writes is refused if another connection
// has written in between. Begin it with the lock for writing: with
// _txlock=immediate in the name of the database, the drivers do so.
//
// # What is stored where
//
// A record is one row, whose table StoragePlan prints:
//
//	id      BLOB     the id
//	format  INTEGER  the version of this format: 1
//	rev     BLOB     the revision
//	exp     INTEGER  the expiry, in milliseconds since 1970; NULL is never
//	lab     TEXT     the labels, as JSON; NULL without labels
//	enc     BLOB     the encoding's name
//	val     BLOB     the value's bytes
//
// An index has expiry and id, and for each label one has its value and id. The
// labels are in the row, so a write has one place.
//
// The table is STRICT, and its constraints refuse half a record. What they cannot
// refuse, such as a row of a newer format, is ErrCorrupt for each call. Only an
// upsert replaces it, and sweeps leave it.
//
// CreateStorage returns ErrCorrupt, and changes nothing, if another program has the
// name. DeleteStorage drops the table. If another program has added a column, an
// index or a trigger, it removes only the records and returns ErrCorrupt.
//
// # Consistency
//
// A write is one statement with its condition, and SQLite runs one write at a time.
// If it changes nothing, a second statement reads why. If the record meets the
// condition by then, another connection came in between, and the write is sent again,
// up to eight times. It was not applied before.
//
// A database that another connection has locked is a wait. The backend tries again
// after a short pause, until its context ends. It waits by itself: with busy_timeout
// SQLite waits too, which does not count for rule R100. Writers of one Backend wait
// for each other in a queue. What a call waits for a lock, the queue or a connection
// counts. If a connection seems to be free, the wait for it counts from 100 ms on.
//
// A call returns when its context ends. A statement that does not end, as on a disk
// that does not answer, goes on by itself. A write is ErrUnknown then, after 50 ms
// more. An error of the disk during a write is ErrUnknown, and no read can decide it
// (driver.MarkUndecidable). All other errors of SQLite are ErrUnavailable, and nothing
// has changed. Errors are known by SQLite's English texts, which all drivers have.
//
// Acknowledged writes outlive a power cut with synchronous FULL, and readers do not
// wait for writers with the journal WAL. Check looks at both. A file on a network's
// file system does not work with WAL (https://sqlite.org/wal.html).
//
// # Limits
//
//   - Values have at most 64 MiB. SQLite itself allows 1 GB (https://sqlite.org/limits.html).
//     Lifetimes are unlimited. No feature is absent.
//   - A table's name has at most 200 bytes, without A-Z: SQLite takes A for a.
//   - A page ends at 16 MiB of values, and after 1,000 rows beyond its limit, such as
//     expired records. It has at most 2,000 records.
//   - A sweep removes at most 500 records with one statement.
//   - Before CreateStorage, and after DeleteStorage, calls are ErrUnavailable.
//   - WriteMany is one transaction. If it fails, all operations have its error.
//   - Each connection to a database in memory (:memory:) has one of its own: set
//     SetMaxOpenConns(1).
//
// # Permissions
//
// The process needs to write the file and its folder, in which SQLite makes the
// write-ahead log. With a database that is open for reading only, reads work.
//
// # Cost per call
//
// The number of statements:
//
//	Get, Page                         1
//	Write, Touch, Delete              1
//	  if the condition fails          2
//	GetMany                           1 for each record
//	WriteMany                         2, and 1 for each operation
//	DeleteExpired                     1 for 500 records
//	  with OnExpire                   2, or 1 if nothing has expired
//	Check                             2
//	CreateStorage                     6, and 1 for each index; 5 if it exists
//	DeleteStorage                     4
//	Count                             1 for 1,000 records
//
// SQLite parses each statement again, which is most of what a read costs. A read takes
// three times as long as a plain one by hand, and a write twice (BenchmarkFloor). A
// sweep of 1,000 among a million records took 28 ms (BenchmarkFloorSweep).
//
// # Tried
//
// The whole suite and the sessions ran with modernc.org/sqlite 1.62 (SQLite 3.54) on
// Linux, on a file system in memory, with a database for each node, and two processes
// on one file. With github.com/ncruces/go-sqlite3 0.37 the sessions and 389 of the 429
// cases of records ran: those that need no faults of the driver.
package sqlite
