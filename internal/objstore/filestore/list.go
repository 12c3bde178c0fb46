package filestore

import (
	"container/heap"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// maxBatch bounds the names that a level of folders holds at a time, whatever the page's limit.
const maxBatch = 4096

// List implements objstore.Store. Folders are walked in the order of the keys in them, which is
// not the order of their names: "a-b" comes before "a/b" but after "a". Each level reads its folder as often as it needs and keeps
// only the next names.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) (page []objstore.Info, more bool, err error) {
	if err := objstore.Invalid("list", prefix, objstore.CheckList(prefix, after, limit)); err != nil {
		return nil, false, err
	}
	l := lister{ctx: ctx, store: s, prefix: prefix, after: after, limit: limit}
	switch err := l.walk(""); {
	case errors.Is(err, errPageFull):
		return l.page, true, nil
	case err != nil:
		return nil, false, err
	case len(l.page) == 0:
		if err := s.missing("list", prefix); !errors.Is(err, objstore.ErrNotFound) {
			return nil, false, err
		}
	}
	return l.page, false, nil
}

var errPageFull = errors.New("page is full")

type lister struct {
	ctx           context.Context
	store         *Store
	prefix, after string
	limit         int
	page          []objstore.Info
}

// walk lists the folder of keys that begin with dir, which is empty or ends with a slash.
func (l *lister) walk(dir string) error {
	for from := ""; ; {
		if err := objstore.Ended(l.ctx, "list", l.prefix); err != nil {
			return err
		}
		names, more, err := l.next(dir, from)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := l.visit(dir + name); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		from = names[len(names)-1]
	}
}

func (l *lister) visit(key string) error {
	if strings.HasSuffix(key, "/") {
		return l.walk(key)
	}
	info, err := os.Lstat(l.store.path(key))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // deleted since its folder was read
	case err != nil:
		return classify("list", l.store.path(key), l.store.root, err)
	case len(l.page) == l.limit:
		return errPageFull
	}
	l.page = append(l.page, objstore.Info{Key: key, Size: info.Size(), Modified: info.ModTime()})
	return nil
}

// next returns the next names of a folder after from, in order, those of folders with a
// slash at their end; more says that others follow.
func (l *lister) next(dir, from string) (names []string, more bool, err error) {
	path := l.store.path(dir)
	folder, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || isNotFolder(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, classify("list", path, l.store.root, err)
	}
	defer folder.Close() // opened for reading: closing cannot lose anything
	keep := min(l.limit+1, maxBatch)
	var smallest largestFirst
	for {
		entries, err := folder.ReadDir(256)
		for _, e := range entries {
			name, ok := l.wanted(dir, e)
			if !ok || name <= from {
				continue
			}
			heap.Push(&smallest, name)
			if len(smallest) > keep {
				heap.Pop(&smallest)
				more = true
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
			slices.Sort(smallest)
			return smallest, more, nil
		}
		if err != nil {
			return nil, false, classify("list", path, l.store.root, err)
		}
	}
}

// wanted says whether an entry is an object of the page, or a folder that may hold one.
func (l *lister) wanted(dir string, e fs.DirEntry) (name string, ok bool) {
	name = e.Name()
	switch {
	case dir == "" && strings.HasPrefix(name, "."):
		return "", false // .tmp, and what is not ours
	case e.Type().IsRegular():
		key := dir + name
		return name, key > l.after && strings.HasPrefix(key, l.prefix)
	case e.IsDir():
		key := dir + name + "/"
		inPrefix := strings.HasPrefix(key, l.prefix) || strings.HasPrefix(l.prefix, key)
		// A folder whose keys all precede after: after is larger and does not begin with it.
		behind := l.after > key && !strings.HasPrefix(l.after, key)
		return name + "/", inPrefix && !behind
	}
	return "", false
}

// largestFirst is a heap of names with the largest on top.
type largestFirst []string

func (h largestFirst) Len() int           { return len(h) }
func (h largestFirst) Less(i, j int) bool { return h[i] > h[j] }
func (h largestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *largestFirst) Push(x any)        { *h = append(*h, x.(string)) }
func (h *largestFirst) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
