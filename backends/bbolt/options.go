package bbolt

import (
	"io/fs"
	"time"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels declares the names of the labels that records may bear. Nil means
	// "principal". An empty list means no labels.
	Labels []string
}

// fileOptions are those of a file that a URL opens.
type fileOptions struct {
	// Timeout is how long to wait for a process that has the file open. The default
	// is 1s.
	Timeout time.Duration
	// NoSync leaves out every sync, as in bbolt.Options: a power cut may damage the
	// whole file.
	NoSync bool
	// FileMode has the permissions of a new file, less the umask. The default is
	// 0600. Modes that deny the owner reading or writing are ErrInvalid.
	FileMode fs.FileMode
}
