package driverkit

import "net/http"

// Connections closes the connections of an HTTP client that a backend opened.
// Its transport may be nil.
type Connections struct{ Transport *http.Transport }

// Close closes the idle connections. The others close when their calls end.
func (c Connections) Close() error {
	if c.Transport != nil {
		c.Transport.CloseIdleConnections()
	}
	return nil
}
