package file

import (
	"testing"
	"unsafe"
)

// TestOptionsTextsAreCopied uses the memory behind the texts of New again.
func TestOptionsTextsAreCopied(t *testing.T) {
	text := func(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
	dir, name, label := []byte(memoryDir(t)), []byte("store"), []byte("owner")
	b := open(t, text(dir), text(name), &Options{Labels: []string{text(label)}})
	path := b.path
	dir[1], name[0], label[0] = '?', '?', '?'
	if b.dir+b.name+b.path+b.Describe().Labels[0] != path[:len(b.dir)]+"store"+path+"owner" {
		t.Errorf("the backend has %q, %q, %q and %q", b.dir, b.name, b.path, b.Describe().Labels)
	}
}
