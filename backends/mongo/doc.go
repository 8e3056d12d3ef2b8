// Package mongo keeps Sojourn's records in MongoDB 6 or later, with version 2
// of the official driver.
//
//	client, err := mongodriver.Connect(options.Client().ApplyURI("mongodb://127.0.0.1"))
//	backend, err := mongo.New(client.Database("shop"), "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	err = store.CreateStorage(ctx)
//
// If it is imported for its effect, package backends opens URLs of the form
// mongodb://user:password@host:port/database?collection=name, also with
// mongodb+srv. docs/urls.md lists the parameters.
//
// # What is stored where
//
// A store is a collection of its own. A record is one document:
//
//	_id      string           the id
//	sojourn  int              the version of this format: 1
//	rev      binary           the revision
//	exp      date             the expiry; the last instant of 9999 means never
//	ever     bool             true if the record never expires, else absent
//	lab      document         the labels, a string each; absent without labels
//	enc      string           the encoding's name
//	val      string, binary   the value's bytes, as a string if they are UTF-8
//	copy     any              with Options.Queryable: the JSON value in BSON types
//
// CreateStorage creates the collection, an index on exp by which MongoDB
// removes expired documents, and for each label a partial index on lab.LABEL
// and _id. StoragePlan returns the same steps as commands for mongosh.
//
// A document without the field sojourn, or of a newer format, is ErrCorrupt for
// its id, and only an upsert overwrites it. So is one whose rev, exp, ever, lab or
// enc is not as above. A write sees that in its filter, except for a label that the
// Backend does not declare. It sees a rev of another length on servers that compare
// the lengths of binary values first, as MongoDB does. It does not look at val. A
// write removes fields that other
// programs added to a record. A view, a capped collection and a collection with
// a collation are refused.
//
// The index on exp would remove the documents of other programs. CreateStorage
// therefore returns ErrCorrupt, and changes nothing, if a document has no field
// sojourn, or if another index has the name or the keys of one of the store's.
// DeleteStorage drops the collection. If that also holds such a document, or an
// index that you added, it removes only the records and the store's indexes and
// returns ErrCorrupt with what it left.
//
// MongoDB creates a collection at the first write to it, but this package does
// not let that happen. The first call of a Backend checks that the collection
// exists. Until it does, calls return ErrUnavailable with a message that names
// CreateStorage. If another program drops the collection later, a write creates
// it again without its indexes, and listings, counts and sweeps return
// ErrUnavailable until CreateStorage is called.
//
// # Expiry
//
// The caller's clock decides what is live: it is in the filter of each write.
// MongoDB itself removes expired documents once a minute, by its own clock,
// when Options.GraceTTL has passed since the expiry (one hour by default). A
// server whose clock is ahead by more than that removes live records.
// DeleteExpired neither announces nor counts what the server removes. A Sweeper
// that runs more often than the grace finds the records first. Some servers
// refuse such an index. CreateStorage then creates a plain one and warns.
//
// # Consistency
//
// A write is one statement on one document, with the condition in its filter
// and the labels in the document. Writes have write concern majority, reads
// have read concern majority and go to the primary, whatever the client and the
// database are set to. An acknowledged write is therefore never lost, and every
// later read sees it.
//
// Reads are not linearizable in one case: a primary that was cut off returns
// old records until it notices, for about ten seconds at most. A client that is
// connected directly to one member also reads old records after that member
// becomes a secondary. Connect to the replica set instead.
//
// A session in the context is not used, because a write must be visible when
// it is acknowledged, not when a transaction ends.
//
// With the client's RetryWrites, which is on by default, the driver sends a
// write to a replica set or sharded cluster a second time after a lost answer
// or a change of primary. The second attempt has the number of the first, so
// the server applies the write once. The driver does not retry on standalone
// servers. This package itself never resends a write that may have arrived.
//
// The error is ErrUnknown if the answer stays lost, if a majority does not
// acknowledge in time, and if the context ends between two attempts of the
// driver. It may also be ErrUnknown if the context ends just before the first
// attempt, because the driver's error is the same.
//
// # Limits
//
// A document has at most 16 MB, and a value 64 KB less. A copy that does not
// fit beside its value is left out. There are at most 50 labels. A page ends
// when the server's answer reaches 16 MB, when its values reach driver.PageBytes
// (16 MiB), or with 10,000 records. Sweeps read no value. The collection may be sharded by _id,
// hashed or not, and by nothing else. You may add indexes. A write that
// violates a unique one is ErrUnavailable.
//
// A client that a URL opens waits 5 seconds for a server and 30 seconds for a call
// whose context has no deadline, unless the URL gives serverselectiontimeoutms,
// connecttimeoutms, timeoutms or sockettimeoutms. The driver itself ignores the last
// one; here it means timeoutms. CreateStorage and DeleteStorage wait longer.
//
// A call may wait for a free connection of the client's pool (maxpoolsize, 100 by
// default). The driver does not tell a call how long, so this wait does not count as
// time that the call has waited (rule R100). The context's deadline bounds it, or the
// client's Timeout. A client of your own needs one of them. Turns in a batch count, and
// so do the look at the collection before the first call, and the server's earlier
// answers to GetMany. Creates and upserts of a batch wait for its other operations:
// that counts from 100 milliseconds on, or if there are more than eight.
//
// # Checks
//
// Check says whether the server is a primary of MongoDB 6 or later, whether its
// clock is ahead by more than Options.GraceTTL, and whether the indexes in force are
// those of the options. It also tries whether one of 16 concurrent writes under a
// condition succeeds, and whether listings are in order. For that it stores four
// documents and removes them again. Their ids begin with the byte 1 and the word
// check. Their field sojourn has the number 1048576 and exp a time of 1970, so that
// no sweep, listing or count of any backend meets them. If a crash leaves some, the
// server removes them by the index on exp, or the next Check after an hour does.
// CreateStorage makes these checks before it creates an index, and returns
// ErrUnsupported if one is unsafe.
//
// # Compatible servers
//
// The tests run on mongod if its image can be pulled, else on secantusd-rs, a
// stand-in. Other servers with MongoDB's protocol have not been tried: run the suite
// on them.
//
// # Permissions
//
// A role for the store carts of the database shop, in mongosh:
//
//	db.getSiblingDB("shop").createRole({role: "carts", roles: [], privileges: [
//	  {resource: {db: "shop", collection: "carts"},
//	   actions: ["find", "insert", "update", "remove"]},
//	  {resource: {db: "shop", collection: ""}, actions: ["listCollections"]}]})
//
// The first privilege is for this collection alone, not for carts_old. The
// second shows the names of the database's collections and nothing in them. On
// the same collection as the first one, CreateStorage also needs
// createCollection, createIndex and listIndexes, and collMod and dropIndex to
// change Options.GraceTTL. DeleteStorage needs listIndexes, dropCollection and
// dropIndex. Without listCollections, a Backend does not check that the
// collection exists.
//
// # Cost
//
// Round trips:
//
//	Get, Stat, Create, Upsert, Update, compare-and-set,
//	Touch at any revision or at a given one, Delete               1
//	  a condition that fails                                      1 more
//	Page, with or without label                                   1
//	Count, with or without label                                  1
//	DeleteExpired, for each thousand                              2, or 1 if nothing has expired
//	GetMany, for each thousand or 16 MB                           1
//	WriteMany: creates and upserts, for each thousand or 16 MB    1
//	  creates that fail                                           1 more for all of them
//	  each update or delete, eight at a time                      1
//	CreateStorage                                                 3 to 6
//	  if an index is missing: the checks                          11 more
//	DeleteStorage                                                 4
//	the first call of a Backend                                   1 more
//
// A Touch and an update that keeps expiry or labels, as a Store's Update does,
// are a findAndModify. Other writes are an update or a delete. Page reads the
// documents that it returns and the expired ones between them, by label those
// with the label value. Count reads the index entries of the live records, by
// label the documents with the label value.
package mongo
