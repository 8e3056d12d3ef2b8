// Package row holds what the store keeps of a session: the row, its two forms,
// the values of its keys, and the token that opens it. It does no I/O and knows
// no policy. Package session decides what is written and when.
package row
