package sending

import "net/http"

// Connections are those of a client that a backend made of a URL. There may be
// none.
type Connections struct{ Transport *http.Transport }

// Close closes those that are idle; the others close when their calls end.
func (c Connections) Close() error {
	if c.Transport != nil {
		c.Transport.CloseIdleConnections()
	}
	return nil
}
