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
//	carts@EPOCH@match  an alias: writes at a version
//
// A record is one document, whose _id is the record's id, with the fields
//
//	id        keyword          the record's id, by which listings are sorted
//	format    short            1; a newer one is ErrCorrupt
//	revision  keyword, unindexed, no doc values: 32 hexadecimal digits
//	expires   date             milliseconds since 1970; absent or null: never
//	labels    flattened        {"principal": "ann"}, exact and case-sensitive
//	encoding  keyword, as the revision: "json" or another
//	value     keyword, as the revision: the value's own bytes, where they are text
//	bytes     binary           the value in base64, where they are not
//	json      flattened        with Options.Queryable, a copy of a JSON object
//
// The mapping is strict and never grows, whatever labels and values hold. The
// copy is for people's own queries, such as {"term": {"json.city": "Oslo"}}, and
// never read. It is left out where Elasticsearch cannot hold it: no object, over
// 1 MB, nested 16 deep or more, over 4096 members, with a name that is empty,
// twice in an object, or holds a NUL, or with a number of over 64 digits.
// Strings of over 1024 characters are in it and cannot be searched for.
//
// A document of another form is ErrCorrupt for that id; only an upsert
// overwrites it. One without the field id is in no listing. CreateStorage makes
// the index, and StoragePlan says how to make it by other means. No other method
// does: requests name aliases and say so, so that the server does not make an
// index by itself. Without the index each is ErrUnavailable and names it.
//
// # Expiry
//
// The caller's clock decides what is live. Elasticsearch removes no document by
// itself: run a Sweeper.
//
// # Consistency
//
// Reads by id are in real time and need no refresh. Listings, counts and sweeps
// refresh the index first, so that they see every write acknowledged before;
// calls at a time in one Backend share a refresh that began after they did. A
// listing is no snapshot: each page shows its records as they are then.
//
// Writes at a version name the sequence number and the primary term that the
// record was read with, and the epoch: an index that was made anew is another
// one, in which no version from before means anything. A record's labels and
// expiry are in its document and change with it.
//
// A write is sent once, however the client is configured: the client asks for
// the request's body before it sends it again, and is not given it once a
// connection was had. After a broken connection, or a status at which the client
// would have sent again (502, 503 and 504 by default), the outcome is
// ErrUnknown. A node that cannot be reached is no such case: the client may try
// its others. Where the client both compresses requests and has a Transport
// that is not net/http's and does not hand its tracing on, set
// Config.DisableRetry. Reads are retried as the client is configured. Leave 429
// out of Config.RetryOnStatus, or what the server refused is unknown.
//
// Two things are Elasticsearch's own. A node that loses the one that holds the
// primary shard midway sends the operation again by itself: a write that finds
// its own revision there counts as done, but a delete may be told ErrNotFound of
// its own removal. And a primary that a network partition has cut off may answer
// reads, for some seconds, with what was acknowledged before the partition.
//
// A snapshot that is restored brings back revisions and versions with it:
// restart the programs that have records from after the snapshot in memory.
//
// # Limits
//
// A value has at most Options.MaxValue bytes, 4 MiB by default. Ids, label
// values and revisions are exact at any length that the contract allows. At
// most 32 labels are declared; nodes whose Options.Labels differ may share an
// index. A page has at most 1000 records, GetMany asks for 100 at a time: the
// node must have the memory for that many values.
//
// Keep idle connections for as many calls as there are at a time: net/http keeps
// two, so set Config.Transport to one with a higher MaxIdleConnsPerHost.
//
// Nothing of it needs scripts, scrolls, points in time, reindexing or changes by
// query; without Options.Shards and Options.Replicas CreateStorage has no
// settings either. So it also fits serverless projects.
//
// # Privileges
//
// Programs need the first role, CreateStorage and DeleteStorage the second:
//
//	POST /_security/role/carts
//	{"indices": [{"names": ["carts", "carts@*"],
//	              "privileges": ["read", "index", "delete", "maintenance"]}]}
//
//	POST /_security/role/carts_storage
//	{"indices": [{"names": ["carts", "carts@*"], "privileges": ["manage"]}]}
//
// Maintenance is for refreshes. The URL opener takes the credentials from the
// URL or the environment: elasticsearch+https://user:password@host:9200/carts,
// or ELASTICSEARCH_API_KEY, else ELASTICSEARCH_USERNAME and
// ELASTICSEARCH_PASSWORD. With elasticsearch:// the requests are plain HTTP.
//
// # Cost
//
// Requests. Clusters are paid for by the hour, so that they have no price each.
//
//	Get                                                1  _mget
//	Create, Upsert                                     1  _bulk
//	  Create that fails                                2  _bulk, _mget
//	  Create over an expired record                    3  _bulk, _mget, _bulk
//	compare-and-set with a version                     1  _bulk
//	  of a record that was touched since               3  _bulk, _mget, _bulk
//	  that fails                                       2  _bulk, _mget
//	Update of any revision                             2  _mget, _bulk
//	Delete, Touch with a version                       1  _bulk
//	  by id alone                                      2  _mget, _bulk
//	  Touch that changes nothing                       1  _mget
//	Page, all or by label                              2  _refresh, _search
//	Count, all or by label                             2  _refresh, _search
//	GetMany                                            1  _mget for 100
//	WriteMany of creates and upserts, with versions    1  _bulk for 500 or 8 MB
//	  of updates and deletes by id alone               1  more for each 100
//	DeleteExpired                                      1  _refresh
//	                                                   2  for each 500: _search, _bulk
//
// A touch sends no value; the server writes the document anew, as it does for
// every change. Each refresh after writes makes a small segment: where
// listings are many beside many writes, they are what costs.
package elasticsearch
