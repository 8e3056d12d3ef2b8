// Package s3 keeps Sojourn's records in a bucket of Amazon S3, or of another
// server with its protocol and with conditional writes, such as MinIO.
//
//	client := awss3.NewFromConfig(cfg)
//	backend, err := s3.New(client, "my-bucket", "app/carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	err = store.CreateStorage(ctx)
//
// If it is imported for its effect, package backends opens URLs such as
// s3://bucket/carts?region=eu-west-1&labels=principal,sid. docs/urls.md lists the
// parameters.
//
// # What is stored where
//
// A store is a prefix of a bucket. Other stores and other programs may share the
// bucket. The objects of a store are
//
//	PREFIX/r/NAME                               the record, or a tombstone
//	PREFIX/x/HOUR/MS.NAME.STAMP                 an entry of the index by expiry
//	PREFIX/l/LABEL/HASH/NAME.STAMP              an entry of the index by label; empty
//	PREFIX/p/STAMP                              a test object of CreateStorage, for a moment
//	PREFIX/store.json                           the layout's version and the server's features
//
// NAME is "i-" and a short id: bytes other than a-z A-Z 0-9 - _ become = and two
// digits. If that is longer than 130 bytes, NAME is "h-" and the SHA-256 of the
// id. HASH is the SHA-256 of the label's value. HOUR is 8 digits, the hours since
// 1970. MS is 7 digits, the milliseconds within the hour. STAMP is 8 random bytes
// of the write that created the entry. The body of an entry by expiry has the
// keys of the record's label entries, one on each line. A key has at most 300
// bytes and the prefix, which has at most 256.
//
// A record is one object: a head of at least 128 bytes and the bytes of the
// value. The head has these fields in binary form:
//
//	format version, id, encoding, labels
//	revision                   16 bytes
//	expiry                     milliseconds since 1970, 8 bytes
//	stamps                     of the write and of its index entries, 8 bytes each
//	checksums                  CRC32C of the head, half of a SHA-256 of the value
//
// A tombstone is always the same 64 bytes and counts as absent. Any other object
// under a record's key is ErrCorrupt for that id, and only an upsert overwrites
// it. Objects with other keys are ignored.
//
// CreateStorage returns ErrCorrupt, and writes nothing, if an object below the
// prefix belongs to no store. In a store that exists it looks only beside the
// store's folders. DeleteStorage removes the store's objects. If others are
// below the prefix, they stay, and it returns ErrCorrupt with the key of one.
// Empty objects that stand for folders do no harm, and neither do other stores
// below the prefix.
//
// # Expiry
//
// The caller's clock decides which records are live. S3 has no expiry for single
// objects, so run a Sweeper: nothing else removes expired records. An extension
// creates no index entry. The sweep finds the old entry and moves it.
//
// # Removals
//
// AWS has conditional deletes: it deletes an object only if it has a given ETag.
// MinIO ignores the condition and deletes any object. CreateStorage tests this
// and writes the result into store.json. Each process reads that object at its
// first removal. Records are deleted if the server passed the test and still has
// the same name.
//
// On other servers a tombstone replaces a removed record, on condition of the
// record's ETag. That is as exact as a conditional delete. A tombstone stays
// until a lifecycle rule removes it. Every record has at least 128 bytes, so the
// rule selects tombstones by size and needs no tags:
//
//	{"Rules": [{"ID": "sojourn-tombstones", "Status": "Enabled", "Expiration": {"Days": 1},
//	            "Filter": {"And": {"Prefix": "PREFIX/r/", "ObjectSizeLessThan": 128}}}]}
//
// StoragePlan prints the rule with the prefix. No method adds it: a bucket has
// one lifecycle configuration, and a change replaces the rules of all programs.
// Add the rule to those that the bucket has, and read it back. On a server that
// drops ObjectSizeLessThan, it would remove every record.
//
// A bucket that keeps versions keeps every value, expired and deleted ones
// included. CreateStorage refuses such a bucket unless Options.AllowVersioned is
// set. Add a rule for noncurrent versions then. Buckets with Object Lock do not
// work: a locked object cannot be removed.
//
// # Consistency
//
// S3 reads and lists what was written last. A record changes with one conditional
// PutObject. Its index entries are written before it. Each entry has a key that
// no other write uses, and the record says which entries it relies on. Three
// things follow: every acknowledged record is found by its labels, removing an
// entry never affects another write, and a crash leaves only strays. Readers
// check each entry against its record.
//
// A stray is an entry on which no record relies. Sweeps remove strays that are
// older than Options.StrayGrace by the server's clock. So do listings and counts
// by label that find them. Strays have these causes:
//
//   - a write that stopped before its record
//   - an upsert, which does not read the record that it overwrites
//   - a label that changes, and an expiry that moves to an earlier time
//
// Only a listing removes two kinds of strays. One kind belongs to a record that
// bears labels, never expires and was upserted. The other is the label entry of a
// write that stopped before its entry by expiry was stored. A record whose write
// was under way when a sweep found its entry is swept once the entry is older
// than StrayGrace.
//
// A listing is not a snapshot: each page has its records as they are when it is
// read. Its order is that of names.
//
// A write is sent once. The SDK repeats it only after S3 has refused it because
// of throttling (503 SlowDown) or a wrong clock. After a broken connection, a
// timeout or another server error the outcome is ErrUnknown. S3 answers 409 to a
// write that meets another write. It is then repeated for about two seconds.
// Index entries may be sent again, since readers ignore them until their record
// exists. Reads are repeated as the client is configured.
//
// The SDK's checksums are sent only if S3 requires one, because other servers
// do not accept trailing checksums. Options.ClientChecksums keeps the client's
// settings. Every read checks the value against the checksum in the head.
//
// # Limits
//
// A value has at most Options.MaxValue bytes: 16 MiB by default, 1 GiB at most. A
// write holds it in memory twice. A store has at most 32 labels. Nodes with
// different Options may share a store. Directory buckets (S3 Express) list in no
// order and are refused. S3 accepts 3,500 writes and 5,500 reads a second for each
// partition of the keys, and adds partitions as the load grows. Entries by expiry
// are written in the order of time, so they share one partition. The client's
// HTTP transport should keep 16 idle connections to the host. Storage classes
// with a minimum duration or a retrieval fee are not suitable.
//
// # Permissions
//
// Programs need the first two statements, and CreateStorage also needs the third.
// The first one names the store's own folders, since PREFIX/* would also grant
// the stores PREFIX/NAME, and PREFIX* the store PREFIX-NAME. Without ListBucket
// on the whole bucket, S3 answers 403 instead of 404. It also shows the keys of
// other stores, which have ids in them, but no values: give a store a bucket of
// its own if that matters. A store with other stores below its prefix also needs
// GetObject for their store.json. Without GetBucketVersioning, CreateStorage
// accepts a bucket that keeps versions.
//
//	{"Version": "2012-10-17", "Statement": [
//	  {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
//	   "Resource": ["arn:aws:s3:::BUCKET/PREFIX/r/*", "arn:aws:s3:::BUCKET/PREFIX/x/*", "arn:aws:s3:::BUCKET/PREFIX/l/*",
//	                "arn:aws:s3:::BUCKET/PREFIX/p/*", "arn:aws:s3:::BUCKET/PREFIX/store.json"]},
//	  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::BUCKET"},
//	  {"Effect": "Allow", "Action": ["s3:CreateBucket", "s3:GetBucketVersioning"], "Resource": "arn:aws:s3:::BUCKET"}]}
//
// # Cost per call
//
// Requests that write or list cost 5.00 dollars a million and requests that read
// 0.40. Deletes are free. The prices are those of the Standard class in us-east-1
// on https://aws.amazon.com/s3/pricing, without storage, transfer and keys.
//
//	                                             requests               dollars for a million calls
//	Get, Stat                                    1 read                 0.40
//	Create, Upsert                               1 write                5.00
//	  for the expiry, and for each label         1 write more           5.00 more
//	compare-and-set with the server version      1 write                5.00
//	Update; compare-and-set without it           1 read, 1 write        5.40
//	  with new labels                            1 write for each, and  5.00 for each
//	                                             1 for the expiry
//	  with a new or earlier expiry               1 write more           5.00 more
//	Touch with the known record and its value    1 write                5.00
//	Touch by id alone                            1 read, 1 write        5.40
//	  with a new or earlier expiry               1 write more           5.00 more
//	Touch that changes nothing                   1 read                 0.40
//	Delete with the known record                 1 write, or 1 delete   5.00, or nothing
//	Delete by id alone                           1 read more            0.40 more
//	  of a record with labels                    1 delete more          nothing
//	create over an expired record or tombstone   2 writes, 1 read       10.40
//	Page of n records                            1 list, n reads        5.00, 0.40 n
//	Page by label of n records                   1 list, n reads        5.00, 0.40 n
//	Count by label                               1 list for 1,000, n reads
//	Count                                        1 list for 1,000 records of the store, 1 for 1,000 due
//	                                             entries, 1 read for each expired record
//	GetMany, WriteMany                           as single calls, 16 at a time
//	DeleteExpired of k records                   1 list for what is due, k reads, k writes or deletes,
//	                                             1 or 2 deletes for 256; 1 read and 1 write for each entry
//	                                             whose record was extended, 1 or 2 reads for a stray
//	Ping                                         1 read
//	CreateStorage                                11 to 17
//
// The entries of a record are written at the same time, so that a create with an
// expiry and a label takes as long as two writes. A record that bears labels and
// never expires also has an entry by expiry, so that a sweep finds its strays. A
// failed condition costs the read that decides it, and one delete for the entries
// that the write has created. A compare-and-set returns the record that won, with
// its value. The first removal of each process reads store.json. KeysOnly,
// Stat, Update, Delete, Count and sweeps read 2 KB of each record, whatever its size.
package s3
