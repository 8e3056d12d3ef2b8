module github.com/sojourn-go/sojourn/adapters/echo

go 1.26.0

require (
	github.com/labstack/echo/v5 v5.4.5
	github.com/sojourn-go/sojourn v0.0.0
)

require (
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/sojourn-go/sojourn => ../..
