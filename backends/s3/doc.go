// Package s3 keeps Sojourn's records in a bucket of Amazon S3, or of a server
// that speaks its protocol and has conditional writes, such as MinIO.
//
//	client := awss3.NewFromConfig(cfg)
//	backend, err := s3.New(client, "my-bucket", "app/carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	err = store.CreateStorage(ctx)
//
// # What is stored where
//
// A store is a prefix of a bucket, which other stores and other programs may
// share. Its objects are
//
//	PREFIX/r/NAME                               the record, or a tombstone
//	PREFIX/x/HOUR/MS.NAME.STAMP                 the index by expiry: not later than the record's
//	PREFIX/l/LABEL/HASH/NAME.STAMP              a record bears that label; empty
//	PREFIX/p/STAMP                              for a moment, while CreateStorage tries the server
//	PREFIX/store.json                           the layout's version, and what the server can do
//
// NAME is i- and a short id, where bytes other than a-z A-Z 0-9 - _ are = and
// two digits; of an id whose name would be longer than 130 bytes it is h- and
// its SHA-256. HASH is the SHA-256 of the label's value, HOUR and MS are hours
// since 1970 in 8 digits and milliseconds within it in 7, STAMP is 8 random
// bytes that name the write that made the entry. An entry by expiry has in its
// body the keys of the label entries that the record relies on, one on a line.
// A key has at most 256 bytes of prefix and 300 more.
//
// A record is one object: a head of at least 128 bytes with the format version,
// revision, expiry (milliseconds since 1970), labels, id, encoding, the stamps
// of its index entries and checksums, and behind it the value's own bytes. See
// codec.go. A tombstone is 64 bytes, always the same, and counts as absent.
// Anything else under a record's key is ErrCorrupt for that id; only an upsert
// overwrites it. Objects of other keys are ignored, and stay when the store is
// deleted.
//
// # Expiry
//
// The caller's clock decides what is live. S3 cannot remove single objects by a
// time of their own, so run a Sweeper: nothing else removes expired records. An
// extension makes no index entry: the sweep finds the old one and moves it.
//
// # Removals
//
// AWS deletes on condition of an ETag; MinIO ignores the condition and deletes
// whatever is there. CreateStorage tries it and writes what it found into
// store.json, which each process reads at its first removal. Where the server
// heeds the condition, and still calls itself by the same name, records are
// deleted. Elsewhere a removed record is replaced by a tombstone, on condition of
// its ETag, which is as exact; a tombstone is 64 bytes and stays until a
// lifecycle rule takes it. Every record is longer than 128 bytes, so that the
// rule tells them apart by size, which needs no tags and no permission for them:
//
//	{"Rules": [{"ID": "sojourn-tombstones", "Status": "Enabled", "Expiration": {"Days": 1},
//	            "Filter": {"And": {"Prefix": "PREFIX/r/", "ObjectSizeLessThan": 128}}}]}
//
// StoragePlan prints it with the prefix. CreateStorage does not add it: a bucket
// has one lifecycle configuration, which it would have to replace.
//
// A bucket that keeps versions keeps every value, the expired and deleted ones
// too: CreateStorage refuses it, unless Options.AllowVersioned; then add a rule
// for noncurrent versions. Object Lock forbids what this package does.
//
// # Consistency
//
// S3 reads and lists what was written last. A record changes in one conditional
// PutObject. Its index entries are written before it, each under a key of this
// write's own, and the record says which it relies on: so every acknowledged
// record is found by its labels, removing an entry never takes what another write
// relies on, and a crash leaves only strays. Readers check each entry against its
// record. Strays older than Options.StrayGrace, by the server's clock, are
// removed by the sweep and by the listings and counts by label that meet them.
//
// Strays come about in other ways too: an upsert, which knows nothing of what it
// overwrites, a label that changes and an expiry that moves to an earlier time
// leave the old entries to the sweep. Those of a record that bears labels, never
// expires and is upserted are removed by a listing alone; so is the label entry of
// a write that stopped before the entry by expiry, which is sent at the same time,
// had arrived. A record whose write
// was still under way when a sweep came upon its entry is swept once the entry
// is older than StrayGrace.
//
// A listing is no snapshot: each page shows its records as they are when it is
// read. Its order is that of names.
//
// A write is sent once. The SDK's resending is limited to what S3 has refused,
// by throttling (503 SlowDown) or for a wrong clock; after a broken connection, a
// timeout or another server's error the outcome is ErrUnknown. 409, with which S3
// refuses a write that meets another, is tried again for some two seconds. Index
// entries may be sent again: nothing reads them before their record is there.
// Reads are retried as the client is configured.
//
// The SDK's checksums are sent only where S3 demands one: its trailing ones break
// servers of other makes. Options.ClientChecksums leaves them as the client has
// them. Values are checked against a SHA-256 of their own at each read.
//
// # Limits
//
// A value has at most Options.MaxValue bytes, 16 MiB by default, 1 GiB at most,
// and is held in memory twice while it is sent. At most 32 labels are declared;
// nodes whose Options differ may share a store. Directory buckets (S3 Express)
// list in no order and are refused. S3 takes 3,500 writes and 5,500 reads a
// second for each part of the key space, which it splits as they grow; entries
// by expiry are written in the order of time, so that they share one part.
// The client's HTTP transport should keep 16 idle connections to the host.
// Storage classes with a minimal duration or a retrieval fee do not fit.
//
// # Permissions
//
// Programs need the first two statements, CreateStorage the third as well. Without
// ListBucket on the whole bucket S3 answers 403 in place of 404. Without
// GetBucketVersioning a bucket that keeps versions is not noticed.
//
//	{"Version": "2012-10-17", "Statement": [
//	  {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
//	   "Resource": "arn:aws:s3:::BUCKET/PREFIX/*"},
//	  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::BUCKET"},
//	  {"Effect": "Allow", "Action": ["s3:CreateBucket", "s3:GetBucketVersioning"], "Resource": "arn:aws:s3:::BUCKET"}]}
//
// # Cost
//
// Requests: those that write or list cost 5.00 dollars a million, those that read
// 0.40, deletes nothing; for the Standard class in us-east-1 by AWS's price page,
// https://aws.amazon.com/s3/pricing, without storage, transfer and encryption keys.
//
//	                                             requests               dollars for a million calls
//	Get                                          1 read                 0.40
//	Create, Upsert                               1 write                5.00
//	  with an expiry, with labels                1 write for each more  5.00 for each more
//	compare-and-set with a hint                  1 write                5.00
//	Update; compare-and-set without a hint       1 read, 1 write        5.40
//	  that changes labels                        1 write for each new   5.00 for each more
//	                                             one and 1 for expiry
//	  whose expiry comes, or moves earlier       1 write more           5.00 more
//	Touch with a prev that has the value         1 write                5.00
//	Touch by id alone                            1 read, 1 write        5.40
//	  from never, or to an earlier time          1 write more           5.00 more
//	Touch that changes nothing                   1 read                 0.40
//	Delete with a prev                           1 write, or 1 delete   5.00, or nothing
//	Delete by id alone                           1 read more            0.40 more
//	  of a labelled record                       1 delete more          nothing
//	create over an expired record or tombstone   2 writes, 1 read       10.40
//	Page of n records                            1 list, n reads        5.00, 0.40 n
//	Page by label of n records                   1 list, n reads        5.00, 0.40 n
//	Count by label                               1 list for 1,000, n reads
//	Count                                        1 list for 1,000 of the whole store, those of what is due,
//	                                             1 read for each record that has expired
//	GetMany, WriteMany                           as single calls, 16 at a time
//	DeleteExpired of k records                   1 list for what is due, k reads, k writes or deletes,
//	                                             1 or 2 deletes for 256; 1 read and 1 write for each entry
//	                                             whose record was extended since, 1 or 2 reads for a stray
//	Ping                                         1 read
//	CreateStorage                                10 to 12
//
// The entries before a record are written at the same time, so that a create
// with an expiry and a label takes as long as two writes. A record that bears
// labels and never expires has an entry by expiry too, for its strays' sake. A
// failed condition costs the read that tells why, and one delete for the entries
// that were made in vain; a compare-and-set answers with the winner and its
// value. The first removal of each process reads store.json. KeysOnly, Update,
// Delete, Count and sweeps read 2 KB of each record, whatever its size.
package s3
