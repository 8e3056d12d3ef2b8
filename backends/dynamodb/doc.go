// Package dynamodb keeps Sojourn's records in a table of Amazon DynamoDB.
//
//	client := awsdynamodb.NewFromConfig(cfg)
//	backend, err := dynamodb.New(client, "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	err = store.CreateStorage(ctx)
//
// If it is imported for its effect, package backends opens URLs such as
// dynamodb://carts?region=eu-west-1&labels=principal,sid. docs/urls.md lists the
// parameters.
//
// # What is stored where
//
// A store is one table with the string keys pk and sk. The table has records,
// label items, and what this package needs besides:
//
//	pk r#ID           sk r         the record with that id
//	pk l#LABEL#VALUE  sk ID        the record with that id has that label; no other attributes
//	pk m#settings     sk settings  the number of partitions, if Options.Partitions gave one
//	pk m#check#…      sk a to f    for the moment of a check; a sweep three days later removes what is left
//
// A record has these attributes:
//
//	format    number  1; a record with a newer format is ErrCorrupt
//	revision  binary  16 bytes
//	expires   number  milliseconds since 1970; absent: the record never expires
//	ttl       number  seconds since 1970, from which DynamoDB may delete the record; absent: never
//	due       string  "0" to "15", or what Options.Partitions says, a partition of the index by expiry; absent: the record never expires
//	labels    map     of strings, may be empty
//	encoding  string  "json" or another name
//	value     string  the value's own bytes; binary if they are not UTF-8
//	json      any     with Options.Queryable, a native copy of a JSON value
//
// The native copy is for your own queries. The backend never reads it. It is
// absent if DynamoDB cannot represent the value: nested 32 deep or more, with
// numbers of more than 38 digits or empty names, or too large for an item of
// 400 KB.
//
// The global secondary index due has the keys due and expires. It contains the
// labels and no other attributes, and of the records only those that expire. An item with a
// record's key and other attributes is ErrCorrupt for that id. Only an upsert
// overwrites it. Items with other keys are ignored.
//
// The table's TTL would remove items of other programs. CreateStorage therefore
// returns ErrCorrupt, and changes nothing, for a table with items of other keys
// or with a TTL by another attribute. It scans the table before it adds the
// index or the TTL. DeleteStorage scans the table and deletes it. If that also
// has such an item, or an index that you added, it keeps the table, removes the
// records, the index and the TTL, and returns ErrCorrupt with what it left.
// DynamoDB changes a TTL once in an hour. If that has been, the TTL and the index
// stay, and a later DeleteStorage removes them.
//
// CreateStorage creates the table, billed by request. In a table with
// provisioned throughput it gives the index the same. StoragePlan returns the
// AWS CLI commands for it. The name may be an ARN, for a table in another
// account. No other method creates the table. Without the
// table, every other call returns ErrUnavailable with the table's name.
//
// # Expiry
//
// The caller's clock decides which records are live. The conditions of writes
// include the expiry.
//
// DynamoDB's TTL only removes garbage, up to some days late. It deletes a
// record once the time in ttl has passed, which is the expiry plus
// Options.GraceTTL, one hour by default. It does not delete label items: a
// later listing or count by their label removes them. Run a Sweeper, which
// removes records and label items together and long before the TTL does.
//
// # Checks
//
// CreateStorage refuses a server and a table on which the store would not be
// safe, with ErrUnsupported. Check returns what was found as data. Both look at
// replicas, the index, the TTL, the number of partitions, and the settings that
// the Options ask for. Both try on a few items whether conditional writes and
// deletes are atomic, whether a refusal has the stored item, whether
// transactions are all or nothing, and whether queries are in order. A check
// that is interrupted may leave six items, which the TTL removes an hour later.
//
// # Servers
//
// All tests run on DynamoDB Local 2.6.1, and none has run on DynamoDB itself.
// DynamoDB Local lacks throttling, states of tables and some limits. Fakes answer
// for these as AWS documents it.
// Nobody has tried the following servers with this package:
//
//   - LocalStack uses DynamoDB Local, says docs.localstack.cloud.
//   - ScyllaDB Alternator has no transactions, says
//     docs.scylladb.com/manual/stable/alternator/compatibility.html.
//     CreateStorage refuses it, unless Options.Labels is an empty slice. Its
//     write isolation unsafe_rmw makes conditions that are not atomic, and
//     CreateStorage refuses that too.
//   - Dynalite has no transactions, says github.com/HENNGE/aiodynamo/issues/53.
//   - DynamoDB Accelerator has a client of its own. It has to use the options of
//     each call: see API.
//
// # Consistency
//
// All reads of records and labels are strongly consistent. One
// TransactWriteItems changes a record together with its label items. A listing
// or count by label is therefore exact right after each write, and no crash
// leaves a record without its label items. A listing is not a snapshot: each
// page shows its records as of the moment when it is read.
//
// The index by expiry is eventually consistent, usually within a second. Only
// sweeps read it. A sweep takes candidates from the index, and the expiry is a
// condition of each removal. A record that was extended meanwhile stays. A
// record that expired in the last moment may stay until the next sweep.
//
// Use the table in one region. Global tables of the default kind are eventually
// consistent between regions, and the last writer wins. CreateStorage accepts
// one only with Options.AllowReplicas. DescribeTable does not name the replicas
// of version 2017.11.29. A table with a stream of new and old images may have
// some, and CreateStorage and Check ask DescribeGlobalTable. Global tables with
// multi-region strong consistency have no transactions and no TTL.
// docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
//
// A write is sent once. It is sent again only if DynamoDB refused it because of
// throttling or a wrong clock, as often and as late as the client's retryer says.
// A code of DynamoDB's own with a status
// of 4xx is a refusal: ErrUnavailable, with the code. After a broken connection,
// a timeout, a server error or the answer of a proxy the outcome is ErrUnknown.
// A write that DynamoDB refused because of another transaction is sent again for
// about two seconds. Reads are retried as the client is configured.
//
// A client that is opened from a URL waits five seconds for a connection, ten
// for the begin of a response and thirty for all of it. To a client that New
// gets, set such limits yourself: the SDK's default has none for responses. A
// call always ends with its context.
//
// # Waits
//
// What a call waits for in this process counts as a part of its time. A write
// that is sent again after a pause says so in its condition. A part of a batch,
// listing or count that waited for its turn is as of the begin of that part. A
// wait of 100 milliseconds or more for a connection counts for what is decided
// after the answer.
//
// The condition of a write is signed before the write waits for its connection. If
// a record's expiry is in driver.Write.Known, or in that of a touch or delete, and
// passes during the wait, the body is not sent. DynamoDB carries out no request
// without it, and the write is signed again as of later. A write that knows no
// expiry goes out as it was signed. Limits of the client bound its wait: five
// seconds for a client that is opened from a URL.
//
// Requests for credentials are not seen, and their time does not count. Nor does
// that of a client that ignores the options of a call.
//
// # Limits
//
// An item has at most 400 KB. The largest value is what the longest id and
// labels leave of that: a little over 408,000 bytes with the default label.
// Description.MaxValue has the number. At most 32 labels can be declared. Nodes
// with different Options.Labels may share a table.
//
// docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html has
// the limits of DynamoDB.
//
// A partition takes 1,000 write units a second: bp-partition-key-design.html in
// the same guide. A transaction takes two units for an item of up to 1 KB:
// transaction-apis.html.
// All records with one label value share a partition: about 500 of them can be
// added or removed a second. That is plenty for the sessions of one principal.
// Do not use a label value that most records share. The index by expiry has 16
// partitions: about 16,000 records that expire can be added a second, or 8,000
// moved. Options.Partitions gives more, up to 256.
//
// A scan or query reads at most 1 MB. A BatchGetItem has at most 16 MB, and a
// page by label ends when its values reach driver.PageBytes, so that it holds
// two responses at most. A page of values reads at most 1,000 label items.
//
// # Permissions
//
// Programs need the first statement. CreateStorage, DeleteStorage and Check need
// both. Options.PointInTimeRecovery also needs DescribeContinuousBackups and
// UpdateContinuousBackups, Options.Tags needs TagResource, and Options.KMSKey
// needs what the key's policy asks for. The check of a table with a stream of new
// and old images needs DescribeGlobalTable: without it, the finding is unknown.
// Without ConditionCheckItem, listings
// work and leave the label items of records that the TTL removed.
// The resources name one table and one index. A * at their end would also grant
// the tables whose names begin with this one's.
//
//	{"Version": "2012-10-17", "Statement": [
//	  {"Effect": "Allow",
//	   "Action": ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan",
//	              "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"],
//	   "Resource": ["arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE", "arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE/index/due"]},
//	  {"Effect": "Allow",
//	   "Action": ["dynamodb:DescribeTable", "dynamodb:CreateTable", "dynamodb:UpdateTable", "dynamodb:DeleteTable",
//	              "dynamodb:DescribeTimeToLive", "dynamodb:UpdateTimeToLive"],
//	   "Resource": "arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE"}]}
//
// # Cost per call
//
// The table lists requests, and capacity units for a record of up to 1 KB. A
// larger record takes a read unit for each 4 KB and a write unit for each 1 KB.
// An expiry that is added or removed takes one more write unit for the index,
// and one that moves takes two. The tests assert the requests. The units are
// computed from
// docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html.
//
//	Get                                                  1 request    1 read
//	Create, Upsert without labels                        1            1 write
//	Create, Upsert with a label                          1            4 writes, 2 more for each further label
//	  over a record with other labels                    2            4 more for the refused write, 2 for each removed label
//	Update, compare-and-set with the same labels         1            1 write
//	compare-and-set that changes a label                 1            6 writes
//	Update that changes a label                          2            the same, and the refused write
//	Touch, also at a given revision                      1            1 write
//	Delete without labels                                1            1 write
//	Delete with a label, if the labels are known         1            4 writes
//	  by id only                                         2            5 writes
//	Page                                                 1            1 read for each 4 KB read, label items
//	                                                                  and expired records included
//	Page by label: the label items and the records       2, 1 if empty 1 read for about 40 items, 1 for each record
//	  for each further 100 records                       1 more
//	Count by label                                       as pages by label of 1,000
//	Count                                                1 for each MB of the table, 1 read for each 4 KB of it
//	GetMany                                              1 for 100    1 read for each record
//	WriteMany                                            as single writes, 16 at a time
//	DeleteExpired: the index                             16, or       1/2 read for each partition
//	                                                     Partitions
//	  the removals, 16 at a time                         1 for each   1 write, 4 with a label
//	  with OnExpire: the records                         1 for 100    1 read for each
//	Check, and the first CreateStorage of a Backend      about 60     about 60 writes
//
// A write whose condition fails costs the same write units, and its response
// contains the stored record. A page may have fewer records than its limit,
// because a scan also counts the items that it leaves out. The response of a
// touch, and of an update that keeps the expiry or the labels, contains the
// whole record, which takes no units.
package dynamodb
