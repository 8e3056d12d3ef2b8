// Package elasticsearch keeps Sojourn's records in an index of Elasticsearch.
//
//	client, err := es.NewClient(es.Config{Addresses: []string{"https://localhost:9200"}, APIKey: key})
//	backend, err := elasticsearch.New(client, "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	err = store.CreateStorage(ctx)
//
// # What is stored where
//
// A store is one index and two aliases of it:
//
//	carts@EPOCH        the index; EPOCH is 16 random hexadecimal digits
//	carts              the store's name, an alias: reads, creates and upserts
//	carts@EPOCH@match  an alias: writes on condition of a version
//
// A record is one document. Its _id is the record's id, and its fields are
//
//	id        keyword          the record's id; listings sort by it
//	format    short            1; a higher number is ErrCorrupt
//	revision  keyword          32 hexadecimal digits; no index, no doc values
//	expires   date             milliseconds since 1970; absent or null: never
//	labels    flattened        {"principal": "ann"}, exact and case-sensitive
//	encoding  keyword          "json" or another; no index, no doc values
//	size      integer          of the value, in bytes; no index
//	value     keyword          the value if it is text; no index, no doc values
//	bytes     binary           other values in base64, also text with many escapes
//	long_value, long_bytes     the same for values of more than 8 KB
//	json      flattened        with Options.Queryable, a copy of a JSON object
//
// The mapping is strict and never grows, whatever labels and values contain.
//
// The copy is for people's own queries, such as {"term": {"json.city": "Oslo"}}.
// The backend never reads it. It leaves the copy out if Elasticsearch cannot
// hold the value:
//
//   - The value is not a JSON object, or is larger than 1 MB.
//   - Objects and arrays are nested more than 16 deep, or there are more than
//     4096 members and elements.
//   - A name is empty, has a NUL, or appears twice in an object.
//   - A string has a NUL, a number has more than 64 digits, or a path has more
//     than 4096 bytes.
//
// The copy has strings of more than 1024 characters, but a search does not find
// them.
//
// A document of another form is ErrCorrupt for its id, and only an upsert
// overwrites it. A document without the field id is in no listing. Values in
// documents from before the field size are read with the first read, however long
// they are.
//
// CreateStorage creates the index. StoragePlan returns the request for creating
// it by other means. No other method creates an index: requests require the
// aliases, so that the server does not create one by itself. If the index is
// missing, every call returns ErrUnavailable with the name. If the second alias is
// lost, conditional writes and sweeps do so, and CreateStorage adds it again.
//
// If the store's name leads to an index of another program, CreateStorage and
// DeleteStorage return ErrCorrupt with its name and leave it. CreateStorage also
// returns ErrCorrupt if an index template makes the new index unfit, or makes a
// data stream. It names the template if it may see it, and removes the new index.
// Further fields from a template do no harm. An index from before the fields size,
// long_value and long_bytes gets them by CreateStorage.
//
// # Checks
//
// CreateStorage makes the checks of [Backend.Check] each time, and returns
// ErrUnsupported if one finds that a promise does not hold:
//
//   - The settings in force: no ingest pipeline, lifecycle policy, asynchronous
//     translog or rebuilt _source, and room for pages and ids.
//   - 8 concurrent creates of a document, and 8 writes at one version: one of
//     each succeeds. A delete at an old version is refused.
//   - A read sees the last write, and a listing after a refresh has the order of
//     ids and goes on after one.
//
// It is a warning if the index has no copies, a block, or other aliases. The
// checks write four documents that no call of a store sees, and remove them. A sweep
// three days later removes what an interrupted check has left. What the credentials do
// not allow is reported as unknown.
//
// # Expiry
//
// The caller's clock decides what is live. Elasticsearch removes no document by
// itself: run an expiry.Sweeper.
//
// # Waits
//
// What a call waits for in this process counts (rule R100): a pause after a
// conflict, the requests of a batch before its own, another call's refresh, and a
// connection. The backend sees the wait for a connection by net/http's traces. A
// write whose record expires in that wait is not sent. It does not see a
// connection if the client's Transport does not call the traces, and for writes
// also if the client compresses requests. A Count does not see the wait for the
// connection of its search. Options.RequestTimeout bounds these waits.
//
// # Consistency
//
// Reads by id are in real time and need no refresh. Listings, counts and sweeps
// refresh the index first, so that they see every acknowledged write. Concurrent
// calls of a Backend share a refresh, but only one that starts after they do. A
// listing is not a snapshot: each page shows the records at that time.
//
// A write is acknowledged when all copies of its shard have it. Before that, some
// copies have it. So all reads of a shard go to one of its copies, the same for all
// programs, by the parameter preference. A change that another copy has refused is decided by
// a read of that one. Only when this copy is lost or moved, a read may miss a write
// in progress that another read has returned. More copies do not make more reads
// possible; more shards do.
//
// A conditional write names a version: the epoch, and the sequence number and
// primary term that the record was read with. An index that is created again has
// a new epoch, so that older versions never match in it. A record's labels and
// expiry are part of its document and change together with it.
//
// A write is sent only once, however the client is configured. The client needs
// the request's body to send it again, and the backend refuses the body after a
// connection was made. The write is ErrUnknown after a broken connection. It is
// also ErrUnknown after a status in Config.RetryOnStatus, by default 502, 503
// and 504. If no connection can be made to a node, the client may try its other
// nodes. Reads are sent again as the client is configured.
//
// A program's own [Client] must pass on the request as it is. Two settings of
// go-elasticsearch matter. Leave 429 out of Config.RetryOnStatus: with
// it, refused writes are ErrUnknown. Set Config.DisableRetry if the client
// compresses requests and its Transport does not call net/http's trace hooks.
//
// Elasticsearch itself may repeat an operation. A node does so if it loses the
// node with the primary shard midway. A write that finds its own revision then
// succeeds. A delete may return ErrNotFound for its own removal.
//
// A primary shard that a network partition has cut off may answer reads for some
// seconds. These reads return what was acknowledged before the partition.
//
// A restored snapshot brings back old revisions and versions. Restart programs
// that hold newer records in memory.
//
// # Limits
//
// A value has at most Options.MaxValue bytes, 4 MiB by default. Ids, label
// values and revisions are exact at any length that package model allows. A
// store declares at most 32 labels. Nodes with different Options.Labels may share
// an index.
//
// A page has at most 1000 records. It ends when its values reach 16 MiB, which is
// driver.PageBytes, or a little more. No request and no answer has more than 8 MB of values,
// or one value that is longer. Base64 makes a third more of it. A node
// with a heap of 512 MB stands three listings of 60 values of 4 MiB at once: see
// TestManyLongListings. A search that returns them all can stop it, which is
// elastic/elasticsearch#89656. The circuit breaker of a node that is short of
// memory refuses a request. A read is then made again for half as many records,
// and so are the writes of a _bulk. A search that the server ends after its own
// limit of time is made again too. After the time of a request or a call, the
// next calls ask for fewer records. The number grows again with each success.
//
// A request takes at most Options.RequestTimeout, and a call ends within 100 ms
// of its context, also if the client ignores it.
//
// By default net/http keeps two idle connections. Set Config.Transport to one
// with a MaxIdleConnsPerHost that fits the number of concurrent calls.
//
// The backend uses no scripts, scrolls, points in time, reindexing, or changes
// by query. Without Options.Shards and Options.Replicas, CreateStorage sends no
// settings. Serverless projects therefore work too.
//
// # Servers
//
// The suite runs on Elasticsearch 8.17, on a single node and on three, with
// go-elasticsearch 8.19. The calls are also tried with go-elasticsearch 9.5 on that
// server (internal/tests/esv9). Not tried: Elasticsearch 9, Elastic Cloud and
// serverless projects.
//
// OpenSearch and Amazon OpenSearch Service are refused. The client misses the
// header X-Elastic-Product. With one that does not look for it, the index cannot be created,
// because they have no type flattened (docs.opensearch.org, "Flat object field
// type").
//
// # Privileges
//
// Programs need the first role. CreateStorage and DeleteStorage need the second:
//
//	POST /_security/role/carts
//	{"indices": [{"names": ["carts", "carts@*"],
//	              "privileges": ["read", "index", "delete", "maintenance"]}]}
//
//	POST /_security/role/carts_storage
//	{"indices": [{"names": ["carts", "carts@*"], "privileges": ["manage"]}]}
//
// Check needs both. Maintenance is for refreshes. No other store has a name that begins with
// carts@, since names have no @. A pattern carts* would also grant carts-admin.
//
// A URL has the form elasticsearch+https://user:password@host:9200/carts, or
// elasticsearch://… for plain HTTP, with commas between several hosts. If it has
// neither a user nor an api_key, the credentials are ELASTICSEARCH_API_KEY of the
// environment, or ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD.
// docs/urls.md lists the parameters.
//
// # Cost
//
// Requests per call. A Touch at a given revision takes as many as any other. A cluster is billed by the hour, so that a request has no
// price.
//
//	Get                                                1  _mget
//	Create, Upsert                                     1  _bulk
//	  Create that fails                                2  _bulk, _mget
//	  Create over an expired record                    3  _bulk, _mget, _bulk
//	compare-and-set with a server version              1  _bulk
//	  of a record that was touched since               3  _bulk, _mget, _bulk
//	  that fails                                       2  _bulk, _mget
//	Update of any revision                             2  _mget, _bulk
//	Delete, Touch with a server version                1  _bulk
//	  by id alone                                      2  _mget, _bulk
//	  Touch that changes nothing                       1  _mget
//	Page, all or by label                              2  _refresh, _search
//	  for each 8 MB of values of more than 8 KB        1  more, _mget
//	Count, all or by label                             2  _refresh, _search
//	Stat                                               1  _mget
//	GetMany                                            1  _mget for 100
//	  for each 8 MB of values of more than 8 KB        1  more, _mget
//	WriteMany of creates, upserts, server versions     1  _bulk for 500 or 8 MB
//	  of updates and deletes by id alone               1  more for each 100
//	DeleteExpired                                      1  _refresh
//	                                                   2  for each 500: _search, _bulk
//	CreateStorage, Check                              27  at most
//
// A touch sends no value. The server writes the whole document again, as for
// every change. Each refresh after writes creates a small segment. This is the
// main cost of a store with many listings and many writes.
package elasticsearch
