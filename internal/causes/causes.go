// Package causes shows the errors that an error wraps, for the messages of
// tests. Messages of backends leave them out, because the client's text may have
// a secret.
package causes

import "strings"

// Of returns the text of an error, and of all that it wraps whose text is not in
// it yet.
func Of(err error) string {
	if err == nil {
		return "no error"
	}
	return with(err.Error(), err)
}

// with returns the text with what the error wraps.
func with(text string, err error) string {
	var wrapped []error
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case interface{ Unwrap() error }:
		wrapped = append(wrapped, e.Unwrap())
	case interface{ Unwrap() []error }:
		wrapped = e.Unwrap()
	}
	for _, next := range wrapped {
		if next == nil {
			continue
		}
		if own := next.Error(); !strings.Contains(text, own) {
			text += "; " + own
		}
		text = with(text, next)
	}
	return text
}
