package file

import (
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// Options configures a Backend. The zero value of every field is its default.
type Options struct {
	// Labels declares the names of the labels that records may bear. Nil means
	// "principal". An empty list means no labels. A declared label that no
	// record bears costs nothing.
	Labels []string
	// NoSync leaves out every fsync. A killed process still loses nothing. A
	// power cut may lose or damage the writes of the last seconds.
	NoSync bool
	// FileMode has the permissions of new files, whatever the umask is. Zero
	// means 0600: only the owner. 0660 is for several users of one group. Modes
	// that deny the owner reading or writing, and bits other than permissions,
	// are ErrInvalid.
	FileMode fs.FileMode
	// DirMode has the permissions of new folders, whatever the umask is. Zero
	// means 0700: only the owner. 0770 is for several users of one group, whose
	// directory has the setgid bit. Modes that deny the owner something, and bits
	// other than permissions, are ErrInvalid.
	DirMode fs.FileMode
}

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	var err error
	if out.Labels, err = driverkit.DeclaredLabels(out.Labels, 0); err != nil {
		return out, err
	}
	for i := range out.Labels {
		out.Labels[i] = strings.Clone(out.Labels[i]) // the caller may use the memory again
	}
	if badMode(out.FileMode, disk.FileMode) || badMode(out.DirMode, disk.FolderMode) {
		err = model.NewError(model.ErrInvalid, "Options.FileMode or Options.DirMode denies the owner something, or has more than permission bits", nil)
	}
	return out, err
}

func badMode(m, least fs.FileMode) bool {
	return m != 0 && (m&^fs.ModePerm != 0 || m&least != least)
}

// checkDir returns the absolute form of a directory's name, so that a later
// change of the working directory does not move the store.
func checkDir(dir string) (string, error) {
	if dir == "" || strings.IndexByte(dir, 0) >= 0 {
		return "", model.NewError(model.ErrInvalid, "the directory's name is empty or contains a NUL byte", nil)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", model.NewError(model.ErrInvalid, "the directory is relative and the working directory is unknown: pass an absolute path", err)
	}
	return strings.Clone(abs), nil
}

// checkName accepts names that every system can use for a folder, also if it
// ignores case.
func checkName(name string) error {
	ok := name != "" && len(name) <= 64 && name[0] != '_' && name[0] != '-'
	for i := 0; ok && i < len(name); i++ {
		ok = isPlain(name[i])
	}
	if !ok {
		return model.NewError(model.ErrInvalid, "a store's name has 1 to 64 of a-z 0-9 _ - and starts with a letter or digit", nil)
	}
	if isDevice(name) {
		return model.NewError(model.ErrInvalid, "the store's name is the name of a device on Windows: choose another", nil)
	}
	return nil
}

// isDevice reports whether Windows reserves the name for a device.
func isDevice(name string) bool {
	switch name {
	case "con", "prn", "aux", "nul":
		return true
	}
	if len(name) != 4 || name[3] < '0' || name[3] > '9' {
		return false
	}
	return name[:3] == "com" || name[:3] == "lpt"
}

// Path returns the absolute path of the store's folder, which need not exist.
func (b *Backend) Path() string { return b.path }
