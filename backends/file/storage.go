package file

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"

	"github.com/sojourn-go/sojourn/backends/file/internal/disk"
	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// CreateStorage makes the store's folders, so that no write has to. It may be
// repeated, and records stay. It returns ErrCorrupt, and changes nothing, if the
// store's folder holds what another program made. Names that begin with a dot
// and lost+found do not count.
func (b *Backend) CreateStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	return foreignPlace(b.withTree(ctx, true, func(t *tree) error {
		if err := t.checkCurrent(); err != nil {
			return err
		}
		if err := inspect(t.root, true); err != nil {
			return err
		}
		names := []string{tmpDir, locksDir, redoDir, expiryDir}
		for _, label := range b.gate.Labels() {
			names = append(names, labelBase(label))
		}
		for _, name := range names {
			if _, err := t.folder(name, true); err != nil {
				return err
			}
		}
		return t.makeShards()
	}))
}

// foreignPlace returns ErrCorrupt if something other than a folder has the
// store's name.
func foreignPlace(err error) error {
	if isForeignFolder(err) {
		return model.NewError(model.ErrCorrupt, "something other than a folder has the store's name: choose another name, or move it away", err)
	}
	return err
}

// makeShards makes all shards with one sync.
func (t *tree) makeShards() error {
	records, err := t.folder(recordsDir, true)
	if err != nil {
		return err
	}
	names := make([]string, shards)
	for shard := range names {
		names[shard] = hexByte(uint8(shard))
	}
	m := &t.b.maker
	if t.isWhole() {
		m = &t.b.lazy
	}
	return unavailable(m.MakeEach(records, t.b.name+"/"+recordsDir, names...))
}

// DeleteStorage removes the store with all its records, and nothing that the
// store did not make. It may be repeated. It returns ErrCorrupt if it had to
// leave what another program made in the store's folder.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	err := b.withTree(ctx, false, func(t *tree) error {
		return t.withRedo(ctx, func() error {
			return t.withLocksFrom(ctx, 0, func() error { return t.destroy(ctx) })
		})
	})
	return foreignPlace(ignore(err, errNoStore))
}

// destroy runs under every lock. It removes the records first, durably, so that
// a crash leaves only strays in the indexes. It removes the lock files last,
// each only once: from then on another process may make new ones.
func (t *tree) destroy(ctx context.Context) error {
	defer t.b.forget(t)
	var left foreign
	for stripe := range stripes {
		if err := t.uncount(stripe); err != nil {
			return err
		}
	}
	if _, err := t.clear(ctx, t.root, recordsDir, folderLayers[recordsDir], &left); err != nil {
		return err
	}
	if !t.b.noSync {
		if err := t.root.Sync(); err != nil {
			return unknown(err)
		}
	}
	redo, err := t.folder(redoDir, true)
	if err == nil {
		err = t.voidLogs(redo)
	}
	if err != nil {
		return withKind(model.ErrUnknown, err)
	}
	rest := context.WithoutCancel(ctx) // it holds no records
	for _, name := range []string{labelsDir, expiryDir, tmpDir, redoDir} {
		if _, err := t.clear(rest, t.root, name, folderLayers[name], &left); err != nil {
			return err
		}
	}
	if err := t.others(&left); err != nil {
		return unknown(err)
	}
	if err := t.root.Remove(countsPath); err != nil && !isMissing(err) {
		return unknown(err)
	}
	for stripe := range stripes {
		if err := t.root.Remove(lockName(stripe)); err != nil && !isMissing(err) {
			return unknown(err)
		}
	}
	// A folder that is not empty has foreign files or belongs to a new store.
	if t.root.Remove(locksDir) == nil {
		if err := t.b.removeRoot(); err != nil {
			return unknown(err)
		}
	}
	return left.err("it is left there, and everything else is deleted")
}

// withRedo runs do while nobody folds, recovers or makes a log. They make files.
func (t *tree) withRedo(ctx context.Context, do func() error) error {
	if _, err := t.folder(locksDir, true); err != nil { // which refuses a foreign folder
		return err
	}
	folds, err := t.lockRedo(ctx, foldLock, true)
	if err != nil {
		return err
	}
	defer func() { _ = folds.Close() }()
	opens, err := t.lockRedo(ctx, openLock, true)
	if err != nil {
		return err
	}
	defer func() { _ = opens.Close() }()
	return do()
}

// others notes what is foreign at the top of the store and among its locks.
func (t *tree) others(f *foreign) error {
	if err := inspectFolder(t.root, "", storeLayer, false, f); err != nil {
		return err
	}
	locks, err := t.folder(locksDir, false)
	if err != nil {
		return err
	}
	return inspectFolder(locks, locksDir, folderLayers[locksDir], false, f)
}

// removeRoot removes the store's folder if it is empty.
func (b *Backend) removeRoot() error {
	base, err := b.system.Open(b.dir)
	if err != nil {
		return err
	}
	defer func() { _ = base.Close() }()
	_ = base.Remove(b.name)
	if b.noSync {
		return nil
	}
	return base.Sync()
}

// layer says which names the store makes in a folder. Everything else belongs
// to another program: it is never changed or removed.
type layer struct {
	own   func(folder, name string) bool
	below func(name string) *layer // of a folder in it; nil if it has files
}

func each(l *layer) func(string) *layer { return func(string) *layer { return l } }

func named(own func(name string) bool) func(string, string) bool {
	return func(_, name string) bool { return own(name) }
}

var (
	entryLayer = &layer{own: named(func(name string) bool { _, ok := placeOfEntry(name); return ok })}
	shardLayer = &layer{own: func(folder, name string) bool {
		_, ok := placeOfEntry(folder[len(folder)-2:] + "." + name)
		return ok
	}}
	valueLayer  = &layer{own: named(isValue), below: each(entryLayer)}
	labelLayer  = &layer{own: named(isShard), below: each(valueLayer)}
	minuteLayer = &layer{own: named(isMinute), below: each(entryLayer)}

	// folderLayers has the folders of a store.
	folderLayers = map[string]*layer{
		recordsDir: {own: named(isShard), below: each(shardLayer)},
		labelsDir:  {own: named(isLabel), below: each(labelLayer)},
		expiryDir:  {own: named(isDay), below: each(minuteLayer)},
		tmpDir:     {own: named(isTmp)},
		locksDir:   {own: named(func(name string) bool { return isLock(name) || name == countsName })},
		redoDir:    {own: named(isRedo)},
	}
	storeLayer = &layer{
		own:   named(func(name string) bool { return folderLayers[name] != nil }),
		below: func(name string) *layer { return folderLayers[name] },
	}
)

func isShard(name string) bool  { return len(name) == 2 && isHex(name) }
func isValue(name string) bool  { return len(name) == 62 && isHex(name) }
func isDay(name string) bool    { return isNumber(name, dayDigits) }
func isMinute(name string) bool { return isNumber(name, minuteDigits) }
func isLock(name string) bool   { return isShard(name) && parseHex(name) < stripes }

func isLabel(name string) bool {
	label, ok := strings.CutPrefix(name, labelPrefix)
	return ok && model.CheckLabelName(label) == nil
}

func isTmp(name string) bool {
	return len(name) == 3+2*randomTmpBytes && name[2] == '-' && isHex(name[:2]) && isHex(name[3:])
}

// isSystem reports whether a name is one that systems and file managers leave in
// every folder. It does not keep a store from being made.
func isSystem(name string) bool { return name[0] == '.' || name == "lost+found" }

// foreign collects what the store did not make.
type foreign struct {
	found []string // the first few paths
	more  int
}

const shownForeign = 3

func (f *foreign) add(path string) {
	if len(f.found) < shownForeign {
		f.found = append(f.found, path)
	} else {
		f.more++
	}
}

// err returns ErrCorrupt with what was found, or nil.
func (f *foreign) err(then string) error {
	if len(f.found) == 0 {
		return nil
	}
	list := fmt.Sprintf("%q", f.found)
	if f.more > 0 {
		list += fmt.Sprintf(" and %d more", f.more)
	}
	return driverkit.Corrupt("the store's folder holds what the store did not make: " + list + ": " + then)
}

// isForeignFolder reports whether the error of opening a folder means that
// something else has its name.
func isForeignFolder(err error) bool {
	return errors.Is(err, disk.ErrNoFolder) || errors.Is(err, disk.ErrEscape) || errors.Is(err, syscall.ELOOP)
}

// inspect refuses a store's folder in which another program has made something:
// at its top, and with deep also in the folders below. A system's own files do
// not count.
func inspect(root disk.Folder, deep bool) error {
	var f foreign
	err := inspectFolder(root, "", storeLayer, deep, &f)
	if err != nil {
		return unavailable(err)
	}
	return f.err("choose another name or directory for the store, or move it away")
}

func inspectFolder(dir disk.Folder, path string, l *layer, deep bool, f *foreign) error {
	var folders []string
	err := dir.Names(func(part []string) bool {
		for _, name := range part {
			switch own := l.own(path, name); {
			case own:
				folders = append(folders, name)
			case !isSystem(name):
				f.add(join(path, name))
			}
		}
		return true
	})
	if err != nil || !deep || l != storeLayer {
		return err
	}
	for _, name := range folders {
		sub, err := dir.Folder(name)
		switch {
		case isForeignFolder(err):
			f.add(name)
			continue
		case isMissing(err):
			continue
		case err != nil:
			return err
		}
		err = inspectFolder(sub, name, l.below(name), deep, f)
		_ = sub.Close()
		if err != nil && !isMissing(err) {
			return err
		}
	}
	return nil
}

func join(path, name string) string { return strings.TrimPrefix(path+"/"+name, "/") }

// clear removes what the store made below a folder of it, and the folder if that
// leaves it empty. It notes the rest. What is removed from a folder that stays is
// durable. It reports whether the folder is gone.
func (t *tree) clear(ctx context.Context, parent disk.Folder, path string, l *layer, f *foreign) (gone bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, model.NewError(model.ErrUnknown, "some of the records are already removed: delete the storage again", err)
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	dir, err := parent.Folder(name)
	switch {
	case isMissing(err):
		return true, nil
	case isForeignFolder(err):
		f.add(path)
		return false, nil
	case err != nil:
		return false, unknown(err)
	}
	stays, err := t.clearNames(ctx, dir, path, l, f)
	if err == nil && stays {
		err = t.syncShard(dir, durably{})
	}
	_ = dir.Close()
	if err != nil {
		return false, err
	}
	return removeOwn(parent, name)
}

// clearNames removes what the store made in an open folder. It reports whether
// something stays.
func (t *tree) clearNames(ctx context.Context, dir disk.Folder, path string, l *layer, f *foreign) (stays bool, err error) {
	var names []string
	err = dir.Names(func(part []string) bool { names = append(names, part...); return true })
	if err != nil && !isMissing(err) {
		return false, unknown(err)
	}
	for _, name := range names {
		at, gone := path+"/"+name, false
		switch {
		case !l.own(path, name):
			f.add(at)
		case l.below != nil:
			gone, err = t.clear(ctx, dir, at, l.below(name), f)
		default:
			if gone, err = removeOwn(dir, name); !gone && err == nil {
				f.add(at)
			}
		}
		if err != nil {
			return false, err
		}
		stays = stays || !gone
	}
	return stays, nil
}

// removeOwn removes a file or an empty folder, and reports whether it is gone.
func removeOwn(dir disk.Folder, name string) (gone bool, err error) {
	err = dir.Remove(name)
	switch {
	case err == nil || isMissing(err):
		return true, nil
	case isNotEmpty(err):
		return false, nil
	}
	return false, unknown(err)
}

const errWindowsNotEmpty = syscall.Errno(145) // ERROR_DIR_NOT_EMPTY

// isNotEmpty reports whether a removal failed because the folder has something
// in it.
func isNotEmpty(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) ||
		runtime.GOOS == "windows" && errors.Is(err, errWindowsNotEmpty)
}
