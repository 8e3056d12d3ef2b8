package file

import (
	"context"

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
		names := []string{tmpDir, locksDir, expiryDir}
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
	return unavailable(t.b.maker.MakeEach(records, t.b.name+"/"+recordsDir, names...))
}

// DeleteStorage removes the store with all its records, and nothing that the
// store did not make. It may be repeated. It returns ErrCorrupt if it had to
// leave what another program made in the store's folder.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	err := b.withTree(ctx, false, func(t *tree) error {
		return t.withLocksFrom(ctx, 0, func() error { return t.destroy(ctx) })
	})
	return foreignPlace(ignore(err, errNoStore))
}

// destroy runs under every lock. It removes the records first, durably, so that
// a crash leaves only strays in the indexes. It removes the lock files last,
// each only once: from then on another process may make new ones.
func (t *tree) destroy(ctx context.Context) error {
	defer t.b.forget(t)
	var left foreign
	if _, err := t.clear(ctx, t.root, recordsDir, folderLayers[recordsDir], &left); err != nil {
		return err
	}
	if !t.b.noSync {
		if err := t.root.Sync(); err != nil {
			return unknown(err)
		}
	}
	rest := context.WithoutCancel(ctx) // it holds no records
	for _, name := range []string{labelsDir, expiryDir, tmpDir} {
		if _, err := t.clear(rest, t.root, name, folderLayers[name], &left); err != nil {
			return err
		}
	}
	if err := t.others(&left); err != nil {
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
