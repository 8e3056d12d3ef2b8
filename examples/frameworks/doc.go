// Package frameworks shows package sessionhttp with frameworks on net/http, which need
// no adapter: chi and connect-go. Its test runs the suite for adapters on both.
package frameworks
