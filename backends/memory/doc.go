// Package memory keeps records in the memory of the process. It is for tests and
// for programs of a single process.
//
// If it is imported for its effect, package backends opens the URL memory:, with
// or without the parameter labels.
//
// # What is stored where
//
// A [Space] stands for a server: it holds stores by name, and any number of
// backends in the process share them. A store has 64 shards, chosen by a hash
// of the id with a random seed. Each shard has a lock, a map of records, a heap
// of expiries, an order of records for paging, and one order for each label
// value. Values, labels and expiries are stored as the Go values of a
// model.Record. All texts are copied: the caller may use the memory behind its
// strings again.
//
// # Consistency
//
// Calls are linearizable for each record. A record, its labels and its expiry
// change together under one lock, so every read and listing sees the last
// write. No lock is held while a function of the program runs, nor for more
// than a part of the records. So no call measures what it waits (rule R100). A listing shows each shard as of one instant. Pages follow the shards
// and the order in which the records were created, which no write changes. A
// listing leaves out records that were created, or got the label, after it came
// to their place. So it ends whatever is written meanwhile. A page token stays
// valid as long as its Space, and is of no use in another one.
//
// # Limits
//
// Values and lifetimes are unlimited. The records are lost when the process
// ends. An expired record stays in memory until a sweep (see expiry.Sweeper) or
// a write replaces it. A shard gives its room back when three quarters of its
// records are gone.
//
// # Permissions
//
// The backend needs none.
//
// # Cost per call
//
// Get, Stat, Write, Touch and Delete take one shard's lock, and O(log n) time for the
// heap of expiries. A change of a label value also moves up to a 64th of the
// places of that value's records, 16 bytes each. Page takes each shard's lock at most once. It visits the
// records that it returns, at most the limit and 16 MiB of values, and the
// expired records that were not swept. Count visits the expired records, or with
// a label the records that bear it. DeleteExpired visits only expired records and holds a lock for at most 64 of
// them.
package memory
