module github.com/sojourn-go/sojourn/adapters/scsstore

go 1.26.0

require (
	github.com/alexedwards/scs/v2 v2.9.0
	github.com/sojourn-go/sojourn v0.0.0
)

require (
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/sojourn-go/sojourn => ../..
