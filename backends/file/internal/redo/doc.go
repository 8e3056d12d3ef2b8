// Package redo has a model of the file backend's redo log, as docs/adr/0042 describes
// it. Its tests run the model in random sequences with a crash at every step.
package redo
