// Package peers holds only tests: what this module and other libraries do with
// sessions in the same situations. It is a module of its own, so that nobody else
// gets the other libraries. The folder spring has the program on Spring Session, in
// Java, for which make spring gets what it needs. The README's comparison is written by it:
//
//	cd internal/tests/peers && go test ./... -update
package peers
