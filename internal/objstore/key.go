package objstore

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"unicode/utf8"
)

const (
	maxKey     = 1024 // bytes, S3's bound
	maxElement = 255  // bytes, the bound of file systems
)

// CheckKey says whether every store can hold an object under key: names joined by single
// slashes, none of them "." or "..", the first without a leading dot (file stores keep their
// temporary files there), all of it printable UTF-8. A key that passes cannot leave the folder or prefix
// that it is put under.
func CheckKey(key string) error {
	switch {
	case key == "":
		return errors.New("key is empty")
	case len(key) > maxKey:
		return fmt.Errorf("key has %d bytes, more than %d", len(key), maxKey)
	case key[0] == '.':
		return errors.New("key begins with a dot")
	}
	if err := checkText(key); err != nil {
		return fmt.Errorf("key %w", err)
	}
	for element := range strings.SplitSeq(key, "/") {
		switch {
		case element == "":
			return errors.New("key has an empty name between slashes, or begins or ends with one")
		case element == "." || element == "..":
			return fmt.Errorf("key has a name %q", element)
		case len(element) > maxElement:
			return fmt.Errorf("key has a name of %d bytes, more than %d", len(element), maxElement)
		}
	}
	return nil
}

// checkText refuses what some store or its XML cannot carry.
func checkText(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("is not UTF-8")
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\\' || r == 0xfffe || r == 0xffff {
			return fmt.Errorf("holds %q", r)
		}
	}
	return nil
}

// CheckRange says whether a range can be read of any object at all.
func CheckRange(position, length int64) error {
	switch {
	case position < 0:
		return fmt.Errorf("range begins at %d", position)
	case length == 0:
		return errors.New("range has no bytes")
	case length > MaxWhole:
		return fmt.Errorf("range has %d bytes, more than %d", length, MaxWhole)
	}
	return nil
}

// ClipRange is the length to read of an object of size bytes, or why it cannot be read.
func ClipRange(position, length, size int64) (int64, error) {
	if length < 0 {
		switch {
		case position > size || position == size && size > 0:
			return 0, fmt.Errorf("range begins at %d and the object has %d bytes", position, size)
		case size-position > MaxWhole:
			return 0, fmt.Errorf("rest of the object has %d bytes, more than %d", size-position, MaxWhole)
		}
		return size - position, nil
	}
	if position > size || length > size-position {
		return 0, fmt.Errorf("range %d+%d reaches past the object's %d bytes", position, length, size)
	}
	return length, nil
}

// CheckList says whether a page can be asked for.
func CheckList(prefix, after string, limit int) error {
	if limit <= 0 {
		return fmt.Errorf("page of %d objects", limit)
	}
	for _, s := range []string{prefix, after} {
		if len(s) > maxKey {
			return fmt.Errorf("prefix or start of %d bytes, more than %d", len(s), maxKey)
		}
		if err := checkText(s); err != nil {
			return fmt.Errorf("prefix or start %w", err)
		}
	}
	return nil
}

// Parts holds the rules of an upload in parts; its zero value is an upload without any.
type Parts struct {
	Count int
	Size  int64 // bytes in all
	last  int64
}

// Add counts a part of size bytes, or says why there cannot be one.
func (p *Parts) Add(size int64) error {
	switch {
	case p.Count == MaxParts:
		return fmt.Errorf("upload has %d parts already", MaxParts)
	case p.Count > 0 && p.last < MinPart:
		return fmt.Errorf("part %d has %d bytes, and all but the last need %d", p.Count, p.last, MinPart)
	case size == 0:
		return errors.New("part has no bytes")
	}
	p.Count, p.Size, p.last = p.Count+1, p.Size+size, size
	return nil
}

// Castagnoli is the polynomial of every checksum here.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrUploadOver is the cause when an upload in parts is used after its end.
var ErrUploadOver = errors.New("upload was completed or given up before")

// CheckSum compares the checksum of a body with the one that came along.
func CheckSum(got, want uint32) error {
	if got != want {
		return fmt.Errorf("body has checksum %08x, and %08x came with it", got, want)
	}
	return nil
}

// Size is the length of gathered buffers in bytes.
func Size(body [][]byte) (n int64) {
	for _, b := range body {
		n += int64(len(b))
	}
	return n
}

// Sum is the Castagnoli checksum of gathered buffers.
func Sum(body [][]byte) (crc uint32) {
	for _, b := range body {
		crc = crc32.Update(crc, Castagnoli, b)
	}
	return crc
}
