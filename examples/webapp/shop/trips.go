package shop

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/sojourn-go/sojourn/expiry"
)

// tripsKey finds the counter of a request.
type tripsKey struct{}

// withTrips counts the calls of the store that each request makes.
func withTrips(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tripsKey{}, new(atomic.Int64))))
	})
}

// countTrips is the store's observer.
func countTrips(ctx context.Context, o expiry.Observation) {
	if n, ok := ctx.Value(tripsKey{}).(*atomic.Int64); ok {
		n.Add(int64(o.Calls))
	}
}

func trips(r *http.Request) int {
	if n, ok := r.Context().Value(tripsKey{}).(*atomic.Int64); ok {
		return int(n.Load())
	}
	return 0
}
