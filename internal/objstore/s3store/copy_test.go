package s3store

import (
	"io"
	"net/http"
	"runtime"
	"testing"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// TestPutCopiesNothing: a put of many slices takes memory for its buffers, not for its body.
func TestPutCopiesNothing(t *testing.T) {
	for name, overTLS := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, overTLS, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
			body := make([][]byte, 16)
			for i := range body {
				body[i] = make([]byte, 1<<20)
			}
			crc := objstore.Sum(body)
			if err := s.PutNew(t.Context(), "first", body, crc); err != nil { // connects
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := s.PutNew(t.Context(), "k", body, crc); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 { // the race detector empties pools of buffers
				t.Errorf("a put of 16 MiB allocated %d bytes", took)
			}
		})
	}
}
