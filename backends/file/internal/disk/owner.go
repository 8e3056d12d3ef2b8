package disk

import "io/fs"

// newMaking returns the modes of what is made below a folder.
func newMaking(s OS) *ownership {
	o := &ownership{file: s.FileMode, folder: s.FolderMode}
	if o.file == 0 {
		o.file = FileMode
	}
	if o.folder == 0 {
		o.folder = FolderMode
	}
	return o
}

// ownership says whose new files and folders are, and with which modes.
type ownership struct {
	file, folder fs.FileMode
	owner
}

// below returns the ownership for a folder in this one.
func (o *ownership) below() *ownership { return &ownership{file: o.file, folder: o.folder} }

// changes reports whether a new folder needs more than its creation.
func (o *ownership) changes() bool { return o.folder != FolderMode || isRoot() }
