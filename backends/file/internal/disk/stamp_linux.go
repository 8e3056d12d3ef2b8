package disk

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
)

const bootBytes = 16

// bootID is random, and another one after each start of the system.
var bootID = sync.OnceValues(func() ([]byte, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	id, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", ""))
	if err == nil && len(id) != bootBytes {
		err = errors.ErrUnsupported
	}
	return id, err
})

// stampOf uses the time of the last change, which no program can set.
func stampOf(info fs.FileInfo) (s Stamp, err error) {
	boot, err := bootID()
	st, ok := info.Sys().(*syscall.Stat_t)
	if err != nil || !ok || !info.IsDir() {
		return Stamp{}, errors.ErrUnsupported
	}
	at := copy(s[:], boot)
	for _, n := range []uint64{uint64(st.Dev), st.Ino, uint64(st.Ctim.Nano())} { //nolint:unconvert // the types differ between architectures
		binary.LittleEndian.PutUint64(s[at:], n)
		at += 8
	}
	return s, nil
}
