// Package frameworks holds only tests: package sessionhttp behind web frameworks.
// It is a module of its own, so that the module of the sessions does not require
// them.
//
//	cd internal/tests/frameworks && go test ./...
package frameworks
