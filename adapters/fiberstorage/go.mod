module github.com/sojourn-go/sojourn/adapters/fiberstorage

go 1.26.0

require (
	github.com/gofiber/fiber/v3 v3.1.0
	github.com/sojourn-go/sojourn v0.0.0
)

replace github.com/sojourn-go/sojourn => ../..
