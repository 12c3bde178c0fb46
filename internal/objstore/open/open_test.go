package open

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/filestore"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
	"github.com/isthmusdata/isthmus/internal/objstore/storetest"
)

func mustOpen(t *testing.T, url string) objstore.Store {
	t.Helper()
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestConformance: a prefix changes nothing but where objects stand.
func TestConformance(t *testing.T) {
	n := 0
	storetest.Run(t, func(t *testing.T) objstore.Store {
		n++
		name := fmt.Sprintf("conformance-%d", n)
		t.Cleanup(func() { memstore.Forget(name) })
		return mustOpen(t, "mem://"+name+"/some/prefix")
	})
}

func TestPrefixIsAWall(t *testing.T) {
	t.Cleanup(func() { memstore.Forget("walls") })
	whole, left, right := mustOpen(t, "mem://walls"), mustOpen(t, "mem://walls/a"), mustOpen(t, "mem://walls/a/b/")
	body := [][]byte{[]byte("x")}
	for _, s := range []objstore.Store{left, right} {
		if err := s.PutNew(t.Context(), "k", body, objstore.Sum(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := whole.PutNew(t.Context(), "ab", body, objstore.Sum(body)); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[objstore.Store]string{whole: "a/b/k a/k ab", left: "b/k k", right: "k"} {
		page, more, err := s.List(t.Context(), "", "", 10)
		var keys []string
		for _, info := range page {
			keys = append(keys, info.Key)
		}
		if got := strings.Join(keys, " "); got != want || more || err != nil {
			t.Errorf("got %q, more %v, %v; want %q", got, more, err, want)
		}
	}
	for _, key := range []string{"../k", "..", "b/../../ab", "/ab", ".tmp/x"} {
		if _, err := right.GetRange(t.Context(), key, 0, -1); !errors.Is(err, objstore.ErrInvalid) {
			t.Errorf("get %q: %v", key, err)
		}
		if err := right.PutNew(t.Context(), key, nil, 0); !errors.Is(err, objstore.ErrInvalid) {
			t.Errorf("put %q: %v", key, err)
		}
	}
}

// TestFaultsAndLatencyAreAskedFor by the URL, also of a prefix.
func TestFaultsAndLatencyAreAskedFor(t *testing.T) {
	t.Cleanup(func() { memstore.Forget("faulty") })
	s := mustOpen(t, "mem://faulty/p?faults=lost@put:1&latency=s3-express&seed=7")
	if err := s.PutNew(t.Context(), "k", nil, 0); !errors.Is(err, objstore.ErrUnknownOutcome) {
		t.Errorf("put: %v", err)
	}
	if _, err := mustOpen(t, "mem://faulty").Head(t.Context(), "p/k"); err != nil {
		t.Errorf("head: %v", err)
	}
	if _, err := objstore.Clock(t.Context(), s); err != nil {
		t.Errorf("clock: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestFileURL(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a bucket")
	s := mustOpen(t, "file://"+strings.ReplaceAll(dir, " ", "%20"))
	if err := s.PutNew(t.Context(), "k", nil, 0); err != nil {
		t.Fatal(err)
	}
	direct, err := filestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Head(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}
