// Package s3 keeps Sojourn's records in a bucket of Amazon S3, or of another
// server with its protocol and with atomic conditional writes, such as MinIO.
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
//	PREFIX/p/STAMP=N                            a test object of CreateStorage or Check, for a moment; sweeps
//	                                            remove what an interrupted one has left
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
// StoragePlan prints the rule with the prefix. A bucket has one lifecycle
// configuration, and a change replaces the rules of all programs, so that only
// Options.TombstoneRule adds it, and only in a bucket without rules. On a server
// that drops ObjectSizeLessThan the rule would remove every record after a day:
// CreateStorage puts it disabled at first, reads it back and refuses the server
// if the limit is gone. Add it by hand in the same way.
//
// Without the rule, listings of all records also pass the tombstones: one
// request for 1,000 of them. They are told by size and ETag, without a read. A
// server that encrypts with AWS KMS has other ETags, and each tombstone is read.
//
// # What CreateStorage and Check look at
//
// CreateStorage tests the server, and Check does so at any time:
//
//   - Of 16 concurrent writes with If-None-Match one succeeds, and so with If-Match.
//     None succeeds with an ETag that is not in force.
//   - A read returns the last write, with its ETag.
//   - A listing starts after StartAfter, has keys in rising order, obeys MaxKeys
//     and has what was just written.
//   - DeleteObjects removes objects.
//   - Of 16 concurrent deletes and writes with If-Match one succeeds. Else
//     tombstones take the place of deletes.
//   - No lifecycle rule of the bucket removes or archives records, index entries
//     or the marker. Options.AllowLifecycle accepts such rules.
//   - The bucket keeps no versions. Options.AllowVersioned accepts them.
//   - The client hands the option functions of a call to the SDK.
//
// What breaks a promise is ErrUnsupported from CreateStorage, with a text that
// says what was seen, what is needed and what to do. A test from one process
// reaches one endpoint: it does not see that two endpoints of a cluster do not
// know of each other's writes. On AWS only the first CreateStorage tests.
//
// Calls also fail, with ErrUnsupported, if a later listing has keys that do not
// rise: it would go on for ever, or miss records.
//
// # Servers
//
// Tried, with the cases of package conformance: MinIO of February 2026 and
// versitygw 1.8.0 (make test-second). Neither has conditional deletes.
//
// Have what a store needs, by their documentation; not tried:
//
//   - Amazon S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
//     and, for deletes, conditional-deletes.html at the same place
//   - CoreWeave: https://docs.coreweave.com/release-notes/ai-object-storage-conditional-writes
//
// Reported to let concurrent conditional writes succeed together. CreateStorage
// refuses them, but for the case of two endpoints:
//
//   - SeaweedFS before the change of March 2026:
//     https://github.com/seaweedfs/seaweedfs/issues/8800
//   - versitygw on a file system before August 2026:
//     https://github.com/versity/versitygw/pull/2288
//   - RustFS, if nodes write through several endpoints, until the change named in
//     https://github.com/rustfs/rustfs/issues/1659
//
// Lifecycle rules by size: MinIO has them since November 2023
// (https://github.com/minio/minio/pull/18500). Older versions of Ceph read only
// the prefix and the tags of a filter: "S3 bucket lifecycle" of the developer
// guide on https://docs.redhat.com/en/documentation/Red_Hat_Ceph_Storage/4.
//
// Refused: directory buckets (S3 Express), which list in no order, multi-Region
// access points, whose buckets differ for a while, and access points of S3 on
// Outposts and of Object Lambda.
//
// # Objects that the server refuses
//
// S3 refuses to give an object that a rule has archived or whose encryption key
// is disabled. Get returns ErrUnavailable for it, with S3's code. Listings name
// it in Page.Corrupt and go on. A sweep steps over it and returns the error
// beside its counts. So it does with an object that cannot be removed and with
// index entries that stay, for example without the permission to delete. It ends
// after 1,000 of them. If the server refuses all records, each call fails.
//
// # Versions of objects
//
// A bucket that keeps versions keeps every value, expired and deleted ones
// included. CreateStorage refuses such a bucket unless Options.AllowVersioned is
// set. Add the rule that StoragePlan prints for noncurrent versions and for the
// markers that deletes leave. A bucket whose versions are suspended needs it too.
// Buckets with Object Lock do not work: a locked object cannot be removed.
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
//   - a CreateStorage or Check that stopped before it removed its test objects
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
// of its load (503 SlowDown or ServiceUnavailable, 429 TooManyRequests) or a wrong
// clock. Every other error of S3 with a status from 400 to 499 but 408 is a refusal
// too, and its code is in the text. After a broken connection, a timeout, another
// server error and an answer of a proxy the outcome is ErrUnknown. S3 answers 409
// to a write that meets another write. It is then repeated for about two seconds.
// Index entries may be sent again, since readers ignore them until their record
// exists. Reads are repeated as the client is configured.
//
// The SDK's checksums are sent only if S3 requires one, because other servers
// do not accept trailing checksums. Options.ClientChecksums keeps the client's
// settings. Every read checks the value against the checksum in the head.
//
// # What a call waits for
//
// A call decides with the time that it was given, and with what it waited for in
// this process (rule R100). That is a connection that was not idle, a pause before
// another attempt, also one of the SDK, and the turn of an item in a batch or a
// listing. It is also the earlier parts of a page or a count, and the look at the
// marker before the first delete. If a record expires before its write has a connection, the body of the
// request is not sent, and S3 carries out no request without it. A delete removes
// the expired record then and returns ErrNotFound.
//
// An HTTP client other than net/http's shows no connections, and no client shows
// how long it waits for credentials. Only the deadline of the call bounds these.
//
// # Limits
//
// A value has at most Options.MaxValue bytes: 16 MiB by default, 1 GiB at most. A
// write does not copy it. A page ends once its values reach 16 MiB, and holds at
// most one value more. A store has at most 32 labels. Nodes with different
// Options may share a store. S3 accepts 3,500 writes and 5,500 reads a second for
// each partition of the keys, and adds partitions as the load grows:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html.
// Entries by expiry are written in the order of time, so they share one
// partition. The client's HTTP transport should keep 16 idle connections to the
// host. Storage classes with a minimum duration or a retrieval fee are not
// suitable.
//
// A client that a URL opened gives up a connection that cannot be opened in 10
// seconds, and one that is silent for 30. A client of New has the limits that its
// owner gave it. With any client a call ends with its context.
//
// # Permissions
//
// Programs need the first two statements, and CreateStorage also needs the third.
// The first one names the store's own folders, since PREFIX/* would also grant
// the stores PREFIX/NAME, and PREFIX* the store PREFIX-NAME. Without ListBucket
// on the whole bucket, S3 answers 403 instead of 404. It also shows the keys of
// other stores, which have ids in them, but no values: give a store a bucket of
// its own if that matters. A store with other stores below its prefix also needs
// GetObject for their store.json. Without GetBucketVersioning and
// GetLifecycleConfiguration, and through an access point, CreateStorage does not see
// versions and rules. It then writes an object into each folder and looks at the
// answers: x-amz-version-id is there if versions are kept, and x-amz-expiration if a rule
// removes objects of that size. Rules for larger objects, and those that archive,
// stay unseen. Options.TombstoneRule needs PutLifecycleConfiguration.
//
//	{"Version": "2012-10-17", "Statement": [
//	  {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
//	   "Resource": ["arn:aws:s3:::BUCKET/PREFIX/r/*", "arn:aws:s3:::BUCKET/PREFIX/x/*", "arn:aws:s3:::BUCKET/PREFIX/l/*",
//	                "arn:aws:s3:::BUCKET/PREFIX/p/*", "arn:aws:s3:::BUCKET/PREFIX/store.json"]},
//	  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::BUCKET"},
//	  {"Effect": "Allow", "Action": ["s3:CreateBucket", "s3:GetBucketVersioning", "s3:GetLifecycleConfiguration"], "Resource": "arn:aws:s3:::BUCKET"}]}
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
//	                                             entries, 1 read for each record that may have expired
//	GetMany, WriteMany                           as single calls, 16 at a time
//	DeleteExpired of k records                   1 list for what is due, k reads, k writes or deletes,
//	                                             1 or 2 deletes for 256; 1 read and 1 write for each entry
//	                                             whose record was extended, 1 or 2 reads for a stray
//	Ping                                         1 read
//	CreateStorage                                80 or fewer, half of them writes; 4 on AWS once it was tested
//	Check                                        70 or fewer, half of them writes
//
// The entries of a record are written at the same time, so that a create with an
// expiry and a label takes as long as two writes. A record that bears labels and
// never expires also has an entry by expiry, so that a sweep finds its strays. A
// failed condition costs the read that decides it, and one delete for the entries
// that the write has created. A compare-and-set returns the record that won, with
// its value. The first removal of each process reads store.json. KeysOnly,
// Stat, Update, Delete, Count and sweeps read 2 KB of each record, whatever its size.
package s3
