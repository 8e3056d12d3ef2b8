// Package redis keeps records that expire in Redis 6.2 or later, Redis Cluster 7.0
// or later, Valkey, or another server with their protocol and Lua scripts. The
// tests run on Redis 6.2 and on Valkey 9 too (make test-second).
//
//	client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:6379"})
//	backend, err := redis.New(client, "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	err = store.CreateStorage(ctx)
//
// If it is imported for its effect, package backends opens URLs such as
// redis://user:password@host:6379/0?name=carts&labels=principal,sid, also with
// rediss, redis+cluster, redis+sentinel and redis+unix. docs/urls.md lists the
// parameters.
//
// # What is stored where
//
// A store has 16 buckets, or as many as Options.Buckets says, 1 to 1024. A hash of
// the id chooses the bucket. In a store named n, the keys of a bucket begin with
// n:{tag}:, so that all of them are in one slot of a cluster. The tags share the slots
// evenly. Each bucket has these keys:
//
//	r:ID      string       the record with that id, in the format below
//	x         sorted set   ids; the score is the expiry in milliseconds, +inf for never
//	i         sorted set   id, NUL, labels of the record; all scores are 0
//	l:LABEL   sorted set   length of the value, value, id; all scores are 0
//	w:RANDOM  string       a record with a long value, until its script has run;
//	                       after a lost connection it stays for a minute
//
// The hash n:{0}:meta has the layout's version, the number of buckets and the
// declared labels, which CreateStorage stores and checks. The first call of each
// backend reads it: if version or number are others, that call and later ones return
// ErrUnavailable and say what to do. To change the number, move the records to a new
// store, as with sojourn migrate. CreateStorage also puts a mark into each of the
// sorted sets: a member that begins with the byte 255. A set that the server evicts
// or loses in another way loses its mark, and no write puts it back. Without it,
// every listing, count and sweep that needs the set returns ErrUnavailable, and
// calls by id go on. This is also so before the first CreateStorage, and after
// FLUSHALL.
//
// CreateStorage rebuilds sets without a mark from the records. If the set i of a
// bucket is whole, it reads that. Otherwise it visits all keys of the server with
// SCAN. In these buckets it also removes entries that stand for nothing: of records
// that are gone, unless a sweep will remove them. If another server takes over
// meanwhile, it begins again. INFO tells that, by run_id, master_replid and role.
//
// A store without the hash and without an entry is taken for a new one if the server
// does not evict. So a first CreateStorage that was cut off can be repeated. A store
// of which the server has lost everything but records looks the same: only SCAN
// would tell. On a server that may evict, CreateStorage uses SCAN. If the user may
// not, and the server has evicted nothing since it started, the store is a new one.
//
// A record is a binary head and the bytes of the value:
//
//	the letter S and the format version   2 bytes
//	revision                              16 bytes
//	expiry                                15 decimal digits, milliseconds since 1970, 0 for never
//	length of the value                   4 bytes
//	labels                                2 bytes for the length, names and values;
//	                                      the name principal is an empty one
//	encoding                              1 byte for the length, the name
//
// Other bytes and newer formats are ErrCorrupt for that id. Only an upsert
// overwrites them.
//
// # Expiry
//
// The caller's clock decides whether a record is live. The server's own TTL only
// frees memory. It is the time that the record has left by the caller's clock,
// plus Options.GraceTTL, which is one hour by default. The clocks of server and
// callers may differ. The server's TTL leaves index entries behind.
// DeleteExpired removes and counts them, so run a Sweeper.
//
// # Consistency
//
// Every write is one Lua script, which is atomic with all index entries. Listings
// and counts by label see it immediately. Every read goes to the primary. New
// takes a *redis.Client, also one of sentinels, and a *redis.ClusterClient. It
// refuses those that read from replicas or cache on the client's side, a Ring, an
// AutoPipeliner, and kinds that it does not know unless Options.TrustClient
// vouches for them. Such a wrapper of a cluster's client also needs its method
// ForEachMaster: else Check warns, and CreateStorage does not rebuild by SCAN. New
// cannot see that a client of sentinels has ReplicaOnly: do not set it.
//
// A count by label that needs several scripts, because many records have expired
// and are not swept, counts each record that lives all the time exactly once.
//
// Redis replicates asynchronously, so a failover may lose the last acknowledged
// writes of the failed master. A lost create is ErrNotFound afterwards, a lost
// update leaves the earlier revision, and a lost delete leaves the record. Index
// entries are lost with their records, so listings and counts still agree with
// the records. The backend does not use WAIT. The server's setting
// min-replicas-to-write limits the loss.
//
// Until a replica has taken over, calls return ErrUnavailable, or ErrUnknown for
// writes that were sent. After each such error the backend makes a cluster's
// client look for the new master. By itself go-redis looks once a minute
// (ClusterStateReloadInterval).
//
// A write is sent once: go-redis does not retry it, whatever the client's
// MaxRetries. It still follows redirects (MOVED, ASK), and it sends a script
// again after NOSCRIPT, because the server has run nothing then. Go-redis retries
// reads as the client is configured.
//
// A call ends with its context, whatever the client's ContextTimeoutEnabled, and
// also if the server does not answer. Set ContextTimeoutEnabled, as a client that
// a URL opens has it: go-redis then observes deadlines itself. A call with a
// deadline that is canceled earlier ends with the answer, at the deadline, or
// after the client's ReadTimeout. Go-redis never observes a cancellation, and
// without ContextTimeoutEnabled no deadline. Each other call whose context can end
// waits in a goroutine of its own, which costs 15 to 40 µs and 4 allocations.
// After an early end that goroutine and its connection are busy until the
// client's timeouts; keep ReadTimeout and PoolTimeout set. A client that a URL
// opens has those of go-redis unless the URL gives others: 5 seconds to dial, 3 for
// an answer. It dials once for each attempt. Go-redis logs failed dials itself: see
// its SetLogger.
//
// A call may wait for a free connection of the client's pool. Go-redis does not tell
// how long, so this wait does not count as time that the call has waited (rule
// R100). PoolTimeout bounds it, for each attempt: by default ReadTimeout and one
// second, which are 4 seconds in a client that a URL opens. Give it a larger
// pool_size, or a shorter pool_timeout, if calls at the end of a record's life matter.
//
// After an early end, a write that go-redis had not begun to send is not sent and
// returns the context's error alone. Otherwise it is ErrUnknown. So is every operation
// of a batch that was sent, also those that a faster node of a cluster has answered.
//
// # Many goroutines
//
// Reads and writes of single records share round trips when many goroutines call at
// once. Up to four calls go by themselves, each on its own connection. Further calls
// wait until one of these is over, and go together in one pipeline of up to 128. In a
// cluster each bucket does so for itself, so no call waits for another node. Of more
// than 16 buckets, those in a sixteenth of the slots do so together. Calls with values
// of 4 KB and more, and calls about many records, always go alone.
//
// Each call keeps its own promises there: a write is sent once, a read whose pipeline
// failed is sent again by itself, and a call ends with its context. One that ends
// before its pipeline is sent is not carried out. The time that it has waited counts
// (rule R100). Hooks of the client see the pipeline with a context that belongs to no
// caller, so a trace has no parent there. Options.SeparateCalls turns sharing off.
//
// # Memory
//
// Each record is in the sets x and i of its bucket, and in one for each of its labels.
// Redis keeps a set of up to 128 entries, each of up to 64 bytes, in a third of the
// memory. So B buckets keep up to about 100 times B records in small sets. An entry of i
// fits if the id, the values of the labels and three bytes for each label have no more
// than 63 bytes together, and the only label is principal. The names of other labels
// count too. Bytes of a record with a value of 300 bytes, an id of 22 and a principal
// of 11, by the number of records:
//
//	buckets   1,000   10,000   100,000
//	     16     601      891       864
//	    256     664      603       870
//	   1024     880      623       600
//
// The server's settings zset-max-listpack-entries and zset-max-listpack-value move these
// limits. docs/operations/redis.md has the parts, and how they are measured.
//
// # Limits
//
// A value has at most 512 MB less 128 KB, which proto-max-bulk-len allows by
// default. Options.MaxValue lowers that limit.
//
// The server serves no other client while a script runs. A write takes a few
// microseconds. Counts, sweeps and DeleteStorage visit at most 100 records in one
// script, and fewer if these have many labels. Values of 4 KB and more do not pass
// through Lua: a SET in the same pipeline stores the record under a key of its
// own, and the script renames the key. There is one exception, an update that
// keeps labels without knowing the record (an Update without IfMatch). If the
// labels have an unusual length, its script copies a value of up to 64 KB at one
// to two microseconds a KB. A longer one is sent again with the right room.
//
// While a slot moves between the nodes of a cluster, writes to its bucket may
// return ErrUnavailable. They did not happen then.
//
// A page ends when its values reach driver.PageBytes (16 MiB) or with 10,000
// records. It is also shorter if a bucket has more entries than its share of the page,
// which costs another page. The first page of a listing reads at most an eighth of its
// limit from each bucket but the first. Later ones know how many entries a bucket has.
// A call holds at most twice as much besides what it returns. Page first reads an equal
// share of these bytes of each record, and then the rest of those that it returns.
// Sweeps and counts read no value.
//
// The server must not evict keys: set maxmemory-policy to noeviction. With
// allkeys-* it drops indexes and records. With volatile-* it drops records before
// they expire: listings omit them, and counts include them until their expiry.
// CreateStorage refuses such a server, whatever its maxmemory, with ErrUnsupported
// unless Options.AllowEviction is set. It takes the policy from CONFIG GET or
// INFO. If neither tells it, CreateStorage warns.
//
// Check returns what CreateStorage looks at: the eviction policy, version, role,
// persistence, largest value and indexes. It also tells whether scripts run, are
// atomic, and find what Redis 6.2 finds.
//
// # Compatible servers
//
// The tests run on Redis 7.0 and a cluster of it. With make test-second they run on
// Redis 6.2 and Valkey 9. CreateStorage refuses Redis before 6.2, replicas, servers
// that evict, and servers on which a trial of the commands fails. Others have not
// been tried: run the suite on them. Look at the policy of managed services, which
// may evict by default. That of Amazon ElastiCache is volatile-lru:
// https://docs.aws.amazon.com/whitepapers/latest/database-caching-strategies-using-redis/evictions.html
//
// Nodes with different Options.Labels may share a store. A write takes a second
// round trip if the stored record bears labels that the node does not declare.
//
// # Permissions
//
// A user needs, for a store named n:
//
//	ACL SETUSER app on >password resetkeys ~n:{* -@all
//	+get +getrange +strlen +exists +set +setrange +rename +renamenx +pexpire +pttl +persist +unlink
//	+zadd +zrem +zscore +zcard +zcount +zlexcount +zrange +zrangebyscore +zrangebylex +zremrangebylex
//	+hsetnx +hgetall +evalsha +eval +ping +info
//
// ACLRules returns these rules for any name. The brace belongs to the pattern:
// ~n:* would also have the keys of a store named n:admin. In a name, the
// characters * ? [ ] and the backslash need a backslash before them.
//
// INFO shows figures of the whole server, and neither keys nor values. To see the
// largest value and the schedule of snapshots, Check also needs +config|get, which
// shows the server's passwords too: it is not among the rules. Without +info,
// CreateStorage warns that the eviction policy is unknown, and rebuilds nothing. To
// rebuild indexes if the index by id is lost, CreateStorage also needs +scan,
// which shows the names of all keys. The client of a cluster also needs
// +cluster|slots +cluster|shards +command.
//
// # Cost
//
// The table counts round trips of one client to one server. In a cluster each
// pipeline goes to all nodes concerned at the same time.
//
//	the first call of a backend that has created no storage       1 more
//	Get, Create, Upsert, Update, compare-and-set, Touch, Delete   1
//	GetMany, WriteMany: one pipeline                              1
//	Page, with or without a label: the indexes, the records       2, or 1 if empty
//	  if it meets entries of vanished records                     1 more
//	  if values exceed their share of 16 MiB, or heads 512 bytes  1 more
//	Count, with or without a label                                1
//	  by label, if a bucket has over 100 expired records          1 more for each 100
//	DeleteExpired: the index, the removals                        2, or 1 if none is due
//	  with OnExpire: the heads of the records                     1 more
//	  limits over 100 for each bucket, or due records in few      the same again
//	Stat                                                          1
//	CreateStorage                                                 2, or 3 the first time
//	  the first time in a cluster                                 1 more
//	  if indexes are lost                                         4 for each 100 records, and SCAN
//	DeleteStorage                                                 3, 2 for each 100 records, and
//	                                                              2 or more for each bucket in use
//	Check                                                         2
//
// Count reads no record. By label it reads index entries of the expired records
// or of the label, whichever are fewer. A page reads the records that it returns
// and the expired ones between them. The first call of a script on a server costs
// one more round trip.
package redis
