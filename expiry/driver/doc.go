// Package driver defines the contract between package expiry and a backend.
//
// Programs do not need this package: they use expiry.Store. Authors of
// backends and of wrappers around backends do. A backend implements
// [ModelExpirySupport], eight methods without generics, and may implement the
// optional interfaces [BatchGetter], [BatchWriter], [Counter],
// [StorageManager], [Pinger], [Statter] and [Checker]. Package driverkit has
// the pieces that most backends share. Package conformance tests every rule
// below.
//
// The numbered sentences on the interfaces are the rules of a backend. The following ones are the rules of
// expiry.Store, which package conformance also tests on every backend.
//
// All methods:
//
//   - R61: An invalid id, label, label value, expiry or known record is
//     ErrInvalid before any I/O.
//   - R62: Errors are *model.Error, match exactly one sentinel, and have no
//     value in their text.
//   - R63: A value decodes to the same Go value on every backend.
//   - R64: A value that cannot be encoded is ErrInvalid. Stored bytes that do
//     not decode into the type are ErrCorrupt for that record alone.
//   - R65: Expiries are rounded up to a whole millisecond.
//   - R66: No revision is used twice for an id, even after delete and create.
//   - R67: After a lost answer the store reads the record once, those of a
//     batch together. A write whose revision is stored succeeded. A compare-and-set whose old revision is
//     still stored is sent once more. A touch whose expiry is in force
//     succeeded. Everything else, and what the backend marks with
//     MarkUndecidable, is ErrUnknown.
//
// Get, Create and Update:
//
//   - R68: Get takes one driver call.
//   - R69: The store's TTL applies unless the call gives an expiry. Each driver
//     call has the time of its own, and lifetimes begin with the one that writes.
//   - R70: Update keeps expiry and labels unless the call gives them.
//
// Take:
//
//   - R71: Of many concurrent takers at most one gets the record. The others
//     get ErrNotFound or ErrConflict.
//
// Mutate and UpdatePartial:
//
//   - R72: Concurrent mutations lose nothing.
//   - R73: Nothing is written if neither the bytes nor the options change
//     anything.
//   - R74: Fields that are not named keep their bytes.
//   - R75: A nested value is replaced whole, and so is an array.
//
// All, Count and DeleteByLabel:
//
//   - R76: A listing that the caller ends early sends no further request.
//   - R77: Only live records are counted, swept or not.
//   - R78: No record that bore the label when the call began survives it. One
//     that cannot be read is an error.
//   - R79: The count includes only what this call removed.
//
// GetMany and Bulk:
//
//   - R80: There is one answer per id, in order, each with its own error.
//   - R81: Successes are counted by kind, and each failed operation has an
//     error at its index. The others stand, and only they get a new revision.
//   - R82: An id named earlier in the same call is ErrInvalid.
//
// Reindex, DeleteExpired, CreateStorage and DeleteStorage:
//
//   - R83: Records are found by their new labels and keep value and expiry.
//     Records with correct labels are not written.
//   - R84: The store subtracts its grace: records that expired less than the
//     grace ago stay.
//   - R85: CreateStorage may be repeated, also by many nodes at once, and
//     records stay.
//   - R86: DeleteStorage may be repeated, also by many nodes at once, and
//     removes only this store. After CreateStorage the store is empty and usable.
package driver
