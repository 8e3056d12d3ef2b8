module github.com/sojourn-go/sojourn/examples/frameworks

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	github.com/go-chi/chi/v5 v5.5.0
	github.com/sojourn-go/sojourn v0.0.0
	google.golang.org/protobuf v1.36.11
)

require golang.org/x/sync v0.25.0 // indirect

replace github.com/sojourn-go/sojourn => ../..
