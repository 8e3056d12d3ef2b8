// Package memory keeps records in the memory of the process: for tests, for
// single-process programs, and as the measure of what the contract costs.
//
// # Layout
//
// A [Space] stands for a server: it holds stores by name, and any number of
// backends in the process share them. A store has 64 shards, chosen by a
// seeded hash of the id; each has a lock, a map of records, an expiry heap, an
// order of records for paging, and one for each label value. A record, its
// labels and its expiry change under one lock, so all of them are read after
// they were written, always.
//
// # Consistency
//
// Linearizable per record. A listing shows each shard as of one instant. Pages
// go by shard and by the order in which records were created; a token is good
// as long as its Space.
//
// # Limits
//
// None of its own on values and lifetimes. Nothing survives the process.
// Expired records stay in memory until a sweep (see expiry.Sweeper) or a write
// over them.
//
// # Cost per call
//
// Get, Write, Touch and Delete take one shard's lock and O(log n) for the
// expiry heap. Page takes each shard's lock at most once and visits the
// records that it returns and those that have expired but were not swept.
// Count visits the expired ones, by label the bearers. DeleteExpired visits
// only what has expired and holds a lock for at most 64 records.
package memory
