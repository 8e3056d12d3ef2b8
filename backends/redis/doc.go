// Package redis keeps Sojourn's records in Redis 6.2 or later, Redis Cluster,
// Valkey, or another server that speaks their protocol and runs Lua scripts.
//
//	client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:6379"})
//	backend, err := redis.New(client, "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//
// # What is stored where
//
// A store of the name n has 16 buckets, chosen by a hash of the id. The keys of
// a bucket begin with n:{tag}: and, by the tag, lie in one slot of a cluster;
// the tags share the slots evenly. The number of buckets is no option: all
// nodes must agree. In each bucket are
//
//	r:ID      string       the record of that id: see below
//	x         sorted set   ids, scored by expiry in milliseconds, +inf for never
//	i         sorted set   id, NUL, labels of the record; all scores 0
//	l:LABEL   sorted set   length of the value, value, id; all scores 0
//	w:RANDOM  string       a record with a long value, until its script has run;
//	                       what a lost connection leaves of it, for a minute
//
// and n:{0}:meta is a hash with the layout's version, which CreateStorage writes
// and checks; the store works without it. A label that no record bears costs
// nothing.
//
// A record is a binary head and the value's own bytes: 'S', format version,
// revision (16 bytes), expiry (15 decimal digits, milliseconds since 1970, 0 for
// never), length of the value (4 bytes), labels, the encoding's name. Bytes that
// do not fit, and newer formats, are ErrCorrupt for that id; only an upsert
// overwrites them.
//
// # Expiry
//
// The caller's clock decides what is live. The server's own TTL only collects
// garbage: a record gets a TTL of the time that it has left by the caller's
// clock, plus Options.GraceTTL, one hour by default. The clocks of server and
// callers need not agree. The server's TTL leaves index entries behind, which
// DeleteExpired removes and counts; run a Sweeper.
//
// # Consistency
//
// Every write is one Lua script, atomic with all index entries: listings and
// counts by label see it at once. Every read goes to the primary; New refuses
// clients that read from replicas, cache on the client's side, or are a Ring.
// Redis replicates asynchronously: a failover may lose the last acknowledged
// writes of the master that failed, each with its index entries, so that listings
// and counts still agree with the records. A lost create is ErrNotFound then, a
// lost update leaves the revision before, a lost delete the record. WAIT is not
// used; min-replicas-to-write narrows the window. Until a replica has taken over,
// calls are ErrUnavailable, or ErrUnknown for writes that were under way. A
// cluster's client is told to look for the new master after each such error;
// by itself go-redis looks once a minute (ClusterStateReloadInterval).
//
// A write is sent once: go-redis' retries are off for it, whatever the client's
// MaxRetries says, while its redirects (MOVED, ASK) and the second try after
// NOSCRIPT are on, since the server has run nothing then. Reads are retried as
// the client is configured. go-redis heeds a context's deadline while it waits
// for an answer only if the client has ContextTimeoutEnabled, and a context's
// cancellation not at all; without it a call ends with the client's ReadTimeout.
//
// # Limits
//
// A value has at most 512 MB less 128 KB, what proto-max-bulk-len allows by
// default; Options.MaxValue lowers that. The server does nothing else while a
// script runs, a few microseconds for a write. Values of 4 KB and more go past the
// script: a SET puts the record under a key of its own, in the same pipeline, and
// the script renames it. So they cost what a SET costs, and those microseconds;
// but a long value that is written without knowing the record (an Update without
// If that keeps labels) is copied by the script, at one to two microseconds a KB,
// and delays other clients if it has megabytes. While the slot of a bucket
// moves between the nodes of a cluster, writes to it may be ErrUnavailable; they
// did not happen then.
//
// The indexes have no TTL and must not be evicted. With a maxmemory-policy of
// allkeys-* the server may drop an index, which hides records from listings,
// counts and sweeps; with volatile-* it may drop records early: those vanish
// from listings, but are counted until they would have expired. CreateStorage
// warns of both, by Options.Logger, where the server tells its configuration.
// Set noeviction.
//
// Nodes whose Options.Labels differ may share a store. A node that meets a record
// with labels that it does not declare takes a second round trip to change it.
//
// # Permissions
//
// A user needs, for a store named n:
//
//	ACL SETUSER app on >password ~n:* -@all
//	+get +getrange +strlen +exists +set +setrange +rename +renamenx +pexpire +pttl +persist +unlink
//	+zadd +zrem +zscore +zcount +zlexcount +zrange +zrangebyscore +zrangebylex +zremrangebylex
//	+hsetnx +hgetall +evalsha +eval +ping
//
// and +config|get for CreateStorage's warning; without it there is none. On a
// cluster the client itself needs +cluster|slots +cluster|shards +command.
//
// # Cost
//
// Round trips, of one client to one server; on a cluster the pipelines go to the
// nodes concerned, at once.
//
//	Get, Create, Upsert, Update, compare-and-set, Touch, Delete   1
//	GetMany, WriteMany: one pipeline                              1
//	Page, with or without label: the indexes, the records         2, 1 if empty
//	  and where it meets entries of vanished records              1 more
//	Count, with or without label                                  1
//	DeleteExpired: the index, the removals                        2, 1 if none is due
//	  with each: the heads of the records                         1 more
//	  a limit of many thousands, or due records in few buckets    the same again
//	CreateStorage                                                 2
//	DeleteStorage                                                 2 for each 256 records
//
// Count visits no record; by label it visits index entries of the expired records
// or of the label, whichever are fewer. A page reads the records that it returns
// and the expired ones between them. The first call of a script on a server costs
// one more.
package redis
