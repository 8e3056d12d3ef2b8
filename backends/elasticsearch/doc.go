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
//	value     keyword          the value if it is text; no index, no doc values
//	bytes     binary           other values in base64, also text with many escapes
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
// overwrites it. A document without the field id is in no listing.
//
// CreateStorage creates the index. StoragePlan returns the request for creating
// it by other means. No other method creates an index: requests require the
// aliases, so that the server does not create one by itself. If the index is
// missing, every call returns ErrUnavailable with the name.
//
// If the store's name leads to an index of another program, CreateStorage and
// DeleteStorage return ErrCorrupt with its name and leave it. CreateStorage also
// returns ErrCorrupt if an index template adds an ingest pipeline, an alias, an
// asynchronous translog, another _source or _routing, or makes a data stream. It
// then removes the new index. Further fields from a template do no harm.
//
// # Expiry
//
// The caller's clock decides what is live. Elasticsearch removes no document by
// itself: run an expiry.Sweeper.
//
// # Consistency
//
// Reads by id are in real time and need no refresh. Listings, counts and sweeps
// refresh the index first, so that they see every acknowledged write. Concurrent
// calls of a Backend share a refresh, but only one that starts after they do. A
// listing is not a snapshot: each page shows the records at that time.
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
// Two settings of the client matter. Leave 429 out of Config.RetryOnStatus: with
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
// an index. A page has at most 1000 records, and GetMany reads 100 with each
// request: the node needs the memory for that many values.
//
// By default net/http keeps two idle connections. Set Config.Transport to one
// with a MaxIdleConnsPerHost that fits the number of concurrent calls.
//
// The backend uses no scripts, scrolls, points in time, reindexing, or changes
// by query. Without Options.Shards and Options.Replicas, CreateStorage sends no
// settings. Serverless projects therefore work too.
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
// Maintenance is for refreshes. No other store has a name that begins with
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
//	Count, all or by label                             2  _refresh, _search
//	GetMany                                            1  _mget for 100
//	WriteMany of creates, upserts, server versions     1  _bulk for 500 or 8 MB
//	  of updates and deletes by id alone               1  more for each 100
//	DeleteExpired                                      1  _refresh
//	                                                   2  for each 500: _search, _bulk
//
// A touch sends no value. The server writes the whole document again, as for
// every change. Each refresh after writes creates a small segment. This is the
// main cost of a store with many listings and many writes.
package elasticsearch
