module github.com/sojourn-go/sojourn/adapters/scsstore

go 1.26.0

require (
	github.com/alexedwards/scs/v2 v2.9.0
	github.com/sojourn-go/sojourn v0.0.0
)

replace github.com/sojourn-go/sojourn => ../..
