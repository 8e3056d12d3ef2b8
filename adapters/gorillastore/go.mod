module github.com/sojourn-go/sojourn/adapters/gorillastore

go 1.26.0

require (
	github.com/gorilla/sessions v1.4.0
	github.com/sojourn-go/sojourn v0.0.0
)

replace github.com/sojourn-go/sojourn => ../..
