// Package causes shows the errors that an error wraps, for the messages of
// tests. Messages of backends leave them out, because the client's text may have
// a secret.
package causes

// Of returns the texts of an error and of all that it wraps.
func Of(err error) string {
	if err == nil {
		return "no error"
	}
	text := err.Error()
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case interface{ Unwrap() error }:
		if next := e.Unwrap(); next != nil {
			text += "; " + Of(next)
		}
	case interface{ Unwrap() []error }:
		for _, next := range e.Unwrap() {
			text += "; " + Of(next)
		}
	}
	return text
}
