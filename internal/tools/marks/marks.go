// Package marks replaces the part of a page that a program writes.
package marks

import (
	"fmt"
	"strings"
)

// Put returns the page with text between its marks, which are lines and stay.
func Put(page, begin, end, text string) (string, error) {
	before, rest, begins := strings.Cut(page, begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return "", fmt.Errorf("the page lacks the marks %q and %q", begin, end)
	}
	return before + begin + text + end + after, nil
}
