// Package file keeps records as files in a directory, for one or many processes
// of one machine.
//
//	backend, err := file.New("/var/lib/app", "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//
// If it is imported for its effect, package backends opens URLs such as
// file:/var/lib/app?name=carts&labels=principal,sid. docs/urls.md lists the
// parameters.
//
// # What is stored where
//
// The store is a folder with its name below the directory. All names are lower
// case and at most 143 bytes long:
//
//	records/<shard>/<file>                                 the records, in 256 shards by a hash of the id
//	labels/l-<label>/<2>/<62 digits>/<shard>.<file>        empty; the digits are a hash of the label's value
//	expiry/<day>/<minute of the day>/<shard>.<file>        empty; the minute in which the record expires
//	tmp/<lock>-<random>                                    records that are being written
//	locks/<00 to 3f>                                       64 lock files, each for four shards, with notes for counts
//	locks/counts                                           what a process has counted
//	redo/<random>.log, floors, open, fold                  logs of the last writes, one for each Backend, and their locks
//
// The file name of a short id is i- and the id. Bytes other than a-z 0-9 - _
// become = and two digits. If the name would be longer than 130 bytes, it is h-
// and the id's SHA-256.
//
// The file holds the id, the revision, the expiry in milliseconds since 1970,
// the labels, the encoding's name and the value. A magic word, a format
// version, the length and a CRC32C of everything stand before them; see
// driverkit.AppendRecord.
//
// A file that is truncated, foreign or of a newer format is ErrCorrupt for
// every call, Delete included. Only an upsert replaces it. The same holds for a
// named pipe, a socket or a symbolic link out of the shard under a record's
// name, and for a folder, which an upsert does not replace.
//
// # Consistency
//
// Every read returns what the last acknowledged write stored. A write holds
// the record's lock: flock, LockFileEx on Windows, or fcntl on AIX and Solaris.
// The lock also excludes other processes, and the system releases it when a process is killed. Under
// the lock, the write reads the record, decides, writes a temporary file and
// renames it over the record. Get takes no lock. It returns either the old or
// the new record as a whole.
//
// A listing holds a shard's lock while it reads the shard's names. Some file
// systems, such as tmpfs, hide a name from a reader of the folder while a
// rename replaces its file. A process that may only read lists without the
// lock.
//
// A call that waits for a lock returns when its context ends. What it waits for
// locks, and in a batch for its turn, counts: a record that expires meanwhile
// has expired for it. A call that has
// begun to write runs to its end, whether or not the context ends. Nothing can
// interrupt a call to a file system that hangs.
//
// A write proceeds in this order:
//
//   - It writes the temporary file and makes the new index entries.
//   - It appends the record to the Backend's log, and syncs that together with other
//     goroutines.
//   - It renames the temporary file.
//   - It removes the index entries that only the old record had.
//
// A log of 4 MiB is folded: one sync of the whole file system (syncfs) makes the
// files durable, and a new log begins. Close does so too. A process that opens a
// store that nobody uses applies the logs that it finds. A process that may only read
// then returns ErrUnavailable. docs/adr/0042 has the protocol. Versions of this
// package before the log must not use the store at the same time.
//
// The log needs ext4, XFS, Btrfs, F2FS or tmpfs, and Linux 5.8 or newer. Elsewhere a
// write syncs the file and the folders of the entries, all at the same time, before
// the rename, and the shard after it.
//
// So at every instant an acknowledged record is complete and found by its
// labels, even if the process is killed or the power is cut. A crash leaves
// only temporary files and index entries without their record. Readers check
// each entry against the record. The sweep removes temporary files and the
// entries that their writes made. A listing by label removes the entries
// without a record that it reads. Each removal holds the record's lock, so that
// it never takes a write in progress for a leftover. Empty folders of days and
// minutes stay until a sweep. Lock files and the 256 folders below a label's own
// stay as long as the store.
//
// [Backend.Rebuild] makes the indexes again, while others write. It is for a
// store whose labels or expiry folder was lost or damaged, or whose records
// alone were restored from a backup. CreateStorage does not do this, because it
// would read every record at each start of a program.
//
// DeleteExpired reads a record again under its lock before it removes the
// record. So any number of sweepers together count each removal once.
//
// If a step before the rename fails, the error is ErrUnavailable and nothing is
// applied. If the sync of the log fails, the error is ErrUnknown: the change is not
// visible, but a power cut may bring it back. If without a log the sync after the
// rename or removal fails, the error is ErrUnknown too: the change is visible, but a
// power cut may undo it.
//
// # Limits
//
//   - Values have at most 64 MiB. Lifetimes are unlimited. No feature is
//     absent.
//   - The file system must have locks, atomic renames and a reliable fsync. On
//     NFS, locks need version 4 or a lock daemon, and a rename whose answer is
//     lost is ErrUnknown. Directories that several machines share in other ways
//     are not supported.
//   - A folder counts as durable after the process that made it has synced its
//     parent. Another process that uses the folder before that relies on the
//     file system to keep the order. ext4, XFS, Btrfs and APFS do so.
//   - Each Backend opens at most 256 shards, 64 locks and a few folders, as it
//     needs them.
//   - The first page of a listing by label reads the names of all records that
//     bear the value. The Backend keeps the first 65,536 of them for the next pages,
//     and 262,144 of all listings and sweeps. It holds at most twice as many while it
//     reads. Pages of all records read the names
//     of one shard after the other. Each Backend that goes on with a listing reads the
//     names once. A page that is asked for again reads them again.
//   - A page ends at 16 MiB of values: it holds no more than that and one value.
//     A sweep holds one value at a time.
//   - A listing may leave out a record that was created, or got the label, after
//     its first page.
//   - A page token stays valid as long as the storage exists. Listings follow
//     the shard and the file name, which no write changes.
//   - A record whose file the process may not read, or whose place on the disk is
//     damaged (EIO), is ErrUnavailable for Get and for writes. Listings name it in
//     Page.Corrupt; counts and sweeps leave it out.
//   - The first count without a label reads all records, and saves what it found. The
//     Backend then keeps 8 bytes for each record and reads only what has changed, in
//     any process: of the last 1,024 changes of each lock. Else, and after a Rebuild,
//     it reads the records of that lock again. The first count of the next Backend
//     reads the shards that have changed since, on the file systems that have a log.
//     A record that is damaged after it was counted stays counted.
//   - Stat reads the whole file, like Get: only then is a damaged one found.
//
// With Options.NoSync nothing is synced. A killed process still loses nothing,
// but a power cut may lose or damage the last writes.
//
// # Permissions
//
// Files have the mode 0600 and folders 0700, or those of Options.FileMode and
// Options.DirMode. What root makes belongs to the owner and group of the folder
// that it is made in. So a maintenance job of root leaves nothing that the
// program itself cannot use, if the directory belongs to the program's user.
//
// The store's folder is the store's alone. CreateStorage, and the first write to
// a store without folders, return ErrCorrupt if another program has made
// something there, and change nothing. DeleteStorage leaves it and returns
// ErrCorrupt. A name that begins with a dot, or is lost+found, only counts for
// DeleteStorage.
//
// Every path is opened below the
// store's folder with [os.Root], which refuses symbolic links out of it. Such a
// link is ErrCorrupt under a record's name and ErrUnavailable elsewhere. A user
// who may read the folder may get and list. Every write needs write permission
// on the whole store.
//
// # Cost per call
//
// The table has the system calls on Linux, with open folders, and the fsyncs
// among them, if there is no log. With a log each write has one sync, and a sweep
// one for each lock, which they share. CreateStorage then has 3.
//
//	Get                               5    0   open, register, stat, read, close
//	Create                           23    2
//	Create with expiry and label     47    4   three of them at the same time; one fsync more for each new folder: 2 for a label value's
//	                                           first record, 1 for a minute's, 1 for a day's
//	Update, Touch                    26    2   one fsync more if the label or the minute changes
//	Touch that changes nothing        8    0
//	Delete                           14    1
//	Delete with expiry and label     28    1
//	A change that is counted          3    0   more than the same without a count
//	Count                            64    0   64 more after changes; by label and the first time 5 for each record; some
//	                                           1,000 the first time after another process, and 5 for each record of a changed shard
//	Page                              5 for each record, and a read of each folder of names for the listing
//	WriteMany                         the same for each operation, 8 at a time: their syncs share the journal's commits
//	CreateStorage                     8 fsyncs for a new store, one of them for all shards
//	DeleteStorage                     2 fsyncs: the records are removed durably before their indexes; with logs 2 more, after logs 1 more
//	Rebuild                           three reads of each record; for each missing entry the same as a create
//	DeleteExpired                     one read of each due minute's names, two Gets and a removal for each record, and
//	                                  for up to 512 records one fsync for each of their shards, 16 at the same time
//
// On a disk, the syncs take nearly all of a write's time. A write takes a few
// hundredths longer than the same files and syncs without locks, conditions and
// os.Root (BenchmarkFloor). With NoSync in memory it takes 1.2 to 1.8 times as
// long, because only the system calls are left.
//
// # Other systems
//
// On macOS, fsync reaches the medium (F_FULLFSYNC) and flock works as on Linux.
// Windows syncs files but not folders: a power cut may lose the last writes,
// each as a whole. AIX and Solaris lock with fcntl. Systems without locks
// (WebAssembly, Plan 9) exclude only the goroutines of one Backend. On those
// systems a store must have only one Backend.
package file
