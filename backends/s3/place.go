package s3

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sojourn-go/sojourn/expiry/driver/driverkit"
	"github.com/sojourn-go/sojourn/model"
)

// ownFolder is a folder of a store, and a test for the names in it.
type ownFolder struct {
	dir string
	is  func(rest string) bool
}

var ownFolders = []ownFolder{
	{recordsDir, func(rest string) bool {
		_, ok := placeOfName(rest)
		return ok || isProbe(strings.TrimPrefix(rest, plainPrefix))
	}},
	{dueDir, func(rest string) bool { _, _, _, ok := parseDue(rest); return ok || isProbe(rest) }},
	{labelsDir, func(rest string) bool { return isLabelEntry(rest) || isProbe(rest) }},
	{probeDir, isProbe},
}

// foreign returns the ErrCorrupt for a prefix with an object that belongs to no
// store. Key is without the prefix.
func (b *Backend) foreign(key, then string) error {
	return driverkit.Corrupt("the prefix " + b.prefix + "/ has what another program made: the object " + strconv.Quote(key) + "; " + then)
}

// isPlaceholder reports whether an object only stands for a folder, as consoles
// make them.
func (o *listed) isPlaceholder() bool {
	return o.size == 0 && (o.rest == "" || strings.HasSuffix(o.rest, "/"))
}

// checkPlace returns ErrCorrupt if an object below the prefix belongs to no
// store. In a store that exists it does not look into the store's own folders.
func (b *Backend) checkPlace(ctx context.Context, created bool) error {
	key, err := b.look(ctx, "")
	for i := 0; created && err == nil && key == "" && i < len(ownFolders); i++ {
		key, err = b.eachOwn(ctx, &ownFolders[i], func([]string) error { return nil })
	}
	switch {
	case errors.Is(err, errNoBucket): // another node has deleted it
		return nil
	case err != nil:
		return err
	case key != "":
		return b.foreign(key, "give the store a prefix of its own")
	}
	return nil
}

// look returns the key of an object below a folder that belongs to no store, or
// nothing. The folder is the prefix itself, or one of its folders without a
// store, and ends with a slash then. It passes over other stores below the prefix.
func (b *Backend) look(ctx context.Context, dir string) (key string, err error) {
	prefix := b.full(dir)
	in := &awss3.ListObjectsV2Input{Prefix: &prefix, Delimiter: aws.String("/")}
	last := ""
	for {
		out, err := b.listOnce(ctx, nil, in)
		if err != nil {
			return "", err
		}
		for i := range out.Contents {
			rest := strings.TrimPrefix(aws.ToString(out.Contents[i].Key), prefix)
			if rest != "" && (dir != "" || rest != markerName) {
				return dir + rest, nil
			}
		}
		for _, p := range out.CommonPrefixes {
			folder := dir + strings.TrimPrefix(aws.ToString(p.Prefix), prefix)
			if key, err := b.lookInto(ctx, dir, folder); key != "" || err != nil {
				return key, err
			}
		}
		next := aws.ToString(out.NextContinuationToken)
		if !aws.ToBool(out.IsTruncated) || next == "" {
			return "", nil
		}
		end := lastOf(out)
		if end <= last && end != "" || next == aws.ToString(in.ContinuationToken) {
			return "", unordered("the same part of a listing again")
		}
		in.ContinuationToken, last = &next, max(last, end)
	}
}

// lastOf returns the last key or folder of a part of a listing.
func lastOf(out *awss3.ListObjectsV2Output) (last string) {
	for i := range out.Contents {
		last = max(last, aws.ToString(out.Contents[i].Key))
	}
	for i := range out.CommonPrefixes {
		last = max(last, aws.ToString(out.CommonPrefixes[i].Prefix))
	}
	return last
}

// lookInto looks below a folder of dir, unless that is the store's own or holds
// another store.
func (b *Backend) lookInto(ctx context.Context, dir, folder string) (key string, err error) {
	own := func(f ownFolder) bool { return folder == f.dir+"/" }
	if folder == dir || dir == "" && slices.ContainsFunc(ownFolders, own) {
		return "", nil
	}
	switch m, err := b.markerAt(ctx, folder+markerName); {
	case errors.Is(err, model.ErrCorrupt):
		return folder + markerName, nil
	case err != nil || m != nil:
		return "", err
	}
	return b.look(ctx, folder)
}

// DeleteStorage deletes the store's own objects: the records, the index entries
// and then the marker. The bucket stays, since another account could take its
// name. It may be repeated, also after an error.
//
// Other objects below the prefix stay too, and DeleteStorage returns ErrCorrupt
// with the key of one of them. Other stores below the prefix are no such
// objects. A store with a newer layout stays as it is.
//
// Stop the writers before. A create that DeleteStorage overtakes may leave a record
// without its index entries. The next DeleteStorage removes it. A CreateStorage or
// Check beside DeleteStorage may be ErrUnavailable, since their test objects are
// removed too.
func (b *Backend) DeleteStorage(ctx context.Context) error {
	if err := b.gate.Enter(ctx); err != nil {
		return err
	}
	m, err := b.markerAt(ctx, markerName)
	left := ""
	switch {
	case errors.Is(err, errNoBucket):
		return nil
	case errors.Is(err, model.ErrCorrupt):
		left = markerName
	case err != nil:
		return err
	case m != nil && m.Format > version:
		return driverkit.Corrupt("the store has a newer layout than this version reads")
	}
	for i := range ownFolders {
		key, err := b.eachOwn(ctx, &ownFolders[i], func(keys []string) error { return b.deleteMany(ctx, keys) })
		if errors.Is(err, errNoBucket) {
			return nil
		}
		if err != nil {
			return err
		}
		if left == "" {
			left = key
		}
	}
	if left != markerName {
		if err := b.deleteMany(ctx, []string{markerName}); err != nil {
			return err
		}
	}
	if left == "" {
		if left, err = b.look(ctx, ""); err != nil {
			return err
		}
	}
	if left != "" {
		return b.foreign(left, "the store's own objects are removed, and others stay")
	}
	return nil
}

// eachOwn calls do with the keys of a folder's objects that are the store's own,
// up to 1,000 at a time. It returns the key of one that is not, or nothing.
func (b *Backend) eachOwn(ctx context.Context, f *ownFolder, do func(keys []string) error) (other string, err error) {
	dir := f.dir + "/"
	for after := ""; ; {
		page, err := b.list(ctx, nil, dir, after, maxKeys)
		if err != nil {
			return "", err
		}
		var keys []string
		if other == "" && page.mangled != "" {
			other = dir + page.mangled
		}
		for _, o := range page.objects {
			switch {
			case f.is(o.rest):
				keys = append(keys, dir+o.rest)
			case other == "" && !o.isPlaceholder():
				other = dir + o.rest
			}
			after = o.rest
		}
		if len(keys) > 0 {
			if err := do(keys); err != nil {
				return "", err
			}
		}
		if !page.more {
			return other, nil
		}
	}
}
