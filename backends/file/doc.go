// Package file keeps records as files in a directory, for one or many processes
// of one machine.
//
//	backend, err := file.New("/var/lib/app", "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//
// # What is stored where
//
// The store is the folder of its name below the directory. All names are lower
// case and at most 143 bytes long:
//
//	records/<shard>/<file>                                 the records, in 256 shards by a hash of the id
//	labels/l-<label>/<2>/<62 digits>/<shard>.<file>        empty; the digits are a hash of the label's value
//	expiry/<day>/<minute of the day>/<shard>.<file>        empty; the minute in which the record expires
//	tmp/<lock>-<random>                                    records under way
//	locks/<00 to 3f>                                       64 lock files, each for four shards
//
// A short id is its file's name: i- and the id, where bytes other than a-z 0-9
// - _ are = and two digits. One whose name would be longer than 130 bytes is
// h- and its SHA-256. The record holds the id, the revision, the expiry in
// milliseconds since 1970, the labels, the encoding's name and the value, behind
// a magic word, a format version, the length and a CRC32C of all: see codec.go.
// A file that is truncated, foreign or of a newer format is ErrCorrupt to every
// call, Delete included; only an upsert replaces it. So is a folder, a symbolic
// link that leads out of its shard or a named pipe in a record's place.
//
// # Consistency
//
// A write holds the record's lock (flock, and LockFileEx on Windows, so that
// processes exclude each other and a killed one lets go), reads what is there,
// decides, writes a temporary file and renames it over the record. Get takes no
// lock and sees one whole record or the other. A listing holds a shard's lock
// while it reads the shard's names, since some file systems (tmpfs for one)
// hide a name from who reads the folder while a rename replaces its file; a process that may only
// read lists without. Who waits for a lock gives up when its context ends. A
// call that has begun to write runs to its end: the context no longer counts.
//
// The temporary file is synced, the index entries are made and their folders
// synced, then comes the rename and the sync of the shard. What the old record
// alone had in the indexes goes last. So at every instant, a kill or a power
// cut included, an acknowledged record is whole and found by its labels. What
// a crash leaves are temporary files and entries without their record. Readers
// check each entry against the record; the sweep removes temporary files and
// what their writes left in the indexes; a listing by label removes the strays
// that it meets. All of that happens under the record's lock, so that a write
// under way is never taken for a leftover.
//
// Should the labels or expiry folder be lost or damaged, or records alone be
// restored from a backup, [Backend.Rebuild] makes the indexes again, while
// others write. CreateStorage does not: it would read every record at each
// start of a program.
//
// A removal by DeleteExpired is one under the record's lock, after reading the
// record again, so that any number of sweepers count each once.
//
// An error of a step before the rename is ErrUnavailable, and nothing is
// applied. Where the sync after the rename or removal fails the error is
// ErrUnknown: the change is visible, and may be undone by a power cut.
//
// # Limits
//
//   - Values: 64 MiB.
//   - Labels and expiry: none absent. MaxTTL: none.
//   - The file system must have locks, atomic renames and an fsync that means
//     it. On NFS locks need version 4 or a lock daemon, and a rename whose
//     answer is lost is ErrUnknown. Directories that several machines share in
//     other ways are not supported.
//   - A folder is taken to be durable once its parent was synced by the process
//     that made it; another process that uses it within that moment relies on
//     the file system to keep the order (ext4, XFS, Btrfs and APFS do).
//   - Open files: at most 256 shards, 64 locks and a few folders for each
//     Backend, opened as they are needed.
//   - A page of a listing by label reads the names of all that bear the value,
//     and the records of the page; a page of all reads the names of a shard.
//
// With Options.NoSync nothing is synced: a kill still loses nothing, a power
// cut may.
//
// # Permissions
//
// Files are made with mode 0600, folders with 0700. All is opened below the
// store's folder by [os.Root]: a symbolic link that leads out of it is refused,
// as ErrCorrupt in a record's place and as ErrUnavailable elsewhere. Who may
// read the folder may get and list; every write needs write permission on the
// whole store.
//
// # Cost
//
// Calls to the system, with open folders, on Linux; fsyncs among them:
//
//	Get                               5    0   open, register, stat, read, close
//	Create                           22    2
//	Create with expiry and label     46    4   one fsync more for each folder that is new: a label's first
//	                                           record 2, a minute's first 1, a day's first 1
//	Update, Touch                    25    2   one fsync more where the label or the minute changes
//	Touch that changes nothing        8    0
//	Delete                           13    1
//	Delete with expiry and label     27    1
//	Page                              a read of the names and 5 for each record
//	WriteMany                         the same for each, 8 at a time: their syncs share the journal's commits
//	CreateStorage                     8 fsyncs where nothing is there, one of them for all shards
//	DeleteStorage                     2 fsyncs: the records are gone for good before their indexes go
//	Rebuild                           three reads of each record; as a create for each entry that is missing
//	DeleteExpired                     a read of the due minutes, two Gets and a removal for each record,
//	                                  one fsync for up to 64 records of a shard and minute
//
// On a disk a write takes as long as its syncs: within a few hundredths of the
// same files and syncs made by hand, without lock, condition and confinement
// (BenchmarkFloor). With NoSync in memory, where only the calls are left, it
// takes 1.2 to 1.8 times as long.
//
// # Other systems
//
// On macOS fsync reaches the medium (F_FULLFSYNC) and flock works as on Linux.
// Windows syncs files but no folders: after a power cut the last writes may be
// missing, as a whole. Systems without flock or LockFileEx (Solaris, AIX,
// WebAssembly) exclude the goroutines of one Backend only: there a store must
// have one Backend and no more.
package file
