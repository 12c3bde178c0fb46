package memstore

import (
	"errors"
	"testing"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store { return New(nil) })
}

// TestStoresShareByName: two opens of one name are one bucket, and closing one leaves the objects.
func TestStoresShareByName(t *testing.T) {
	name := t.Name()
	t.Cleanup(func() { Forget(name) })
	a, b := Open(name), Open(name)
	if err := a.PutNew(t.Context(), "k", [][]byte{[]byte("x")}, objstore.Sum([][]byte{[]byte("x")})); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := b.GetRange(t.Context(), "k", 0, -1); err != nil || string(got) != "x" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := Open(name+"2").Head(t.Context(), "k"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("another name sees the object: %v", err)
	}
	Forget(name + "2")
	Forget(name)
	if _, err := Open(name).Head(t.Context(), "k"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("a forgotten name kept its objects: %v", err)
	}
}

func TestWrongChecksumIsRefused(t *testing.T) {
	err := New(nil).PutNew(t.Context(), "k", [][]byte{[]byte("x")}, 1)
	if !errors.Is(err, objstore.ErrInvalid) {
		t.Errorf("got %v, want %v", err, objstore.ErrInvalid)
	}
}
