package s3store

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestBodyIsAReader(t *testing.T) {
	for _, buffers := range [][][]byte{
		nil, {{}}, {[]byte("abc")}, {[]byte("a"), {}, nil, []byte("bcd"), []byte("e"), {}}, {{}, []byte("xyz")},
	} {
		whole := bytes.Join(buffers, nil)
		if err := iotest.TestReader(newBody(buffers), whole); err != nil {
			t.Error(err)
		}
	}
}

// TestBodyLikeOneBuffer: reads and seeks in any order see what they would see of the buffers joined.
func TestBodyLikeOneBuffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		buffers := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 9), 0, 9).Draw(t, "buffers")
		ours, model := newBody(buffers), bytes.NewReader(bytes.Join(buffers, nil))
		t.Repeat(map[string]func(*rapid.T){
			"read": func(t *rapid.T) {
				n := rapid.IntRange(0, 20).Draw(t, "n")
				a, b := make([]byte, n), make([]byte, n)
				gotN, gotErr := ours.Read(a)
				wantN, wantErr := model.Read(b)
				if n > 0 && !errors.Is(gotErr, wantErr) || gotN != wantN || !bytes.Equal(a, b) {
					t.Fatalf("read %d: %d %v, want %d %v", n, gotN, gotErr, wantN, wantErr)
				}
			},
			"seek": func(t *rapid.T) {
				offset, whence := rapid.Int64Range(-20, 90).Draw(t, "offset"), rapid.IntRange(0, 2).Draw(t, "whence")
				before := ours.at
				got, err := ours.Seek(offset, whence)
				if err != nil {
					if ours.at != before {
						t.Fatalf("a seek that failed moved from %d to %d", before, ours.at)
					}
					return
				}
				want, err := model.Seek(offset, whence)
				if err != nil || got != want {
					t.Fatalf("seek: %d, want %d (%v)", got, want, err)
				}
			},
			"": func(t *rapid.T) {
				if ours.Len() != model.Len() {
					t.Fatalf("%d left, want %d", ours.Len(), model.Len())
				}
			},
		})
	})
}

var _ io.ReadSeeker = (*body)(nil)
