// Package bbolt keeps records in a bbolt file, for one process.
//
//	db, err := bolt.Open("app.db", 0o600, &bolt.Options{Timeout: time.Second})
//	backend, err := bbolt.New(db, "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//
// It is a Go module of its own. If it is imported for its effect, package
// backends opens URLs such as bbolt:app.db?bucket=carts&labels=principal,sid. The
// parameters are:
//
//	bucket     the store's bucket; the default is sojourn
//	labels     Options.Labels
//	timeout    how long to wait for a process that has the file open; the default is 1s
//	no_sync    as in bbolt.Options: a power cut may damage the whole file
//	file_mode  of a new file; the default is 0600
//
// One process alone can open a file, and once. The error says which process has
// it. Several stores of one file share a *bbolt.DB, each by its own New.
//
// # What is stored where
//
// The store is a top-level bucket with its name. StoragePlan prints what stands in
// it: the records by id, and the index entries of labels and expiries. The
// record has a format version and a checksum; see driverkit.AppendRecord.
//
// Bytes that are truncated, foreign or of a newer format are ErrCorrupt for every
// call, Delete included. Only an upsert replaces them. It reads all index entries
// to find those of the damaged record.
//
// # Consistency
//
// Each call is one transaction, and a record and its index entries change in the
// same one. Reads see the last commit and wait for no writer. The calls of a
// Backend that wait for the writer's turn share one commit, and so one sync of
// the disk. If a call of them fails for a fault of the file, all of them have
// changed nothing.
//
// [Backend.In] writes in the program's own transaction, beside its own data.
//
// A call that waits returns when its context ends. Bbolt cannot be told to stop
// waiting, so a goroutine waits in its place and ends by itself. A writer waits
// for the writer before it. Readers wait only while a writer makes the file
// grow, which waits for the oldest reader. If the context ends during the
// commit, the call waits for 50 ms and then returns ErrUnknown.
//
// What a call waits behind other calls of the Backend counts: a record that
// expires meanwhile has expired for it. What it waits for the program's own
// transactions, or other Backends, counts from 100 ms on. Bbolt has no lock to try
// first, and a shorter time may be one in which the process did not run.
//
// A commit that fails is ErrUnknown. After a failed sync a read cannot decide the
// outcome (driver.MarkUndecidable). A file that cannot grow is ErrUnavailable,
// and nothing has changed. A panic of bbolt over a damaged page is
// ErrUnavailable before the commit and ErrUnknown during it.
//
// # Limits
//
//   - Values have at most 64 MiB. Lifetimes are unlimited. No feature is absent.
//     Bbolt itself allows 2 GiB for a value (bbolt.MaxValueSize).
//   - A name of a bucket has at most 255 bytes.
//   - A page ends at 16 MiB of values, and after 1,000 entries beyond its limit,
//     such as expired records.
//   - A sweep removes at most 500 records in one transaction.
//   - Bbolt maps the file into memory. If another program cuts it short, or the disk
//     fails, the system may end the process (SIGBUS).
//   - The file does not shrink. Bbolt uses the room of removed records again.
//   - A transaction of the program that reads for long keeps old pages alive, and
//     may make writers wait (bbolt, "Caveats & Limitations").
//   - Before CreateStorage, reads find nothing and updates are ErrNotFound. A
//     create or upsert makes the storage.
//
// # Permissions
//
// The process needs to read and write the file. With a database that is open for
// reading only, reads work and writes are ErrUnavailable.
//
// The store's bucket is the store's alone. CreateStorage, and the first create,
// return ErrCorrupt if another program has made something there, and change
// nothing. DeleteStorage leaves it and returns ErrCorrupt.
//
// # Cost per call
//
// The table has the transactions that read and that write, and the commits. Each
// commit syncs the disk twice.
//
//	Get, GetMany, Page               1  0  0
//	Write, Touch, Delete             0  1  1   of all calls that wait together
//	the same, if it changes nothing  0  1  0
//	WriteMany                        0  1  1
//	DeleteExpired                    1  1  1   for 500 records
//	DeleteExpired, nothing due       1  0  0
//	CreateStorage                    2  1  1   0 and 0 if it exists
//	Count                            one Page for 1,000 records
//
// A read whose context can end also takes a goroutine, which on a busy machine
// costs more than the read. 16 writers on a disk get 7 times as many writes a
// second as one (BenchmarkFloorWriters).
//
// # Tried
//
// The whole suite and the sessions ran with bbolt 1.5.0 on Linux, on a file system in
// memory without syncs.
package bbolt
