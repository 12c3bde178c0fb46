package s3store

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// TestPutLetsItsBodyGo: once a put has returned, its slices are the caller's, who uses them for other records: nothing reads them
// any more, though the server has answered before it has read the body, or the caller has gone in the midst of it. What still
// comes at the server was copied before. Under the race detector a read after the return fails the test as such.
func TestPutLetsItsBodyGo(t *testing.T) {
	const size, slices = 1 << 20, 12 // more than sockets hold
	for name, overTLS := range map[string]bool{"plain": false, "TLS": true} {
		for _, how := range []string{"answered early", "called off"} {
			t.Run(name+" "+how, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				spoilt := make(chan struct{})
				seen := make(chan bool, 1)
				s := serve(t, overTLS, func(w http.ResponseWriter, r *http.Request) {
					first := make([]byte, size/2)
					_, _ = io.ReadFull(r.Body, first)
					if how == "called off" {
						cancel()
					} else {
						answer := http.NewResponseController(w)
						_ = answer.EnableFullDuplex() // HTTP/2 is so in any case
						w.WriteHeader(http.StatusPreconditionFailed)
						_ = answer.Flush()
					}
					<-spoilt
					rest, _ := io.ReadAll(r.Body) // breaks off
					seen <- bytes.IndexByte(first, 0xdb) >= 0 || bytes.IndexByte(rest, 0xdb) >= 0
				})
				body := make([][]byte, slices)
				for i := range body {
					body[i] = bytes.Repeat([]byte{'a'}, size)
				}
				err := s.PutNew(ctx, "k", body, objstore.Sum(body))
				other := bytes.Repeat([]byte{0xdb}, size)
				for _, b := range body {
					copy(b, other)
				}
				close(spoilt)
				if err == nil {
					t.Error("a put that was not carried out says that it was")
				}
				if <-seen {
					t.Error("the server got bytes that were written into the body after the put had returned")
				}
			})
		}
	}
}
