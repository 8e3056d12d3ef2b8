// Package redo will share the syncs of writes through one redo log for each
// Backend, as docs/adr/0042 describes. So far it has the model of the protocol,
// which its tests run in random sequences with a crash at every step.
package redo
