// Package adaptertest is the suite for adapters of package sessionhttp to web
// frameworks. It starts a server for each case, with the adapter, the framework and
// the framework's own recovery, and talks to it over the network.
//
//	func TestAdapter(t *testing.T) {
//		adaptertest.Run(t, adaptertest.Harness{Handler: newHandler})
//	}
//
// The harness builds a program in the framework from an App: the middlewares of net/http that
// the adapter has to mount, and the routes behind them. A route is written once, on an
// Exchange, which the harness makes from a request of its framework. HTTP makes one
// for frameworks on net/http.
package adaptertest
