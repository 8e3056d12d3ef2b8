// Package postgres keeps Sojourn's records in PostgreSQL 13 or later, with
// version 5 of pgx. It is a module of its own:
//
//	go get github.com/sojourn-go/sojourn/backends/postgres
//
// A program hands it its own pool:
//
//	pool, err := pgxpool.New(ctx, "postgres://127.0.0.1/shop")
//	backend, err := postgres.New(pool, "carts", nil)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour})
//	err = store.CreateStorage(ctx)
//
// If it is imported for its effect, package backends opens URLs of the form
// postgres://user:password@host:port/database?table=name, also with postgresql.
// The parameters table, schema, labels and max_value are its own: the names of a
// list are separated by commas. It hands pgx the parameters of pgx's own URLs,
// and search_path, statement_timeout, lock_timeout,
// idle_in_transaction_session_timeout and role to the sessions. Others are
// refused. As with psql, the environment (PGPASSWORD and others) gives what the
// URL leaves out. A connection is opened within 5 seconds, unless
// connect_timeout, PGCONNECT_TIMEOUT or a service says another time than zero.
//
// # In the caller's transaction
//
// With Backend.In, or New on a pgx.Tx, a store reads and writes in a transaction
// of the program, beside its other tables. What it wrote is there after the
// commit, and never was after a rollback:
//
//	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		carts, err := expiry.NewStore[Cart](backend.In(tx), nil)
//		…
//		cart, err := carts.Take(ctx, "cart-1")
//		…
//		_, err = tx.Exec(ctx, "INSERT INTO orders …")
//		return err
//	})
//
// Conditions that fail are rows of PostgreSQL's answer and not errors, so
// ErrExists, ErrNotFound and ErrConflict leave the transaction as it is.
// ErrUnavailable and ErrUnknown end it: PostgreSQL then takes only a rollback.
// With repeatable read or serializable, ErrUnavailable with code 40001 says that
// the caller must begin the transaction again. A call after the end of the
// transaction is ErrInvalid. Rows that were written stay locked
// until it ends: other writers of these records wait for it. A lost answer to the
// commit is the program's own to deal with.
//
// # What is stored where
//
// A store is a table of its own. A record is one row:
//
//	id      text COLLATE "C"   the id
//	format  smallint           the version of this format: 1
//	rev     uuid               the revision
//	exp     bigint             the expiry, in milliseconds since 1970; NULL is never
//	lab     jsonb              the labels, a text each; NULL without labels
//	enc     text               the encoding's name
//	val     bytea              the value's bytes
//
// CreateStorage makes the table, an index on exp and id, and for each label an
// index on its value and id, in one transaction. StoragePlan returns the
// statements. The labels are in the row, so a write has one place, and a listing
// by label reads one index in the order of its ids. BenchmarkLabels compares a
// second table and an array with a GIN index.
//
// The constraints of the table keep other programs from leaving half a record. A
// row of a newer format is ErrCorrupt for its id, and only an upsert overwrites
// it.
//
// CreateStorage returns ErrCorrupt, and changes nothing, if the place has a
// table without these columns, a view, or another kind of relation. DeleteStorage
// drops the table. If another program added a column, an index or a trigger, or
// has a view on it, DeleteStorage removes only the records and returns ErrCorrupt
// with what it found. It removes nothing if that could reach other rows or leave
// records: with a foreign key of another table, a trigger on deletes, a rule, or
// row-level security that is in force for its user. The advisory lock of the
// transaction lets several nodes call both at once. The rows of tables that
// inherit from the store's are neither read nor changed.
//
// # Expiry
//
// The caller's clock decides what is live: it is an argument of each statement.
// PostgreSQL removes nothing by itself: run an expiry.Sweeper. A sweep removes a
// thousand records with one DELETE, by the index on exp. It skips rows that
// another transaction has locked, so sweepers share the work and wait for no lock.
// If the answer is lost, Unknown is the most that the statement could remove.
//
// # Consistency
//
// A write is one statement with its condition. In read committed, PostgreSQL
// judges the condition again on the newest version of a row if another writer
// changed it meanwhile, so one of many writers wins. INSERT … ON CONFLICT does
// the same for creates. The same statement returns the record that it met, as it
// was when the statement began. If that meets the condition although nothing was
// written, another writer came in between, and the statement is sent again.
// Nothing was applied then, so a write is applied at most once. It is sent again
// too after the codes 40001 and 40P01, with which PostgreSQL refuses a write
// because of another one, but not in the caller's transaction. After eight
// attempts the error is ErrUnavailable.
//
// A write whose answer is lost is never sent again: it is ErrUnknown. So are
// errors of class 08, with which proxies say that they lost their server, 40003,
// panics, and fatal errors except those of the classes 28, 3D, 53 and 57. A connection
// that is lost while pgx prepares a write is ErrUnknown too, although nothing was
// sent: the errors of pgx are the same.
//
// Reads are as fresh as the server that the pool is connected to. A standby
// answers with old records: connect to the primary, with several hosts in the URL
// by target_session_attrs=read-write. Acknowledged writes outlive a crash only
// with synchronous_commit and fsync on, and the loss of the primary only with
// synchronous standbys.
//
// A call that waits for a free connection decides as of its end (rule R100). A
// pgx.Conn and a pgx.Tx serve one call at a time: the others wait.
//
// # Proxies
//
// pgx prepares each statement once for each connection, which takes a round trip
// more the first time. A proxy that gives each transaction another connection,
// such as PgBouncer's mode transaction, must know prepared statements
// (max_prepared_statements). Else the pool must not use them: set
// default_query_exec_mode in the URL, or the field DefaultQueryExecMode, to
// cache_describe, exec or simple_protocol. The tests make all calls in all modes of pgx.
// No statement depends on the session. The advisory lock is one of the
// transaction.
//
// # Limits
//
// The database must have the encoding UTF8, which Check and CreateStorage look
// at. A value has at most 16 MiB, or Options.MaxValue up to 256 MiB: PostgreSQL
// itself takes a field of 1 GB. An id and a label's value fit into an index entry
// together (2,704 bytes at most). There are at most 50 labels. A page ends when
// its values reach driver.PageBytes (16 MiB), which the server counts without
// reading the values, or with 10,000 records. Sweeps read no value. A batch of
// writes is committed together. If the server refuses an operation for its row, they
// are sent one by one.
//
// Every update leaves an old version of the row for autovacuum. Rows have room
// for one on their page (fillfactor 85), so that updates that keep expiry and
// labels change no index. For a store that changes a lot, lower
// autovacuum_vacuum_scale_factor of the table.
//
// # Permissions
//
// SELECT, INSERT, UPDATE and DELETE on the table, and USAGE on its schema.
// CreateStorage needs CREATE on the schema, or the ownership of the table to add
// the index of a new label. Such an index blocks writes while it is built:
// administrators run the statement of StoragePlan with CONCURRENTLY. DeleteStorage
// needs the ownership.
//
// # Checks
//
// Check looks at the server's version, whether it takes writes, the encodings,
// the isolation and durability of the session, the table, its indexes, and what
// other programs made on it. It changes nothing. Unsafe are row-level security
// that is in force, rules, and foreign keys that keep records from being removed.
// Other foreign keys, and triggers that run before a row is written, are
// warnings. CreateStorage makes the same checks, and returns ErrUnsupported if one
// is unsafe.
//
// # Cost
//
// Round trips:
//
//	Get, Stat, Create, Upsert, Update, compare-and-set,
//	Touch at any revision or at a given one, Delete,
//	also if the condition fails                              1
//	  if another writer comes in between                     1 more each time
//	Page, Count, with or without label                       1
//	DeleteExpired, for each thousand                         1
//	  with OnExpire                                          2, or 1 if nothing has expired
//	GetMany                                                  1
//	WriteMany, for each thousand or 16 MiB                   1
//	Check                                                    2
//	CreateStorage                                            5, and 1 for each index that it makes
//	DeleteStorage                                            7
//
// Count without a label reads the whole table, as PostgreSQL always does. A page
// also reads the expired rows between those that it returns.
//
// # What was tried
//
// The suites of records and sessions ran on PostgreSQL 15.20 of Debian and on
// 18.6. They run on 17 if its image can be pulled. CockroachDB, YugabyteDB and other servers with
// PostgreSQL's protocol have not been tried: run the suite on them.
package postgres
