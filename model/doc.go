// Package model holds the vocabulary that every part of Sojourn shares:
// records, revisions, write conditions, labels and the error taxonomy.
//
// It does no I/O and depends on the standard library alone. Programs meet it
// mostly through [errors.Is] with the sentinels (ErrNotFound and its like);
// authors of backends use the rest.
package model
