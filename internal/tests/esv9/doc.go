// Package esv9 holds only tests: the Elasticsearch backend with the clients of
// go-elasticsearch v9. It is a module of its own, so that the module of the
// backend does not require v9.
//
//	cd internal/tests/esv9 && go test ./...
package esv9
