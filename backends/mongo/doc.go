// Package mongo keeps Sojourn's records in MongoDB 6 or later, by the official
// driver, version 2.
//
//	client, err := mongodriver.Connect(options.Client().ApplyURI("mongodb://127.0.0.1"))
//	backend, err := mongo.New(client.Database("shop"), "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	err = store.CreateStorage(ctx)
//
// Imported for its effect, it opens
// mongodb://user:password@host:port/database?collection=name (and mongodb+srv)
// by package backends.
//
// # What is stored where
//
// A store is a collection of its own, a record one document:
//
//	_id      string           the id
//	sojourn  int              version of this format: 1
//	rev      binary           the revision
//	exp      date             the expiry; the last instant of 9999 for never
//	ever     bool             true for a record that never expires, else missing
//	lab      document         the labels, a string each; missing for none
//	enc      string           the encoding's name
//	val      string, binary   the value's bytes: text where they are UTF-8
//	copy     any              with Options.Queryable the JSON value, natively
//
// CreateStorage makes the collection, an index on exp by which MongoDB itself
// reaps, and for each label one on lab.LABEL and _id that records without the
// label are not in. StoragePlan prints the commands for mongosh instead. A
// document without the field sojourn, or of a newer format, is ErrCorrupt for
// its id; only an upsert overwrites it. Fields of others in a record's document
// vanish with the next write. A collection with a collation, a capped one and a
// view are refused.
//
// MongoDB makes a collection at the first write to it. This package does not
// let it: the first call of each Backend looks whether the collection is there,
// until it is; without it calls are ErrUnavailable and say so. What another
// program drops later is made again by a write, without its indexes; listings,
// counts and sweeps are ErrUnavailable then, until CreateStorage.
//
// # Expiry
//
// The caller's clock decides what is live: it is in the filter of each write.
// MongoDB's own expiry only collects garbage, once a minute, by its own clock
// and later than the expiry by Options.GraceTTL, one hour by default: a server
// whose clock is further ahead of the callers' than that removes live records.
// What it removes is not announced by DeleteExpired and not counted; a Sweeper
// that runs more often than the grace comes first. On servers that refuse such
// an index CreateStorage makes a plain one and warns.
//
// # Consistency
//
// Every write is one statement on one document with its condition in the
// filter, labels included. Whatever concerns and preference database and client
// have, w:0 included: the store's writes are acknowledged by a majority, its
// reads go to the primary and see what a majority has. So no acknowledged write
// is lost or read before it is safe, and a read that follows one sees it. Reads
// are not linearizable in one case: a primary that has been cut off answers
// with the past until it notices, some ten seconds at most. A client that is
// connected directly to a member that turns secondary reads its past as well;
// name the set instead. A session in the context is not used: a write is
// acknowledged when it can be seen, not when a transaction ends.
//
// The driver resends a write once after a lost answer, or a change of primary,
// to replica sets and sharded clusters, as the client's RetryWrites says (on by
// default): it bears the number of the first sending then, and the server
// carries it out once and repeats its answer. Standalone servers do not know
// such numbers and are sent nothing twice. This package resends nothing that
// may have arrived; where the answer stays lost the outcome is ErrUnknown. So
// it is where a majority does not acknowledge in time, and where the context
// ends between two sendings of the driver's, or so short before the first one
// that the driver's error does not tell them apart.
//
// # Limits
//
// A document has at most 16 MB, so that a value has at most 64 KB less. A copy
// that does not fit beside its value is left out. There are at most 60 labels. A
// page ends where the server's answer does, at 16 MB. The collection may be
// sharded by _id, hashed or not, and by nothing else. Indexes of one's own are
// welcome; a unique one makes writes that violate it ErrUnavailable.
//
// # Permissions
//
// A role for the store carts of the database shop, as mongosh takes it:
//
//	db.getSiblingDB("shop").createRole({role: "carts", roles: [], privileges: [
//	  {resource: {db: "shop", collection: "carts"},
//	   actions: ["find", "insert", "update", "remove"]},
//	  {resource: {db: "shop", collection: ""}, actions: ["listCollections"]}]})
//
// CreateStorage needs createCollection, createIndex, listIndexes and, for a
// change of Options.GraceTTL, collMod and dropIndex on the collection as well,
// DeleteStorage needs dropCollection. Without listCollections nobody looks
// whether the collection is there.
//
// # Cost
//
// Round trips:
//
//	Get, Create, Upsert, Update, compare-and-set, Touch, Delete   1
//	  a condition that fails: why                                 1 more
//	Page, with or without label                                   1
//	Count, with or without label                                  1
//	DeleteExpired, with each or not, for a thousand               2, 1 if none is due
//	GetMany, for a thousand or 16 MB                              1
//	WriteMany: creates and upserts, for a thousand or 16 MB       1
//	  those that find a record already                            1 more for all
//	  each update or delete, eight at a time                      1
//	CreateStorage                                                 2 to 5
//	DeleteStorage                                                 1
//	the first call of a Backend                                   1 more
//
// An update that keeps expiry or labels, as those of a Store do, and a Touch are
// findAndModify, the others update and delete. Page visits the records that it
// returns and the expired ones between them; by label those that bear it. Count
// visits index entries of the live records, by label the
// documents that bear it.
package mongo
