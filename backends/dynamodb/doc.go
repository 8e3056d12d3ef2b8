// Package dynamodb keeps Sojourn's records in a table of Amazon DynamoDB.
//
//	client := awsdynamodb.NewFromConfig(cfg)
//	backend, err := dynamodb.New(client, "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	err = store.CreateStorage(ctx)
//
// # What is stored where
//
// A store is a table of its own with the keys pk and sk, both strings. Records
// and label items are its items:
//
//	pk r#ID           sk r    the record of that id
//	pk l#LABEL#VALUE  sk ID   a record bears that label; no other attributes
//
// A record has the attributes
//
//	format    number  1; a newer one is ErrCorrupt
//	revision  binary  16 bytes
//	expires   number  milliseconds since 1970; absent: never
//	ttl       number  seconds since 1970, from which DynamoDB may reap; absent: never
//	due       string  "0" to "15", a shard of the index by expiry; absent: never
//	labels    map     of strings, empty for none
//	encoding  string  "json" or another
//	value     string  where it is UTF-8, else binary: the value's own bytes
//	json      any     with Options.Queryable, a native copy of a JSON value
//
// The copy is for people's own queries and never read. It is left out where
// DynamoDB cannot hold it: nested 32 deep or more, numbers of more than 38
// digits, empty names, or no room for it within 400 KB.
//
// The global secondary index due has the keys due and expires, and labels as
// its only other attribute. Records that never expire are not in it. An item of
// another form under a record's key is ErrCorrupt for that id; only an upsert
// overwrites it. Items of other keys are ignored, but deleted with the table.
//
// CreateStorage makes the table, billed by request, and StoragePlan says how
// to make it by other means. No other method does: without the table each is
// ErrUnavailable and names it.
//
// # Expiry
//
// The caller's clock decides what is live; conditions of writes have it in
// them. DynamoDB's TTL only collects garbage, some days late: by the attribute
// ttl, which is the expiry and Options.GraceTTL, one hour by default. It knows
// nothing of label items, which stay until a listing or count by their label
// meets and removes them. So run a Sweeper: it removes record and label items
// together, long before the TTL does.
//
// # Consistency
//
// All reads of records and labels are strongly consistent. A record changes
// together with its label items in one TransactWriteItems, so that listings and
// counts by label are exact right after each write, and no crash leaves one
// without the other. A listing is no snapshot: each page shows its records as
// they are when it is read.
//
// The index by expiry is eventually consistent, mostly within a second. A
// sweep takes from it what may be due and removes it on condition that it is:
// it never removes what was extended meanwhile, and may leave what expired in
// the last moment to the next sweep. Nothing else reads the index.
//
// Global tables of the default kind are eventually consistent between regions,
// and the last writer wins: use the table in one region. Those of multi-region
// strong consistency have no transactions.
//
// A write is sent once. The SDK's resending is limited to what DynamoDB has
// refused, by throttling or for a wrong clock; after a broken connection, a
// timeout or a server's error the outcome is ErrUnknown. A write that finds the
// record held by another transaction was refused too, and is tried again for
// some two seconds. Reads are retried as the client is configured.
//
// # Limits
//
// An item has at most 400 KB. A value has what the longest id and labels leave
// of that, a little over 408,000 bytes with the default label:
// Description.MaxValue says it. At most 32 labels are declared; nodes whose
// Options.Labels differ may share a table.
//
// A label's value is one partition: it takes some 1,000 new or removed bearers
// a second. Sessions of one principal are far below; a label that most records
// share is not what labels are for.
//
// # Permissions
//
// Programs need the first statement, CreateStorage and DeleteStorage the second:
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
// # Cost
//
// Requests, and capacity units for a record of up to 1 KB; larger ones take a
// read unit for each 4 KB and a write unit for each 1 KB. An expiry that comes
// or goes costs one write unit more for the index, one that moves two.
//
//	Get                                                  1 request    1 read
//	Create, Upsert without label                         1            1 write
//	Create, Upsert with a label                          1            4 writes, 2 for each label more
//	  of a record that bears other labels                2            4 more for the refusal, 2 for each label that goes
//	Update and compare-and-set that leave the labels     1            1 write
//	compare-and-set that changes a label                 1            6 writes
//	Update that changes labels, without a version        2            the same, and the refused write
//	Touch, labelled or not                               1            1 write
//	Delete without label                                 1            1 write
//	Delete with a label, at a version                    1            4 writes
//	  by id alone                                        2            5 writes
//	Page                                                 1            what it looks at: label items and expired
//	                                                                  records too, 1 read for each 4 KB together
//	Page by label: the items, the records                2, 1 if empty 1 read for some 40 items, 1 for each record
//	  and for each 100 records more                      1 more
//	Count by label                                       as a page by label of 1,000
//	Count                                                1 for each MB of the table, 1 read for each 4 KB of it
//	GetMany                                              1 for 100    1 read for each record
//	WriteMany                                            as its writes, 16 at a time
//	DeleteExpired: the index                             16           1/2 read for each shard
//	  the removals, 16 at a time                         1 for each   1 write, 4 with a label
//	  with each: the records                             1 for 100    1 read for each
//
// A failed condition costs the write unit that it would have, and tells why in
// the same request. A page may have fewer records than its limit, since Scan
// counts what it leaves out. An update that keeps the expiry or the labels, and
// a touch, are answered with the whole record, which costs no units.
package dynamodb
