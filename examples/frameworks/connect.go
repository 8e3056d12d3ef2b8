package frameworks

import (
	"context"
	"errors"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sojourn-go/sojourn/session"
	"github.com/sojourn-go/sojourn/session/sessionhttp"
)

// The procedures of the service that Connect returns. A program has them in the code
// that is generated from its .proto files.
const (
	ProcedureNext  = "/shop.v1.Visits/Next"
	ProcedureWatch = "/shop.v1.Visits/Watch"
)

// Connect returns a service of connect-go. Wrap goes around its handlers, or around
// the mux that has them. An interceptor of connect-go cannot take its place: it does
// not see an error's answer being written.
func Connect(m *sessionhttp.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(ProcedureNext, connect.NewUnaryHandler(ProcedureNext,
		func(ctx context.Context, _ *connect.Request[emptypb.Empty]) (*connect.Response[wrapperspb.Int64Value], error) {
			n := 0
			if err := Visits.Update(ctx, func(v *int) error { *v++; n = *v; return nil }); err != nil {
				return nil, failed(err)
			}
			return connect.NewResponse(wrapperspb.Int64(int64(n))), nil
		}))
	mux.Handle(ProcedureWatch, connect.NewServerStreamHandler(ProcedureWatch,
		func(ctx context.Context, _ *connect.Request[emptypb.Empty], out *connect.ServerStream[wrapperspb.Int64Value]) error {
			n, _, err := Visits.Get(ctx) // before the first message
			if err != nil {
				return failed(err)
			}
			for i := range 3 {
				if err := out.Send(wrapperspb.Int64(int64(n + i))); err != nil {
					return err
				}
			}
			return nil
		}))
	return m.Wrap(mux)
}

// failed returns the error of connect-go for one of package session.
func failed(err error) error {
	code := connect.CodeInternal
	switch {
	case errors.Is(err, session.ErrUnauthenticated):
		code = connect.CodeUnauthenticated
	case sessionhttp.Status(err) == http.StatusServiceUnavailable:
		code = connect.CodeUnavailable
	case sessionhttp.Status(err) == http.StatusConflict:
		code = connect.CodeAborted
	}
	return connect.NewError(code, err)
}
