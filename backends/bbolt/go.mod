module github.com/sojourn-go/sojourn/backends/bbolt

go 1.26.0

require (
	github.com/sojourn-go/sojourn v0.0.0
	go.etcd.io/bbolt v1.5.0
)

require (
	github.com/anishathalye/porcupine v1.3.1 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)

replace github.com/sojourn-go/sojourn => ../..
