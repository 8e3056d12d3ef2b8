//go:build !linux

package disk

import (
	"errors"
	"os"
)

func syncsWhole() bool               { return false }
func isWhole(*os.File) (bool, error) { return false, nil }
func syncWhole(*os.File) error       { return errors.ErrUnsupported }
func syncData(f *os.File) error      { return f.Sync() }
